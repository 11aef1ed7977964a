//! What `SaleTx` promises, the transaction under a sale's lock.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join;
use miaosha_app::ports::PortError;
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::sale::{Book, Terms};
use miaosha_domain::settle::{CHANGES_MAX, ENDS_MAX};

use super::scene::{self, SALE, TERMS, made, sale_id, user};
use super::{Stores, poll_once, until};

/// Runs the suite of `SaleTx` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! sale_tx_contract {
    ($make:expr) => {
        $crate::contract_suite! { sale_tx_contract, $make, sale_transactions, [
            terms_and_book_are_those_of_the_sale,
            the_time_is_read_once_and_after_the_lock_was_taken,
            who_waited_sees_what_the_holder_committed,
            claims_are_those_of_the_people_asked_for_in_this_sale,
            due_are_reservations_whose_hold_has_passed_the_longest_due_first,
            no_more_ends_are_due_at_once_than_one_transaction_makes,
            heads_are_the_first_who_stand_by,
            holding_counts_who_reserves_or_pays,
            what_is_due_is_not_paid_meanwhile,
            a_commit_writes_the_book_the_claims_and_an_event_for_each_change,
            a_commit_writes_as_many_changes_as_a_transaction_may_make,
            a_commit_with_one_stale_change_writes_nothing,
            a_claim_that_exists_is_not_made_again,
            a_claim_that_does_not_exist_is_not_changed,
            a_payment_step_in_between_makes_a_change_stale,
            a_dropped_transaction_leaves_no_trace,
            a_transaction_dropped_while_it_reads_frees_the_lock,
            a_waiter_that_gives_up_does_not_take_the_lock,
            a_dropped_commit_writes_all_or_nothing_and_frees_the_lock,
        ] }
    };
}

fn is_retryable(result: &Result<(), PortError>) -> bool {
    matches!(result, Err(PortError::Retryable { .. }))
}

/// "The sale's terms", "The sale's book".
pub async fn terms_and_book_are_those_of_the_sale(stores: Stores) {
    let terms = Terms { hold: Duration::from_millis(1_234), standby_limit: 7, ..TERMS };
    scene::open_sale(&stores, 3, terms).await;
    scene::ask(&stores, 1..3).await;
    let tx = scene::lock(&stores).await;
    assert_eq!(tx.terms(), terms);
    assert_eq!((tx.book().taken, tx.book().next_seq, tx.book().version), (2, 3, 2));
}

/// "The database's clock, read once after the lock was taken."
pub async fn the_time_is_read_once_and_after_the_lock_was_taken(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    let holder = scene::lock(&stores).await;
    let mut waiter = pin!(stores.sales.lock(SALE));
    assert!(poll_once(waiter.as_mut()).await.is_none());
    let asked_at = stores.clock.now();
    until(|| stores.clock.now() > asked_at + Duration::from_millis(2)).await;
    let freed_at = stores.clock.now();
    drop(holder);
    let tx = waiter.await.unwrap().unwrap();
    assert!(tx.now() >= freed_at, "{:?} is before {freed_at:?}", tx.now());
    let now = tx.now();
    until(|| stores.clock.now() > now).await;
    assert_eq!(tx.now(), now);
}

/// "Everything read is as of after the lock was taken: nothing that another holder of this lock committed is missed."
pub async fn who_waited_sees_what_the_holder_committed(stores: Stores) {
    scene::open_sale(&stores, 1, Terms { hold: Duration::ZERO, ..TERMS }).await;
    let mut holder = scene::lock(&stores).await;
    let mut waiter = pin!(stores.sales.lock(SALE));
    assert!(poll_once(waiter.as_mut()).await.is_none());
    let (book, changes) = scene::decided(&mut holder, SALE, 1..4).await;
    holder.commit(book, &changes).await.unwrap();
    let mut tx = waiter.await.unwrap().unwrap();
    assert_eq!(tx.book(), book);
    let claims = tx.claims_of(&[user(1), user(2), user(3)]).await.unwrap();
    assert!(changes.iter().all(|change| claims[&change.claim.user] == change.claim));
    let standing = tx.standing().await.unwrap();
    assert_eq!((standing.due.len(), standing.heads.len(), standing.holding), (1, 2, 1));
}

