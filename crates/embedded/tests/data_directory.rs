//! The data directory: who may open it, what is in it afterwards, and what closing means.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{BusEvent, PaymentMethod, PortError};
use miaosha_domain::payment::ProviderState;
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;
use miaosha_embedded::{Embedded, OpenError};
use miaosha_testkit::contract::scene::{self, SALE, TERMS, payment_id, usd};
use miaosha_testkit::contract::{ManualClock, run};

#[test]
fn a_missing_directory_is_made_for_this_user_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/b");
    Embedded::open(&directory).unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_is_open_once_and_free_after_closing() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..3 {
            let embedded = Embedded::open(directory.path()).unwrap();
            assert!(matches!(Embedded::open(directory.path()), Err(OpenError::InUse)));
            embedded.close().await;
        }
    });
}

#[test]
fn what_was_stored_is_there_after_closing_and_opening() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let sale = scene::full_sale(SALE);
        let embedded = Embedded::open(directory.path()).unwrap();
        embedded.sales.create(&sale, &Book::new(1, &TERMS)).await.unwrap();
        embedded.close().await;
        assert!(!directory.path().join("miaosha.sqlite-wal").exists(), "the log is written back");
        let embedded = Embedded::open(directory.path()).unwrap();
        assert_eq!(embedded.sales.lookup(SALE).await.unwrap().unwrap().sale, sale);
    });
}

#[test]
fn after_closing_every_call_is_refused_for_good() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(directory.path()).unwrap();
        let (sales, queue) = (Arc::clone(&embedded.sales), Arc::clone(&embedded.queue));
        let (timers, bus) = (Arc::clone(&embedded.timers), Arc::clone(&embedded.bus));
        let (provider, mut follower) = (Arc::clone(&embedded.provider), embedded.bus.subscribe());
        embedded.close().await;
        assert!(sales.lookup(SALE).await.unwrap_err().is_terminal());
        assert!(sales.lock(SALE).await.err().unwrap().is_terminal());
        assert!(provider.query(payment_id(1)).await.unwrap_err().is_terminal());
        assert!(queue.next().await.is_none() && timers.next().await.is_none());
        assert!(matches!(follower.next().await, BusEvent::Closed));
        assert!(matches!(bus.subscribe().next().await, BusEvent::Closed));
    });
}

#[test]
fn closing_waits_for_the_transaction_under_way() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(directory.path()).unwrap();
        embedded.sales.create(&scene::plain_sale(SALE), &Book::new(1, &TERMS)).await.unwrap();
        let tx = embedded.sales.lock(SALE).await.unwrap().unwrap();
        let book = Book { version: 9, ..tx.book() };
        let (committed, ()) = futures_util::future::join(tx.commit(book, &[]), embedded.close()).await;
        committed.unwrap();
        let embedded = Embedded::open(directory.path()).unwrap();
        assert_eq!(embedded.sales.lookup(SALE).await.unwrap().unwrap().book, book);
    });
}

#[test]
fn a_newer_schema_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    set_version(directory.path(), 99);
    let refused = Embedded::open(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::NewerSchema { found: 99, known: 1 }));
    assert!(refused.to_string().contains("use a newer version"));
}

fn set_version(directory: &Path, version: u32) {
    let connection = rusqlite::Connection::open(directory.join("miaosha.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("miaosha.sqlite"), "this is not a database, whatever it says".repeat(99))
        .unwrap();
    assert!(matches!(Embedded::open(directory.path()), Err(OpenError::Database(_))));
}

#[test]
fn a_row_that_would_break_an_invariant_is_refused_for_good() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(directory.path()).unwrap();
        embedded.sales.create(&scene::plain_sale(SALE), &Book::new(1, &TERMS)).await.unwrap();
        let tx = embedded.sales.lock(SALE).await.unwrap().unwrap();
        let book = tx.book();
        let refused = tx.commit(Book { taken: 2, ..book }, &[]).await;
        assert!(matches!(refused, Err(PortError::Terminal { .. })), "more is taken than there is");
        assert_eq!(embedded.sales.lookup(SALE).await.unwrap().unwrap().book, book);
    });
}

#[test]
fn the_slow_card_of_the_sandbox_pays_after_five_seconds_also_across_a_restart() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let slow = PaymentMethod::Sandbox { card: "4000000000000259".to_owned() };
        let embedded = Embedded::open_with_clock(directory.path(), Arc::clone(&clock) as _).unwrap();
        let told = embedded.provider.authorise(payment_id(1), usd(500), &slow).await.unwrap();
        assert_eq!(told, ProviderState::Pending);
        clock.advance(Duration::from_millis(4_999));
        embedded.close().await;
        let embedded = Embedded::open_with_clock(directory.path(), Arc::clone(&clock) as _).unwrap();
        assert_eq!(embedded.provider.query(payment_id(1)).await.unwrap(), ProviderState::Pending);
        clock.advance(Duration::from_millis(1));
        assert_eq!(embedded.provider.query(payment_id(1)).await.unwrap(), ProviderState::Authorised);
        assert_eq!(embedded.provider.capture(payment_id(1)).await.unwrap(), ProviderState::Captured);
    });
}
