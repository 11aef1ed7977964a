//! What `ClaimTx` promises, the transaction of one payment step.

use std::pin::pin;
use std::time::Duration;

use miaosha_app::model::OrderStatus;
use miaosha_app::ports::{ClaimWrite, PortError};
use miaosha_domain::audit::Snapshot;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::payment::{self, Payment, PaymentStatus};

use super::scene::{self, SALE, TERMS, payment_id, user};
use super::{Stores, poll_once, until};

/// Runs the suite of `ClaimTx` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! claim_tx_contract {
    ($make:expr) => {
        $crate::contract_suite! { claim_tx_contract, $make, payment_steps, [
            the_claim_and_the_time_are_as_of_after_the_lock,
            a_payment_is_found_if_it_is_one_of_the_claim,
            a_step_writes_claim_event_payment_shipping_and_order,
            a_step_without_a_change_writes_the_payment_alone,
            a_payment_keeps_its_shipping_when_it_is_updated,
            an_order_that_is_given_back_keeps_all_but_its_status,
            a_stale_step_writes_nothing_at_all,
            a_dropped_step_leaves_no_trace,
            a_dropped_commit_of_a_step_writes_all_or_nothing,
            steps_never_touch_the_book,
        ] }
    };
}

/// "The database's clock, read once after the lock was taken"; "The claim, as of after the lock was taken."
pub async fn the_claim_and_the_time_are_as_of_after_the_lock(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let holder = scene::lock_claim(&stores, user(1)).await;
    let mut waiter = pin!(stores.claims.lock(SALE, user(1)));
    assert!(poll_once(waiter.as_mut()).await.is_none());
    let asked_at = stores.clock.now();
    until(|| stores.clock.now() > asked_at + Duration::from_millis(2)).await;
    let freed_at = stores.clock.now();
    let lease = Duration::from_mins(1);
    let change = payment::begin(holder.claim(), payment_id(1), lease, holder.now()).unwrap();
    holder.commit(ClaimWrite { change: Some(change), ..ClaimWrite::default() }).await.unwrap();
    let tx = waiter.await.unwrap().unwrap();
    assert!(tx.now() >= freed_at, "{:?} is before {freed_at:?}", tx.now());
    assert_eq!(tx.claim(), change.claim);
    let now = tx.now();
    until(|| stores.clock.now() > now).await;
    assert_eq!(tx.now(), now);
}

/// "A payment of this claim."
pub async fn a_payment_is_found_if_it_is_one_of_the_claim(stores: Stores) {
    scene::open_sale(&stores, 2, TERMS).await;
    scene::ask(&stores, 1..3).await;
    let own = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    scene::begin_payment(&stores, user(2), payment_id(2)).await;
    let mut tx = scene::lock_claim(&stores, user(1)).await;
    assert_eq!(tx.payment(payment_id(1)).await.unwrap(), Some(own));
    assert_eq!(tx.payment(payment_id(2)).await.unwrap(), None, "it is another's");
    assert_eq!(tx.payment(payment_id(3)).await.unwrap(), None);
}

/// "Writes all …": the claim and its event, the payment, where the parcel goes, the order.
pub async fn a_step_writes_claim_event_payment_shipping_and_order(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let started = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    let told = scene::snapshot(&stores).await;
    assert_eq!((told.claims[0].status, told.claims[0].payment), (ClaimStatus::Paying, Some(started.id)));
    let event = told.events[1];
    assert_eq!((event.from, event.to, event.rev), (Some(ClaimStatus::Reserved), ClaimStatus::Paying, 2));
    assert_eq!(event.at, started.started_at);
    assert_eq!(told.payments, [started]);
    assert_eq!(stores.payments.shipping_of(started.id).await.unwrap(), Some(scene::shipping()));

    let order = scene::succeed(&stores, started).await;
    let told = scene::snapshot(&stores).await;
    assert_eq!((told.claims[0].status, told.claims[0].hold_until), (ClaimStatus::Paid, None));
    assert_eq!(told.events.len(), 3);
    assert_eq!(told.payments, [Payment { status: PaymentStatus::CaptureDue, ..started }]);
    assert_eq!(stores.orders.lookup_by_sale(user(1), SALE).await.unwrap(), Some(order));
    scene::assert_sound(&stores).await;
}

/// Each part of a write is optional.
pub async fn a_step_without_a_change_writes_the_payment_alone(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    let before = scene::snapshot(&stores).await;
    let voided = Payment { status: PaymentStatus::VoidDue, ..payment };
    let tx = scene::lock_claim(&stores, user(1)).await;
    tx.commit(ClaimWrite { payment: Some(voided), ..ClaimWrite::default() }).await.unwrap();
    let after = scene::snapshot(&stores).await;
    assert_eq!((after.payments, after.claims, after.events), (vec![voided], before.claims, before.events));
}

