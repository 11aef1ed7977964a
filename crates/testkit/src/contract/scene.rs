//! Sales, people and what they do, for the suites: by the real rules, on the stores under test.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use miaosha_app::model::{Order, OrderLine, OrderStatus, OrderTotals, Shipping};
use miaosha_app::ports::{ClaimTx, ClaimWrite, SaleTx};
use miaosha_domain::audit::{self, Snapshot};
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::decide::{Ask, Decision, decide};
use miaosha_domain::ids::{OrderId, PaymentId, ProductId, SaleId, UserId};
use miaosha_domain::money::Money;
use miaosha_domain::payment::{self, Payment, PaymentStatus};
use miaosha_domain::question::{LocalizedText, Question, QuestionParts};
use miaosha_domain::sale::{Book, Product, Sale, Terms};
use miaosha_domain::settle::{give_up, settle};
use miaosha_domain::time::Timestamp;

use super::Stores;

/// The sale that most facts use.
pub const SALE: SaleId = match SaleId::new(7_001) {
    Ok(id) => id,
    Err(_) => panic!("7001 is an id"),
};

/// A long hold, plenty of standby, and no end in sight.
pub const TERMS: Terms = Terms {
    starts_at: Timestamp::from_millis(1_700_000_000_000),
    ends_at: Timestamp::from_millis(4_000_000_000_000),
    hold: Duration::from_mins(10),
    standby_limit: 5_000,
    standby_grace: Duration::from_mins(20),
};

/// A sale id.
pub fn sale_id(raw: u64) -> SaleId {
    SaleId::new(raw).expect("tests use numbers that are ids")
}

/// A person.
pub fn user(raw: u64) -> UserId {
    UserId::new(raw).expect("tests use numbers that are ids")
}

/// A payment's id.
pub fn payment_id(raw: u64) -> PaymentId {
    PaymentId::new(raw).expect("tests use numbers that are ids")
}

/// Dollars and cents.
pub fn usd(cents: u64) -> Money {
    let currency = "USD".parse().expect("the dollar is a currency");
    Money::from_minor(cents, currency).expect("tests use small amounts")
}

/// A sale with everything that a sale may have.
pub fn full_sale(id: SaleId) -> Sale {
    let text = |en: &str, tw: &str| {
        let texts = BTreeMap::from([("en".to_owned(), en.to_owned()), ("zh-TW".to_owned(), tw.to_owned())]);
        LocalizedText::try_from(texts).expect("there are two locales")
    };
    let question = QuestionParts {
        text: text("Who makes it?", "誰製造的？"),
        choices: vec![text("Pear", "梨子"), text("Apple's", "蘋果")],
        right: 1,
    };
    Sale {
        id,
        product: Product {
            id: ProductId::new(id.get() + 50_000).expect("tests use numbers that are ids"),
            title: text("Console \"X\"", "遊戲機"),
            description: text("", "說明"),
            image: Some("/console.png".to_owned()),
        },
        price: usd(19_900),
        list_price: Some(usd(199_000)),
        question: Some(Question::new(question).expect("the question can be judged")),
        max_people: Some(1_000_000),
        time_zone: "Asia/Taipei".to_owned(),
        terms: TERMS,
    }
}

/// A sale without anything that a sale may lack.
pub fn plain_sale(id: SaleId) -> Sale {
    let Sale { product, price, terms, .. } = full_sale(id);
    let product = Product { image: None, ..product };
    let time_zone = "UTC".to_owned();
    Sale { id, product, price, list_price: None, question: None, max_people: None, time_zone, terms }
}

/// Stores [`SALE`] with these units and terms.
pub async fn open_sale(stores: &Stores, stock: u32, terms: Terms) {
    open_sale_as(stores, SALE, stock, terms).await;
}

/// Stores a sale with these units and terms.
pub async fn open_sale_as(stores: &Stores, id: SaleId, stock: u32, terms: Terms) {
    let sale = Sale { terms, ..plain_sale(id) };
    stores.sales.create(&sale, &Book::new(stock, &terms)).await.expect("a sale is stored");
}

