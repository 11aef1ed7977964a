//! What `PaymentStore` promises.

use std::time::Duration;

use miaosha_app::ports::ClaimWrite;
use miaosha_domain::payment::{Payment, PaymentStatus};

use super::Stores;
use super::scene::{self, TERMS, payment_id, shipping, user};

/// Runs the suite of `PaymentStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! payment_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { payment_store_contract, $make, payments, [
            only_payments_that_are_not_final_are_unsettled,
            a_young_payment_waits_for_its_age_or_the_end_of_its_lease,
            unsettled_payments_are_listed_in_pages_by_id,
            shipping_is_found_where_it_was_stored,
        ] }
    };
}

const MINUTE: Duration = Duration::from_mins(1);

/// Stores a payment that started `age` ago with a lease that ends `lease` after now.
async fn store(stores: &Stores, raw: u64, status: PaymentStatus, age: Duration, lease: Duration) -> Payment {
    if stores.sales.lookup(scene::SALE).await.unwrap().is_none() {
        scene::open_sale(stores, 1, TERMS).await;
        scene::ask(stores, 1..2).await;
    }
    let tx = scene::lock_claim(stores, user(1)).await;
    let started = scene::payment_of(&tx.claim(), payment_id(raw), tx.now());
    let started_at = tx.now() - age;
    let payment = Payment { status, started_at, lease_until: tx.now() + lease, ..started };
    tx.commit(ClaimWrite { payment: Some(payment), ..ClaimWrite::default() }).await.unwrap();
    payment
}

/// "Payments that are not final."
pub async fn only_payments_that_are_not_final_are_unsettled(stores: Stores) {
    let mut open = Vec::new();
    for (raw, status) in (1..).zip(PaymentStatus::ALL) {
        let payment = store(&stores, raw, status, MINUTE * 60, Duration::ZERO).await;
        open.extend((!status.is_final()).then_some(payment));
    }
    let mut listed = stores.payments.list_unsettled(MINUTE, None, 99).await.unwrap();
    listed.sort_by_key(|payment| payment.id);
    assert_eq!(listed, open);
}

/// "… and were stored at least `age` ago or whose lease is over, both by the database's clock."
pub async fn a_young_payment_waits_for_its_age_or_the_end_of_its_lease(stores: Stores) {
    let old = store(&stores, 1, PaymentStatus::Started, MINUTE * 10, MINUTE).await;
    let young = store(&stores, 2, PaymentStatus::Started, MINUTE * 5, MINUTE).await;
    let over = store(&stores, 3, PaymentStatus::VoidDue, Duration::ZERO, Duration::ZERO).await;
    let list = async |age| stores.payments.list_unsettled(age, None, 99).await.unwrap();
    assert_eq!(list(MINUTE * 20).await, [over]);
    assert_eq!(list(MINUTE * 8).await, [old, over]);
    assert_eq!(list(MINUTE * 5).await, [old, young, over]);
}

/// "Those with an id above `after`, in the order of id, at most `limit`."
pub async fn unsettled_payments_are_listed_in_pages_by_id(stores: Stores) {
    let first = store(&stores, 1, PaymentStatus::Started, MINUTE * 20, MINUTE).await;
    let second = store(&stores, 2, PaymentStatus::RefundDue, MINUTE * 10, MINUTE).await;
    let third = store(&stores, 3, PaymentStatus::CaptureDue, MINUTE * 30, MINUTE).await;
    let page = async |after, limit| stores.payments.list_unsettled(MINUTE, after, limit).await.unwrap();
    assert_eq!(page(None, 99).await, [first, second, third]);
    assert_eq!(page(None, 2).await, [first, second]);
    assert_eq!(page(Some(second.id), 2).await, [third]);
    assert_eq!(page(Some(third.id), 2).await, []);
}

/// "Where the parcel of a payment goes."
pub async fn shipping_is_found_where_it_was_stored(stores: Stores) {
    store(&stores, 1, PaymentStatus::Started, MINUTE, MINUTE).await;
    scene::begin_payment(&stores, user(1), payment_id(2)).await;
    assert_eq!(stores.payments.shipping_of(payment_id(2)).await.unwrap(), Some(shipping()));
    assert_eq!(stores.payments.shipping_of(payment_id(1)).await.unwrap(), None);
    assert_eq!(stores.payments.shipping_of(payment_id(3)).await.unwrap(), None);
}
