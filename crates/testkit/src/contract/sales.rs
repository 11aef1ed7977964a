//! What `SaleStore` promises. The transactions that it begins are in [`super::sale_transactions`].

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join;
use miaosha_app::model::SaleRow;
use miaosha_app::ports::Freshness;
use miaosha_domain::audit::audit;
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::{Book, Terms, pause};
use miaosha_domain::settle::Outlook;

use super::scene::{self, SALE, TERMS, sale_id, user};
use super::{Stores, poll_once};

/// Runs the suite of `SaleStore` on the [`Stores`] that `$make` gives.
#[macro_export]
macro_rules! sale_store_contract {
    ($make:expr) => {
        $crate::contract_suite! { sale_store_contract, $make, sales, [
            a_stored_sale_reads_back_whole,
            storing_the_same_id_again_changes_nothing,
            an_unknown_sale_is_not_there,
            sales_are_listed_newest_first_below_a_bound,
            a_sale_whose_standby_is_not_over_is_unsettled,
            a_sale_that_can_change_no_more_by_itself_is_settled,
            unsettled_sales_are_listed_in_the_order_of_id,
            an_unsettled_sale_tells_what_it_waits_for,
            a_lock_waits_for_the_holder_and_then_comes,
            every_holder_builds_on_the_one_before,
            what_is_not_committed_is_not_seen,
            a_read_sees_every_commit_that_was_told,
            a_snapshot_has_everything_that_the_sale_wrote_and_nothing_else,
            a_snapshot_is_read_while_somebody_holds_the_lock,
            a_snapshot_is_of_one_moment_while_others_write,
        ] }
    };
}

/// "Stores a new sale with its product."
pub async fn a_stored_sale_reads_back_whole(stores: Stores) {
    for sale in [scene::full_sale(SALE), scene::plain_sale(sale_id(2))] {
        let book = Book { version: 9, serving_seq: 3, next_seq: 8, ..Book::new(5, &sale.terms) };
        stores.sales.create(&sale, &book).await.unwrap();
        assert_eq!(stores.sales.lookup(sale.id).await.unwrap(), Some(SaleRow { sale, book }));
    }
}

/// "Storing the same id again changes nothing."
pub async fn storing_the_same_id_again_changes_nothing(stores: Stores) {
    let sale = scene::full_sale(SALE);
    stores.sales.create(&sale, &Book::new(5, &TERMS)).await.unwrap();
    scene::ask(&stores, 1..3).await;
    let before = stores.sales.lookup(SALE).await.unwrap();
    stores.sales.create(&scene::plain_sale(SALE), &Book::new(9, &TERMS)).await.unwrap();
    assert_eq!(stores.sales.lookup(SALE).await.unwrap(), before);
}

/// "The sale, if there is one", and "`None` if there is no such sale".
pub async fn an_unknown_sale_is_not_there(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    let unknown = sale_id(1);
    assert_eq!(stores.sales.lookup(unknown).await.unwrap(), None);
    assert!(stores.sales.lock(unknown).await.unwrap().is_none());
    assert!(stores.sales.snapshot(unknown).await.unwrap().is_none());
    assert!(stores.sales.lock(SALE).await.unwrap().is_some(), "looking for a lock leaves none");
}

/// "Sales with an id below `before`, newest first, at most `limit`."
pub async fn sales_are_listed_newest_first_below_a_bound(stores: Stores) {
    for raw in [3, 1, 4, 2] {
        scene::open_sale_as(&stores, sale_id(raw), 1, TERMS).await;
    }
    let list = async |before: Option<u64>, limit| -> Vec<u64> {
        let page = stores.sales.list(before.map(sale_id), limit, Freshness::Fresh).await.unwrap();
        page.iter().map(|row| row.sale.id.get()).collect()
    };
    assert_eq!(list(None, 10).await, [4, 3, 2, 1]);
    assert_eq!(list(None, 3).await, [4, 3, 2]);
    assert_eq!(list(Some(3), 10).await, [2, 1]);
    assert_eq!(list(Some(1), 10).await, [0; 0]);
}

/// "Every sale that may still change by itself: one whose standby is not over …"
pub async fn a_sale_whose_standby_is_not_over_is_unsettled(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    assert_eq!(unsettled(&stores).await, [SALE]);
}