/// The lock of [`SALE`].
pub async fn lock(stores: &Stores) -> Box<dyn SaleTx> {
    stores.sales.lock(SALE).await.expect("locking works").expect("the sale is there")
}

/// The lock of a person's claim in [`SALE`].
pub async fn lock_claim(stores: &Stores, user: UserId) -> Box<dyn ClaimTx> {
    stores.claims.lock(SALE, user).await.expect("locking works").expect("the claim is there")
}

/// The book of [`SALE`].
pub async fn book(stores: &Stores) -> Book {
    stores.sales.lookup(SALE).await.expect("looking up works").expect("the sale is there").book
}

/// A person's claim in [`SALE`].
pub async fn claim(stores: &Stores, user: UserId) -> Option<Claim> {
    stores.claims.lookup_many(SALE, &[user]).await.expect("looking up works").remove(&user)
}

/// What [`SALE`] wrote.
pub async fn snapshot(stores: &Stores) -> Snapshot {
    stores.sales.snapshot(SALE).await.expect("a snapshot is read").expect("the sale is there")
}

/// Fails if an invariant is broken.
pub async fn assert_sound(stores: &Stores) {
    assert_eq!(audit::audit(&snapshot(stores).await), []);
}

/// These people ask for a unit each, in one batch. Returns the claims made.
pub async fn ask(stores: &Stores, users: Range<u64>) -> Vec<Claim> {
    ask_in(stores, SALE, users).await
}

/// The same in any sale.
pub async fn ask_in(stores: &Stores, sale: SaleId, users: Range<u64>) -> Vec<Claim> {
    let mut tx = stores.sales.lock(sale).await.expect("locking works").expect("the sale is there");
    let (book, made) = decided(&mut tx, sale, users).await;
    tx.commit(book, &made).await.expect("a batch is committed");
    made.into_iter().map(|change| change.claim).collect()
}

/// What asking comes to, not committed.
pub async fn decided(tx: &mut Box<dyn SaleTx>, sale: SaleId, users: Range<u64>) -> (Book, Vec<ClaimChange>) {
    let batch: Vec<Ask> = users.map(|raw| Ask { user: user(raw), quantity: 1 }).collect();
    let people: Vec<UserId> = batch.iter().map(|ask| ask.user).collect();
    let existing = tx.claims_of(&people).await.expect("claims are read");
    let mut book = tx.book();
    match decide(sale, &tx.terms(), &mut book, &batch, &existing, tx.now()) {
        Decision::Decided { made, .. } => (book, made),
        Decision::Parked => panic!("the sale is paused"),
    }
}

/// Ends what is due in [`SALE`] and promotes. Returns the changes.
pub async fn settle_once(stores: &Stores) -> Vec<ClaimChange> {
    settle_in(stores, SALE).await
}

/// The same in any sale.
pub async fn settle_in(stores: &Stores, sale: SaleId) -> Vec<ClaimChange> {
    let mut tx = stores.sales.lock(sale).await.expect("locking works").expect("the sale is there");
    let standing = tx.standing().await.expect("what is due is read");
    let mut book = tx.book();
    let settled = settle(&tx.terms(), &mut book, standing, tx.now());
    tx.commit(book, &settled.changes).await.expect("what was settled is committed");
    settled.changes
}

/// Somebody gives up in [`SALE`].
pub async fn leave(stores: &Stores, user: UserId) {
    let mut tx = lock(stores).await;
    let claim = tx.claims_of(&[user]).await.expect("claims are read")[&user];
    let standing = tx.standing().await.expect("what is due is read");
    let mut book = tx.book();
    let settled = give_up(&tx.terms(), &mut book, claim, standing, None, tx.now());
    let changes = settled.expect("the claim can be given up").changes;
    tx.commit(book, &changes).await.expect("giving up is committed");
}