/// "The claims of these people in this sale, of those who have one."
pub async fn claims_are_those_of_the_people_asked_for_in_this_sale(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 9, TERMS).await;
    scene::ask_in(&stores, other, 1..9).await;
    scene::open_sale(&stores, 9, TERMS).await;
    let made = scene::ask(&stores, 1..4).await;
    let mut tx = scene::lock(&stores).await;
    let claims = tx.claims_of(&[user(2), user(5), user(3), user(2)]).await.unwrap();
    assert_eq!(claims.len(), 2);
    assert_eq!((claims[&user(2)], claims[&user(3)]), (made[1], made[2]));
    assert!(tx.claims_of(&[]).await.unwrap().is_empty());
}

/// "Reservations whose `hold_until` has passed, … the longest due first."
pub async fn due_are_reservations_whose_hold_has_passed_the_longest_due_first(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let tx = scene::lock(&stores).await;
    let now = tx.now();
    let held = |seconds_ago| Some(now - Duration::from_secs(seconds_ago));
    let changes = [
        made(1, ClaimStatus::Reserved, held(1)),
        made(2, ClaimStatus::Reserved, held(3)),
        made(3, ClaimStatus::Reserved, Some(now + Duration::from_hours(1))),
        made(4, ClaimStatus::Paying, held(5)),
        made(5, ClaimStatus::Expired, held(9)),
        made(6, ClaimStatus::Reserved, held(0)),
        made(7, ClaimStatus::Reserved, held(2)),
    ];
    let book = tx.book();
    tx.commit(Book { taken: 6, next_seq: 8, ..book }, &changes).await.unwrap();
    let mut tx = scene::lock(&stores).await;
    let due = tx.standing().await.unwrap().due;
    assert_eq!(due, [1, 6, 0, 5].map(|at: usize| changes[at].claim));
}

/// "… at most `ENDS_MAX`."
pub async fn no_more_ends_are_due_at_once_than_one_transaction_makes(stores: Stores) {
    let people = ENDS_MAX as u64 + 20;
    scene::open_sale(&stores, 600, Terms { hold: Duration::ZERO, ..TERMS }).await;
    scene::ask(&stores, 1..people + 1).await;
    let mut tx = scene::lock(&stores).await;
    let standing = tx.standing().await.unwrap();
    assert_eq!((standing.due.len(), standing.holding), (ENDS_MAX, people));
}

/// "The first of those who stand by, by `seq`: `CHANGES_MAX`, or all if they are fewer."
pub async fn heads_are_the_first_who_stand_by(stores: Stores) {
    let people = CHANGES_MAX as u64;
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..people + 1).await;
    scene::leave(&stores, user(3)).await;
    let heads = scene::lock(&stores).await.standing().await.unwrap().heads;
    let seqs: Vec<u64> = heads.iter().map(|head| head.seq).collect();
    let expected: Vec<u64> = (2..=people).filter(|seq| *seq != 3).collect();
    assert_eq!(seqs, expected);

    scene::ask(&stores, people + 1..people + 21).await;
    let heads = scene::lock(&stores).await.standing().await.unwrap().heads;
    assert_eq!((heads.len(), heads[CHANGES_MAX - 1].seq), (CHANGES_MAX, people + 2));
}

/// "How many claims are reserved or paying."
pub async fn holding_counts_who_reserves_or_pays(stores: Stores) {
    scene::open_sale(&stores, 4, TERMS).await;
    scene::ask(&stores, 1..7).await;
    scene::begin_payment(&stores, user(1), scene::payment_id(1)).await;
    let paid = scene::begin_payment(&stores, user(2), scene::payment_id(2)).await;
    scene::succeed(&stores, paid).await;
    let standing = scene::lock(&stores).await.standing().await.unwrap();
    assert_eq!((standing.holding, standing.heads.len()), (3, 2));
}