/// "… where somebody stands by, reserves or pays, or where units wait to be put up."
pub async fn a_sale_that_can_change_no_more_by_itself_is_settled(stores: Stores) {
    let over = |book: Book| Book { standby_over: true, standby_open: false, ..book };
    let cases: [(u64, &[ClaimStatus], Book); 5] = [
        (1, &[ClaimStatus::Expired, ClaimStatus::Left], Book::new(5, &TERMS)),
        (2, &[ClaimStatus::Expired, ClaimStatus::Reserved], Book { taken: 1, ..Book::new(5, &TERMS) }),
        (3, &[ClaimStatus::Paying], Book { taken: 1, ..Book::new(5, &TERMS) }),
        (4, &[ClaimStatus::Standby], Book { standing: 1, ..Book::new(5, &TERMS) }),
        (5, &[], Book { incoming: 1, ..Book::new(5, &TERMS) }),
    ];
    for (raw, statuses, book) in cases {
        let id = sale_id(raw);
        scene::open_sale_as(&stores, id, 5, TERMS).await;
        let tx = stores.sales.lock(id).await.unwrap().unwrap();
        let until = Some(tx.now() + Duration::from_hours(1));
        let made = (1..).zip(statuses).map(|(seq, status)| {
            let mut change = scene::made(seq, *status, until);
            change.claim.sale = id;
            change
        });
        let changes: Vec<_> = made.collect();
        let next_seq = 1 + changes.len() as u64;
        tx.commit(over(Book { next_seq, ..book }), &changes).await.unwrap();
    }
    assert_eq!(unsettled(&stores).await, [2, 3, 4, 5].map(sale_id));
}

/// "In the order of id."
pub async fn unsettled_sales_are_listed_in_the_order_of_id(stores: Stores) {
    for raw in [9, 2, 30, 1] {
        scene::open_sale_as(&stores, sale_id(raw), 1, TERMS).await;
    }
    assert_eq!(unsettled(&stores).await, [1, 2, 9, 30].map(sale_id));
}

/// "All are as of one moment of committed data", with the book, the terms, and what the claims promise.
pub async fn an_unsettled_sale_tells_what_it_waits_for(stores: Stores) {
    let (quiet, brief) = (sale_id(1), Terms { hold: Duration::from_secs(90), ..TERMS });
    scene::open_sale_as(&stores, quiet, 3, brief).await;
    scene::open_sale(&stores, 3, TERMS).await;
    let before = stores.clock.now();
    let first = scene::ask(&stores, 1..2).await[0];
    scene::ask(&stores, 2..3).await;
    let look = async || {
        let [other, sale] = stores.sales.list_unsettled().await.unwrap()[..] else { panic!("there are two") };
        assert_eq!((other.id, other.terms, other.has_claims()), (quiet, brief, false));
        assert_eq!(other.outlook, Outlook { first_end: None, is_holding: false });
        assert_eq!((sale.id, sale.terms, sale.book), (SALE, TERMS, scene::book(&stores).await));
        assert!(sale.now >= before && sale.has_claims());
        sale.outlook
    };
    assert_eq!(look().await, Outlook { first_end: first.hold_until, is_holding: true });
    scene::leave(&stores, user(2)).await;
    let payment = scene::begin_payment(&stores, user(1), scene::payment_id(1)).await;
    assert_eq!(look().await, Outlook { first_end: None, is_holding: true }, "who pays has no end");
    scene::succeed(&stores, payment).await;
    assert_eq!(look().await, Outlook { first_end: None, is_holding: false });
}

async fn unsettled(stores: &Stores) -> Vec<SaleId> {
    stores.sales.list_unsettled().await.unwrap().iter().map(|sale| sale.id).collect()
}

/// "Begins a transaction that holds the lock of the sale's row; waits for other holders."
pub async fn a_lock_waits_for_the_holder_and_then_comes(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    let mut holder = scene::lock(&stores).await;
    let mut waiter = pin!(stores.sales.lock(SALE));
    for _ in 0..20 {
        assert!(poll_once(waiter.as_mut()).await.is_none(), "two hold the lock");
        holder.claims_of(&[user(1)]).await.unwrap();
    }
    drop(holder);
    assert!(waiter.await.unwrap().is_some());
}

/// "At most one exists for a sale at any time": changes of a row by many holders are all counted.
pub async fn every_holder_builds_on_the_one_before(stores: Stores) {
    const PEOPLE: u64 = 8;
    const TURNS: u64 = 10;
    let ids = [sale_id(1), sale_id(2)];
    for id in ids {
        scene::open_sale_as(&stores, id, 1, TERMS).await;
    }
    let count_up = async |id: SaleId| {
        for _ in 0..TURNS {
            let tx = stores.sales.lock(id).await.unwrap().unwrap();
            let book = tx.book();
            tx.commit(Book { version: book.version + 1, ..book }, &[]).await.unwrap();
        }
    };
    futures_util::future::join_all((0..PEOPLE).flat_map(|_| ids).map(count_up)).await;
    for id in ids {
        assert_eq!(stores.sales.lookup(id).await.unwrap().unwrap().book.version, 1 + PEOPLE * TURNS);
    }
}