/// A payment that just started for a claim.
pub fn payment_of(claim: &Claim, id: PaymentId, now: Timestamp) -> Payment {
    Payment {
        id,
        sale: claim.sale,
        user: claim.user,
        amount: usd(19_900),
        status: PaymentStatus::Started,
        started_at: now,
        lease_until: now + Duration::from_mins(1),
    }
}

/// Where a parcel goes.
pub fn shipping() -> Shipping {
    Shipping {
        name: "Ann O'Hara".to_owned(),
        phone: "+886 2 0000 0000".to_owned(),
        address: "1 台北\nTaiwan".to_owned(),
    }
}

/// The order of a claim, with two lines.
pub fn order_of(claim: &Claim, id: u64, payment: PaymentId, now: Timestamp) -> Order {
    let line = |title: &str, quantity, cents| OrderLine {
        title: LocalizedText::plain(title),
        quantity,
        unit_price: usd(cents),
        total: usd(cents).times(quantity).expect("tests use small amounts"),
    };
    Order {
        id: OrderId::new(id).expect("tests use numbers that are ids"),
        number: format!("N-{id}"),
        sale: claim.sale,
        user: claim.user,
        payment,
        status: OrderStatus::Paid,
        lines: vec![line("Console", 1, 19_900), line("Cable", 2, 500)],
        totals: OrderTotals {
            net: usd(20_900),
            tax: usd(1_045),
            shipping: usd(700),
            discount: usd(45),
            total: usd(22_600),
        },
        shipping: shipping(),
        created_at: now,
    }
}

/// Somebody who has a reservation in [`SALE`] begins to pay.
pub async fn begin_payment(stores: &Stores, user: UserId, id: PaymentId) -> Payment {
    let tx = lock_claim(stores, user).await;
    let (claim, now) = (tx.claim(), tx.now());
    let change = payment::begin(claim, id, Duration::from_mins(1), now).expect("the reservation can be paid");
    let payment = payment_of(&claim, id, now);
    let write =
        ClaimWrite { change: Some(change), payment: Some(payment), shipping: Some(shipping()), order: None };
    tx.commit(write).await.expect("a payment begins");
    payment
}

/// Commits a step of a reservation whose deadline may have passed since the step began: it is paying from now on.
pub async fn commit_paying(step: Box<dyn ClaimTx>) {
    let reserved = step.claim();
    let claim = Claim {
        status: ClaimStatus::Paying,
        rev: reserved.rev + 1,
        hold_until: Some(step.now() + Duration::from_mins(1)),
        payment: Some(payment_id(reserved.seq + 20_000)),
        ..reserved
    };
    let change = ClaimChange { from: Some(reserved.status), claim };
    step.commit(ClaimWrite { change: Some(change), ..ClaimWrite::default() })
        .await
        .expect("a step is committed");
}

/// The payment under way succeeds. Returns the order, whose id is that of the payment.
pub async fn succeed(stores: &Stores, payment: Payment) -> Order {
    let tx = lock_claim(stores, payment.user).await;
    let change = payment::succeed(tx.claim(), payment.id).expect("the claim is paying");
    let order = order_of(&change.claim, payment.id.get(), payment.id, tx.now());
    let write = ClaimWrite {
        change: Some(change),
        payment: Some(Payment { status: PaymentStatus::CaptureDue, ..payment }),
        shipping: None,
        order: Some(order.clone()),
    };
    tx.commit(write).await.expect("a payment succeeds");
    order
}

/// A claim just made, with any status and any hold: what the rules would make only after a while.
pub fn made(seq: u64, status: ClaimStatus, hold_until: Option<Timestamp>) -> ClaimChange {
    let claim = Claim {
        sale: SALE,
        user: user(seq + 10_000),
        status,
        rev: 1,
        seq,
        quantity: 1,
        deadline: hold_until,
        hold_until,
        payment: (status == ClaimStatus::Paying).then(|| payment_id(seq + 20_000)),
        restocked: false,
    };
    ClaimChange { from: None, claim }
}