/// "No payment step changes what is due before this transaction has ended": settling never meets a changed claim.
pub async fn what_is_due_is_not_paid_meanwhile(stores: Stores) {
    const TURNS: u64 = 30;
    scene::open_sale(&stores, 100, Terms { hold: Duration::ZERO, ..TERMS }).await;
    for turn in 1..=TURNS {
        scene::ask(&stores, turn..turn + 1).await;
        let step = scene::lock_claim(&stores, user(turn)).await;
        let settle = async {
            for _ in 0..turn {
                tokio::task::yield_now().await;
            }
            scene::settle_once(&stores).await
        };
        let ((), changes) = join(scene::commit_paying(step), settle).await;
        assert_eq!(changes, [], "it is paying, or about to");
        assert_eq!(scene::claim(&stores, user(turn)).await.unwrap().status, ClaimStatus::Paying);
    }
}

/// "Writes the book, the claims, and an event for each change."
pub async fn a_commit_writes_the_book_the_claims_and_an_event_for_each_change(stores: Stores) {
    scene::open_sale(&stores, 2, Terms { hold: Duration::ZERO, ..TERMS }).await;
    let mut tx = scene::lock(&stores).await;
    let asked_at = tx.now();
    let (book, asked) = scene::decided(&mut tx, SALE, 1..4).await;
    tx.commit(book, &asked).await.unwrap();
    let settled = scene::settle_once(&stores).await;
    let told = scene::snapshot(&stores).await;
    assert_eq!(told.events.len(), asked.len() + settled.len());
    for (event, ClaimChange { from, claim }) in told.events.iter().zip(asked.iter().chain(&settled)) {
        let Claim { sale, user, rev, status, quantity, .. } = *claim;
        assert_eq!((event.sale, event.user, event.rev, event.quantity), (sale, user, rev, quantity));
        assert_eq!((event.from, event.to), (*from, status));
        assert!(event.at >= asked_at && (from.is_some() || event.at == asked_at));
    }
    assert_eq!(scene::claim(&stores, user(3)).await, settled.last().map(|change| change.claim));
    scene::assert_sound(&stores).await;
}

/// "At most [`CHANGES_MAX`] claims" of a transaction are no empty word.
pub async fn a_commit_writes_as_many_changes_as_a_transaction_may_make(stores: Stores) {
    let people = CHANGES_MAX as u64;
    scene::open_sale(&stores, 400, TERMS).await;
    assert_eq!(scene::ask(&stores, 1..people + 1).await.len(), CHANGES_MAX);
    assert_eq!(scene::snapshot(&stores).await.events.len(), CHANGES_MAX);
    scene::assert_sound(&stores).await;
}

/// "A change applies only to a row that is still at the `rev` before it …; if one does not, nothing at all is written
/// and the error is `Retryable`."
pub async fn a_commit_with_one_stale_change_writes_nothing(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let claims = scene::ask(&stores, 1..4).await;
    scene::leave(&stores, user(3)).await;
    let before = scene::snapshot(&stores).await;
    let release = |claim: Claim| ClaimChange {
        from: Some(claim.status),
        claim: Claim { status: ClaimStatus::Released, rev: claim.rev + 1, ..claim },
    };
    let changes: Vec<_> = claims.into_iter().map(release).collect();
    let tx = scene::lock(&stores).await;
    let book = tx.book();
    assert!(is_retryable(&tx.commit(Book { taken: 0, version: 99, ..book }, &changes).await));
    assert_nothing_changed(&stores, &before).await;
}

/// "… or does not exist, for a claim just made."
pub async fn a_claim_that_exists_is_not_made_again(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let before = scene::snapshot(&stores).await;
    let tx = scene::lock(&stores).await;
    let (now, book) = (tx.now(), tx.book());
    let fresh = made(5, ClaimStatus::Standby, None);
    let mut twin = made(6, ClaimStatus::Reserved, Some(now));
    twin.claim.user = user(1);
    assert!(is_retryable(&tx.commit(Book { version: 99, ..book }, &[fresh, twin]).await));
    assert_nothing_changed(&stores, &before).await;
}

/// A change of a claim that is not there applies to no row.
pub async fn a_claim_that_does_not_exist_is_not_changed(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let before = scene::snapshot(&stores).await;
    let tx = scene::lock(&stores).await;
    let book = tx.book();
    let mut change = made(1, ClaimStatus::Left, None);
    change.from = Some(ClaimStatus::Standby);
    change.claim.rev = 2;
    assert!(is_retryable(&tx.commit(Book { version: 99, ..book }, &[change]).await));
    assert_nothing_changed(&stores, &before).await;
}