/// "Reads see committed data only."
pub async fn what_is_not_committed_is_not_seen(stores: Stores) {
    scene::open_sale(&stores, 1, TERMS).await;
    let before = stores.sales.lookup(SALE).await.unwrap().unwrap();
    let mut tx = scene::lock(&stores).await;
    let (book, made) = scene::decided(&mut tx, SALE, 1..3).await;
    assert_eq!(scene::book(&stores).await, before.book);
    let mut commit = Box::pin(tx.commit(book, &made));
    let mut is_done = poll_once(commit.as_mut()).await.is_some();
    while !is_done {
        let seen = scene::snapshot(&stores).await;
        let is_whole = seen.book == book && seen.claims.len() == made.len();
        assert!(is_whole || (seen.book == before.book && seen.claims.is_empty()));
        is_done = poll_once(commit.as_mut()).await.is_some();
    }
    assert_eq!(scene::book(&stores).await, book);
}

/// "… and at least everything whose commit this process was told of."
pub async fn a_read_sees_every_commit_that_was_told(stores: Stores) {
    scene::open_sale(&stores, 50, TERMS).await;
    for raw in 1..=50 {
        let made = scene::ask(&stores, raw..raw + 1).await;
        assert_eq!(scene::book(&stores).await.taken, u32::try_from(raw).unwrap());
        assert_eq!(scene::snapshot(&stores).await.claims.len() as u64, raw);
        assert_eq!(scene::claim(&stores, user(raw)).await, made.first().copied());
    }
}

/// "Everything the sale wrote."
pub async fn a_snapshot_has_everything_that_the_sale_wrote_and_nothing_else(stores: Stores) {
    let other = sale_id(1);
    scene::open_sale_as(&stores, other, 5, TERMS).await;
    scene::ask_in(&stores, other, 1..9).await;
    scene::open_sale(&stores, 2, TERMS).await;
    scene::ask(&stores, 1..5).await;
    let payment = scene::begin_payment(&stores, user(1), scene::payment_id(1)).await;
    scene::succeed(&stores, payment).await;
    scene::leave(&stores, user(2)).await;
    let told = scene::snapshot(&stores).await;
    assert_eq!((told.sale, told.terms, told.book), (SALE, TERMS, scene::book(&stores).await));
    let statuses: Vec<_> = told.claims.iter().map(|claim| (claim.user, claim.status)).collect();
    let people = (1..5).map(user);
    let expected = [ClaimStatus::Paid, ClaimStatus::Released, ClaimStatus::Reserved, ClaimStatus::Standby];
    assert_eq!(statuses, people.zip(expected).collect::<Vec<_>>());
    let events: Vec<_> = told.events.iter().map(|event| (event.user.get(), event.rev)).collect();
    assert_eq!(events, [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (1, 3), (2, 2), (3, 2)]);
    assert!(told.events.is_sorted_by_key(|event| event.id));
    assert_eq!((told.orders.len(), told.payments.len()), (1, 1));
    assert_eq!((told.orders[0].user, told.orders[0].payment), (user(1), payment.id));
    assert_eq!(audit(&told), []);
}

/// "… does not hold up writers", nor is it held up by one.
pub async fn a_snapshot_is_read_while_somebody_holds_the_lock(stores: Stores) {
    scene::open_sale(&stores, 2, TERMS).await;
    scene::ask(&stores, 1..2).await;
    let mut tx = scene::lock(&stores).await;
    assert_eq!(scene::snapshot(&stores).await.claims.len(), 1);
    let (book, made) = scene::decided(&mut tx, SALE, 2..3).await;
    let (committed, _) = join(tx.commit(book, &made), scene::snapshot(&stores)).await;
    committed.unwrap();
}

/// "… as one snapshot of committed data."
pub async fn a_snapshot_is_of_one_moment_while_others_write(stores: Stores) {
    const BATCHES: u64 = 60;
    scene::open_sale(&stores, 150, Terms { hold: Duration::ZERO, ..TERMS }).await;
    let is_writing = Cell::new(true);
    let write = async {
        for batch in 0..BATCHES {
            scene::ask(&stores, batch * 7 + 1..batch * 7 + 8).await;
            scene::settle_once(&stores).await;
        }
        let mut tx = scene::lock(&stores).await;
        let (terms, now, mut book) = (tx.terms(), tx.now(), tx.book());
        tx.claims_of(&[]).await.unwrap();
        pause(&terms, &mut book, now).unwrap();
        tx.commit(book, &[]).await.unwrap();
        is_writing.set(false);
    };
    let read = async {
        let mut versions = Vec::new();
        while is_writing.get() {
            let told = scene::snapshot(&stores).await;
            assert_eq!(audit(&told), []);
            versions.push(told.book.version);
        }
        assert!(versions.is_sorted(), "snapshots go back in time");
        versions.dedup();
        assert!(versions.len() > 2, "nothing was read while it changed");
    };
    join(write, read).await;
    assert!(scene::snapshot(&stores).await.book.paused);
}
