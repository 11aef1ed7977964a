//! A bit of everything that a site does, for tests that watch it being done.

use std::time::Duration;

use miaosha_app::model::{OrderStatus, Role, User};
use miaosha_app::ports::{ClaimWrite, Freshness, IdempotencyKey, NewUser, Recorded, RecordedAnswer};
use miaosha_domain::ids::SaleId;
use miaosha_domain::payment::{self, Payment, PaymentStatus};
use miaosha_domain::sale::Terms;
use miaosha_domain::time::Timestamp;
use miaosha_testkit::contract::Stores;
use miaosha_testkit::contract::scene::{self, SALE, TERMS, payment_id, user};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Calls every method of every store, in a sale that nobody else uses, for people and payments numbered from `first`.
pub(crate) async fn live(stores: &Stores, first: u64) {
    let late = SaleId::new(SALE.get() + 1).unwrap();
    scene::open_sale(stores, 20, TERMS).await;
    scene::open_sale_as(stores, late, 20, Terms { hold: Duration::ZERO, ..TERMS }).await;
    scene::ask(stores, first..first + 30).await;
    scene::ask_in(stores, late, first..first + 30).await;
    scene::settle_in(stores, late).await;
    scene::leave(stores, user(first + 1)).await;
    pay_and_refund(stores, first).await;
    look(stores, first).await;
    sign_up(stores, first).await;
    repeat_a_request(stores).await;
}

async fn pay_and_refund(stores: &Stores, first: u64) {
    let payment = scene::begin_payment(stores, user(first), payment_id(first)).await;
    let mut order = scene::succeed(stores, payment).await;
    let mut tx = scene::lock_claim(stores, user(first)).await;
    let stored = tx.payment(payment.id).await.unwrap().unwrap();
    order.status = OrderStatus::Refunded;
    let write = ClaimWrite {
        change: payment::refund(tx.claim()),
        payment: Some(Payment { status: PaymentStatus::RefundDue, ..stored }),
        shipping: None,
        order: Some(order.clone()),
    };
    tx.commit(write).await.unwrap();
    assert_eq!(stores.orders.lookup(user(first), order.id).await.unwrap(), Some(order.clone()));
    assert_eq!(stores.orders.lookup_by_sale(user(first), SALE).await.unwrap(), Some(order.clone()));
    for freshness in [Freshness::Fresh, Freshness::StaleOk] {
        assert_eq!(stores.orders.list(user(first), None, 10, freshness).await.unwrap(), [order.clone()]);
    }
    stores.payments.shipping_of(payment.id).await.unwrap();
    let unsettled = stores.payments.list_unsettled(Duration::ZERO, None, 10).await.unwrap();
    assert!(unsettled.iter().any(|unsettled| unsettled.id == payment.id));
}

async fn look(stores: &Stores, first: u64) {
    scene::assert_sound(stores).await;
    stores.sales.lookup(SALE).await.unwrap();
    stores.sales.list(None, 10, Freshness::Fresh).await.unwrap();
    stores.sales.list_unsettled().await.unwrap();
    assert_eq!(stores.claims.lookup_many(SALE, &[user(first), user(first + 2)]).await.unwrap().len(), 2);
    stores.claims.list(SALE, 3, 5).await.unwrap();
    stores.claims.position(SALE, 25).await.unwrap();
    let events = stores.claims.list_event_ids(Duration::from_mins(1), 100).await.unwrap();
    assert!(!stores.claims.list_changes(&events).await.unwrap().is_empty());
    assert!(!stores.claims.list_by_events(&events).await.unwrap().is_empty());
}

async fn sign_up(stores: &Stores, first: u64) {
    let account = |raw: u64| User {
        id: user(raw),
        email: format!("{raw}@example.com"),
        name: "Ann O'Hara".to_owned(),
        role: Role::Buyer,
        password_hash: None,
        created_at: NOW,
    };
    assert_eq!(stores.users.create(&account(first)).await.unwrap(), NewUser::Created);
    stores.users.create_missing(&[account(first), account(first + 1)]).await.unwrap();
    assert_eq!(stores.users.lookup(user(first)).await.unwrap(), Some(account(first)));
    let email = account(first).email;
    assert_eq!(stores.users.lookup_by_email(&email).await.unwrap(), Some(account(first)));
}

async fn repeat_a_request(stores: &Stores) {
    let key = |key: &str| IdempotencyKey { user: None, route: "POST /x".to_owned(), key: key.to_owned() };
    let begin = async |name: &str, now| stores.idempotency.begin(&key(name), [7; 32], now).await.unwrap();
    assert_eq!(begin("a", NOW).await, Recorded::Begun);
    assert_eq!(begin("a", NOW + Duration::from_mins(2)).await, Recorded::Begun);
    let answer = RecordedAnswer { status: 200, content_type: "text/plain".to_owned(), body: Vec::new() };
    stores.idempotency.finish(&key("a"), &answer).await.unwrap();
    assert_eq!(begin("a", NOW).await, Recorded::Answered(answer));
    assert_eq!(begin("b", NOW).await, Recorded::Begun);
    stores.idempotency.abandon(&key("b")).await.unwrap();
}