/// The condition holds between the two kinds of transactions, too.
pub async fn a_payment_step_in_between_makes_a_change_stale(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let reserved = scene::ask(&stores, 1..2).await[0];
    scene::begin_payment(&stores, user(1), scene::payment_id(1)).await;
    let before = scene::snapshot(&stores).await;
    let expired = Claim { status: ClaimStatus::Expired, rev: 2, ..reserved };
    let change = ClaimChange { from: Some(ClaimStatus::Reserved), claim: expired };
    let tx = scene::lock(&stores).await;
    let book = tx.book();
    assert!(is_retryable(&tx.commit(Book { taken: 0, ..book }, &[change]).await));
    assert_nothing_changed(&stores, &before).await;
}

/// "Dropping it … leaves no trace."
pub async fn a_dropped_transaction_leaves_no_trace(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let before = scene::snapshot(&stores).await;
    let mut tx = scene::lock(&stores).await;
    scene::decided(&mut tx, SALE, 1..4).await;
    tx.standing().await.unwrap();
    drop(tx);
    assert_nothing_changed(&stores, &before).await;
}

/// "… at any moment": while it reads.
pub async fn a_transaction_dropped_while_it_reads_frees_the_lock(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let before = scene::snapshot(&stores).await;
    let people: Vec<_> = (1..2_000).map(user).collect();
    for _ in 0..20 {
        let mut tx = scene::lock(&stores).await;
        {
            let mut reading = tx.claims_of(&people);
            let _ = poll_once(reading.as_mut()).await;
        }
        {
            let mut reading = tx.standing();
            let _ = poll_once(reading.as_mut()).await;
        }
        drop(tx);
    }
    assert_nothing_changed(&stores, &before).await;
}

/// "… at any moment": while it waits.
pub async fn a_waiter_that_gives_up_does_not_take_the_lock(stores: Stores) {
    scene::open_sale(&stores, 9, TERMS).await;
    let holder = scene::lock(&stores).await;
    for _ in 0..20 {
        let mut waiter = stores.sales.lock(SALE);
        assert!(poll_once(waiter.as_mut()).await.is_none());
    }
    drop(holder);
    for _ in 0..20 {
        let mut waiter = stores.sales.lock(SALE);
        let _ = poll_once(waiter.as_mut()).await;
    }
    assert_eq!(scene::ask(&stores, 1..2).await.len(), 1);
}

/// "… at any moment": while it commits. Then it is written whole, or not at all.
pub async fn a_dropped_commit_writes_all_or_nothing_and_frees_the_lock(stores: Stores) {
    const TURNS: u64 = 20;
    const PEOPLE: u64 = 50;
    scene::open_sale(&stores, 5_000, TERMS).await;
    for turn in 0..TURNS {
        let first = 1 + turn * PEOPLE;
        let mut tx = scene::lock(&stores).await;
        let (book, changes) = scene::decided(&mut tx, SALE, first..first + PEOPLE).await;
        let mut commit = tx.commit(book, &changes);
        for _ in 0..turn {
            if poll_once(commit.as_mut()).await.is_some() {
                break;
            }
        }
        drop(commit);
        // Whatever became of it is settled once the lock is free again.
        drop(scene::lock(&stores).await);
        let told = scene::snapshot(&stores).await;
        let written = told.claims.iter().filter(|claim| claim.user >= user(first)).count() as u64;
        assert!(written == 0 || written == PEOPLE, "{written} of {PEOPLE} claims were written");
        assert!(turn > 0 || written == 0, "a commit that was never polled was written");
        scene::assert_sound(&stores).await;
    }
}

/// The rows are as they were, and the lock is free.
async fn assert_nothing_changed(stores: &Stores, before: &miaosha_domain::audit::Snapshot) {
    drop(scene::lock(stores).await);
    let after = scene::snapshot(stores).await;
    assert_eq!(after.book, before.book);
    assert_eq!(after.claims, before.claims);
    assert_eq!(after.events, before.events);
}
