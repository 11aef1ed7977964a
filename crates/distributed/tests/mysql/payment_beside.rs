//! A transaction of a sale and a payment step that meet on one claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::PortError;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::decide::{Ask, Decision, decide};
use miaosha_domain::sale::Terms;
use miaosha_domain::settle::settle;
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::scene::{self, SALE, TERMS, user};

use crate::database::{TestDatabase, stores_of};

/// The step holds its claim from before the settlement reads until after it has decided; nobody waits for the other.
#[test]
fn a_settlement_leaves_out_a_claim_that_a_payment_step_holds() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 2, Terms { hold: Duration::ZERO, ..TERMS }).await;
        scene::ask(&stores, 1..4).await;

        let step = scene::lock_claim(&stores, user(1)).await;
        let mut tx = scene::lock(&stores).await;
        let standing = tx.standing().await.unwrap();
        let due: Vec<_> = standing.due.iter().map(|claim| claim.user).collect();
        assert_eq!((due, standing.holding), (vec![user(2)], 2));
        let mut book = tx.book();
        let settled = settle(&tx.terms(), &mut book, standing, tx.now());
        scene::commit_paying(step).await;
        tx.commit(book, &settled.changes).await.unwrap();

        let statuses = [1, 2, 3].map(|raw| scene::claim(&stores, user(raw)));
        let statuses = futures_util::future::join_all(statuses).await;
        let expected = [ClaimStatus::Paying, ClaimStatus::Expired, ClaimStatus::Reserved];
        assert_eq!(statuses.iter().flatten().map(|claim| claim.status).collect::<Vec<_>>(), expected);
        scene::assert_sound(&stores).await;
    });
}

/// Each waits for no more than the other's end, in whatever order they take their locks.
#[test]
fn a_payment_step_waits_for_a_settlement_that_ends_its_claim() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 1, Terms { hold: Duration::ZERO, ..TERMS }).await;
        scene::ask(&stores, 1..2).await;

        let mut tx = scene::lock(&stores).await;
        let standing = tx.standing().await.unwrap();
        let mut book = tx.book();
        let settled = settle(&tx.terms(), &mut book, standing, tx.now());
        let (step, committed) = futures_util::future::join(
            scene::lock_claim(&stores, user(1)),
            tx.commit(book, &settled.changes),
        )
        .await;
        committed.unwrap();
        assert_eq!(step.claim().status, ClaimStatus::Expired);
    });
}

/// So it is with a batch whose people are taken for new, while one of them is paying. The step never waits for the sale.
#[test]
fn a_claim_that_is_there_and_held_by_a_payment_step_cannot_be_made_again_and_nothing_is_written() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        scene::ask(&stores, 1..2).await;
        let before = scene::book(&stores).await;

        let step = scene::lock_claim(&stores, user(1)).await;
        let tx = scene::lock(&stores).await;
        let batch = [2, 1, 3].map(|raw| Ask { user: user(raw), quantity: 1 });
        let mut book = tx.book();
        let decision = decide(SALE, &tx.terms(), &mut book, &batch, &HashMap::new(), tx.now());
        let Decision::Decided { made, .. } = decision else { panic!("the sale is open") };
        assert_eq!(made.len(), 3);
        let (committed, ()) =
            futures_util::future::join(tx.commit(book, &made), scene::commit_paying(step)).await;
        assert!(matches!(committed, Err(PortError::Retryable { .. })), "{committed:?}");

        assert_eq!(scene::book(&stores).await, before);
        let paying = scene::claim(&stores, user(1)).await.unwrap();
        assert_eq!((paying.status, paying.rev), (ClaimStatus::Paying, 2));
        let made: Vec<_> = scene::ask(&stores, 1..4).await.iter().map(|claim| claim.user).collect();
        assert_eq!(made, [user(2), user(3)]);
        scene::assert_sound(&stores).await;
    });
}