/// "Where the parcel goes; stored with a payment when it is made."
pub async fn a_payment_keeps_its_shipping_when_it_is_updated(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    scene::succeed(&stores, payment).await;
    assert_eq!(stores.payments.shipping_of(payment.id).await.unwrap(), Some(scene::shipping()));
}

/// An order is written again when its money went back.
pub async fn an_order_that_is_given_back_keeps_all_but_its_status(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    let mut order = scene::succeed(&stores, payment).await;
    order.status = OrderStatus::Refunded;
    let tx = scene::lock_claim(&stores, user(1)).await;
    let write = ClaimWrite {
        change: payment::refund(tx.claim()),
        payment: Some(Payment { status: PaymentStatus::RefundDue, ..payment }),
        shipping: None,
        order: Some(order.clone()),
    };
    tx.commit(write).await.unwrap();
    assert_eq!(stores.orders.lookup(user(1), order.id).await.unwrap(), Some(order));
    scene::assert_sound(&stores).await;
}

/// "… or nothing, … under the conditions of `SaleTx::commit`."
pub async fn a_stale_step_writes_nothing_at_all(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    let reserved = scene::ask(&stores, 1..2).await[0];
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    let before = scene::snapshot(&stores).await;
    let tx = scene::lock_claim(&stores, user(1)).await;
    let now = tx.now();
    let write = ClaimWrite {
        change: Some(payment::begin(reserved, payment_id(2), Duration::from_mins(1), now).unwrap()),
        payment: Some(scene::payment_of(&reserved, payment_id(2), now)),
        shipping: Some(scene::shipping()),
        order: Some(scene::order_of(&reserved, 2, payment.id, now)),
    };
    assert!(matches!(tx.commit(write).await, Err(PortError::Retryable { .. })));
    assert_nothing_changed(&stores, &before).await;
    assert_eq!(stores.payments.shipping_of(payment_id(2)).await.unwrap(), None);
}

/// "Dropping it, at any moment, leaves no trace."
pub async fn a_dropped_step_leaves_no_trace(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let before = scene::snapshot(&stores).await;
    for _ in 0..20 {
        let mut waiter = stores.claims.lock(SALE, user(1));
        let _ = poll_once(waiter.as_mut()).await;
        drop(waiter);
        let mut tx = scene::lock_claim(&stores, user(1)).await;
        {
            let mut reading = tx.payment(payment_id(1));
            let _ = poll_once(reading.as_mut()).await;
        }
        drop(tx);
    }
    assert_nothing_changed(&stores, &before).await;
}

/// "… at any moment": while it commits.
pub async fn a_dropped_commit_of_a_step_writes_all_or_nothing(stores: Stores) {
    const TURNS: u64 = 20;
    scene::open_sale(&stores, 20, TERMS).await;
    scene::ask(&stores, 1..TURNS + 1).await;
    for turn in 0..TURNS {
        let tx = scene::lock_claim(&stores, user(turn + 1)).await;
        let (claim, now) = (tx.claim(), tx.now());
        let id = payment_id(turn + 1);
        let write = ClaimWrite {
            change: Some(payment::begin(claim, id, Duration::from_mins(1), now).unwrap()),
            payment: Some(scene::payment_of(&claim, id, now)),
            shipping: Some(scene::shipping()),
            order: None,
        };
        let mut commit = tx.commit(write);
        for _ in 0..turn {
            if poll_once(commit.as_mut()).await.is_some() {
                break;
            }
        }
        drop(commit);
        let mut after = scene::lock_claim(&stores, claim.user).await;
        let is_written = after.claim().status == ClaimStatus::Paying;
        assert_eq!(after.payment(id).await.unwrap().is_some(), is_written);
        assert!(turn > 0 || !is_written, "a commit that was never polled was written");
    }
}

/// "It … never moves a unit": payments leave the sale's row alone.
pub async fn steps_never_touch_the_book(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let before = scene::book(&stores).await;
    let payment = scene::begin_payment(&stores, user(1), payment_id(1)).await;
    scene::succeed(&stores, payment).await;
    assert_eq!(scene::book(&stores).await, before);
}

/// The rows are as they were, and the lock is free.
async fn assert_nothing_changed(stores: &Stores, before: &Snapshot) {
    drop(scene::lock_claim(stores, user(1)).await);
    let after = scene::snapshot(stores).await;
    assert_eq!((&after.claims, &after.events), (&before.claims, &before.events));
    assert_eq!(after.payments, before.payments);
    assert_eq!(after.orders, before.orders);
}
