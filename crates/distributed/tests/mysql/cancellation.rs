//! Callers who go away in the middle, and processes that stop in the middle.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use miaosha_app::model::{Role, User};
use miaosha_app::ports::{Freshness, PortError};
use miaosha_distributed::mysql::{Mysql, MysqlConfig};
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;
use miaosha_testkit::contract::scene::{self, SALE, TERMS, sale_id, user};
use miaosha_testkit::contract::{Stores, poll_once, run};

use crate::database::{TestDatabase, connect, stores_of};

const PEOPLE: u64 = 40;

/// Polls that many times, with others in between, and drops. Whether it was done before.
async fn cancelled_after(polls: u64, mut work: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
    for _ in 0..polls {
        if poll_once(work.as_mut()).await.is_some() {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// Fewer connections than callers who go away, so that one that is lost is missed.
async fn narrow(database: &TestDatabase) -> Arc<Mysql> {
    let config = MysqlConfig { transactions_max: 2, reads_max: 2, ..database.config() };
    Arc::new(connect(&config).await.unwrap())
}

/// At which moments callers go away: densely at first, then further and further apart, until the work is done.
fn moments() -> impl Iterator<Item = u64> {
    (0..25).chain((25..).scan(25_u64, |moment, _| {
        *moment += *moment / 6;
        Some(*moment)
    }))
}

#[test]
fn a_batch_whose_caller_goes_away_is_decided_whole_or_not_at_all() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(narrow(&database).await, Box::new(()));
        scene::open_sale(&stores, 100_000, TERMS).await;
        for (turn, moment) in (0..).zip(moments()) {
            let first = 1 + turn * PEOPLE;
            let work = Box::pin(async {
                let mut tx = scene::lock(&stores).await;
                tx.standing().await.unwrap();
                let (book, made) = scene::decided(&mut tx, SALE, first..first + PEOPLE).await;
                tx.commit(book, &made).await.unwrap();
            });
            let is_done = cancelled_after(moment, work).await;
            drop(scene::lock(&stores).await);
            let told = scene::snapshot(&stores).await;
            let written = told.claims.iter().filter(|claim| claim.user >= user(first)).count() as u64;
            assert!(written == PEOPLE || (written == 0 && !is_done), "{written} of {PEOPLE} were written");
            scene::assert_sound(&stores).await;
            if is_done {
                break;
            }
        }
        every_connection_works(&stores).await;
    });
}

#[test]
fn reads_and_single_writes_whose_callers_go_away_spoil_nothing() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(narrow(&database).await, Box::new(()));
        scene::open_sale(&stores, 100_000, TERMS).await;
        scene::ask(&stores, 1..500).await;
        for (turn, moment) in (0..).zip(moments().take(60)) {
            let email = format!("{turn}@example.com");
            let account = User {
                id: user(1 + turn),
                email: email.clone(),
                name: String::new(),
                role: Role::Buyer,
                password_hash: None,
                created_at: Timestamp::from_millis(0),
            };
            let works: [Pin<Box<dyn Future<Output = ()> + '_>>; 5] = [
                Box::pin(async { drop(scene::snapshot(&stores).await) }),
                Box::pin(async { drop(stores.claims.list(SALE, 0, 500).await.unwrap()) }),
                Box::pin(async { drop(stores.sales.list(None, 9, Freshness::StaleOk).await.unwrap()) }),
                Box::pin(async { assert!(stores.users.create(&account).await.is_ok()) }),
                Box::pin(async {
                    let sale = scene::full_sale(sale_id(100 + turn));
                    stores.sales.create(&sale, &Book::new(1, &TERMS)).await.unwrap();
                }),
            ];
            join_all(works.map(|work| cancelled_after(moment, work))).await;
            // Whatever became of them, it can be done again and then is there.
            stores.users.create(&account).await.unwrap();
            assert_eq!(stores.users.lookup_by_email(&email).await.unwrap(), Some(account));
            assert_eq!(scene::snapshot(&stores).await.claims.len(), 499);
        }
        every_connection_works(&stores).await;
    });
}

/// More at once than there are connections, of each kind.
async fn every_connection_works(stores: &Stores) {
    let ids: Vec<_> = (9_000..9_006).map(sale_id).collect();
    join_all(ids.iter().map(async |id| {
        scene::open_sale_as(stores, *id, 1, TERMS).await;
        assert_eq!(scene::ask_in(stores, *id, 1..2).await.len(), 1);
        assert_eq!(stores.claims.lookup_many(*id, &[user(1)]).await.unwrap().len(), 1);
    }))
    .await;
}

#[test]
fn a_process_that_stops_in_the_middle_loses_its_lock() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        let (told, is_held) = mpsc::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let config = database.config();
        let stuck = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mysql = connect(&config).await.unwrap();
                let tx = mysql.sales.lock(SALE).await.unwrap().unwrap();
                let book = tx.book();
                told.send(()).unwrap();
                // Nothing of this runtime runs meanwhile, but its sockets stay open.
                waits.recv().unwrap();
                tx.commit(Book { version: 99, ..book }, &[]).await
            })
        });
        is_held.recv().unwrap();
        // Waiting for a lock ends after a while, and may be done again.
        let tx = loop {
            match stores.sales.lock(SALE).await {
                Ok(tx) => break tx.unwrap(),
                Err(PortError::Retryable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let book = tx.book();
        tx.commit(Book { version: book.version + 1, ..book }, &[]).await.unwrap();
        go_on.send(()).unwrap();
        assert!(stuck.join().unwrap().is_err(), "a transaction outlived its lock");
        assert_eq!(scene::book(&stores).await.version, book.version + 1);
    });
}

#[test]
fn a_transaction_that_takes_too_long_is_rolled_back() {
    run(async {
        let database = TestDatabase::migrated().await;
        let stores = stores_of(Arc::new(database.connect().await), Box::new(()));
        scene::open_sale(&stores, 9, TERMS).await;
        let mut slow = scene::lock(&stores).await;
        let waiting = async { while stores.sales.lock(SALE).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the lock is never given free");
        assert!(matches!(slow.standing().await, Err(PortError::Retryable { .. })));
    });
}

#[test]
fn two_processes_decide_on_one_sale() {
    run(async {
        const STOCK: u32 = 60;
        let database = TestDatabase::migrated().await;
        let nodes = [database.connect().await, database.connect().await];
        let nodes = nodes.map(|mysql| stores_of(Arc::new(mysql), Box::new(())));
        scene::open_sale(&nodes[0], STOCK, TERMS).await;
        // The same people at both, in other batches; some of them leave again.
        join_all(nodes.iter().zip([7_u64, 5]).map(async |(stores, size)| {
            for first in (1..120).step_by(usize::try_from(size).unwrap()) {
                let mut tx = scene::lock(stores).await;
                let (book, made) = scene::decided(&mut tx, SALE, first..first + size).await;
                tx.commit(book, &made).await.unwrap();
                if first % 3 == 0 && made.iter().any(|change| change.claim.user == user(first)) {
                    scene::leave(stores, user(first)).await;
                }
            }
        }))
        .await;
        scene::assert_sound(&nodes[0]).await;
        let told = scene::snapshot(&nodes[1]).await;
        assert_eq!(told.book.taken, STOCK);
        assert!(told.claims.len() >= 119);
    });
}
