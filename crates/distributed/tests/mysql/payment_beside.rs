//! A settlement and a payment step that meet on one claim.

use std::sync::Arc;
use std::time::Duration;

use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::sale::Terms;
use miaosha_domain::settle::settle;
use miaosha_testkit::contract::run;
use miaosha_testkit::contract::scene::{self, TERMS, user};

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
