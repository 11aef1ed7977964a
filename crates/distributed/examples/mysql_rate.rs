//! How fast a server decides: `cargo run --release -p miaosha-distributed --example mysql_rate mysql://root@127.0.0.1:3306/rate`.
//!
//! The database is made if it is missing; give one that holds nothing else. What it shows depends on the machine, its
//! disk and the server's settings, so it is a figure to report beside them, not a test.

#![expect(clippy::unwrap_used, reason = "a program for a terminal, run by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use miaosha_app::ports::{ClaimWrite, SaleStore};
use miaosha_distributed::mysql::{Mysql, MysqlConfig, migrate};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::payment;
use miaosha_domain::sale::Book;
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::scene::{self, TERMS, payment_id, sale_id, user};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).expect("the address of a database");
    let config = MysqlConfig {
        accept_unsafe_flush: true,
        acquire_timeout: Duration::from_secs(10),
        read_timeout: Duration::from_secs(10),
        ..MysqlConfig::new(url)
    };
    let begun = Instant::now();
    let migrated = migrate(&config, Duration::from_secs(10)).await.unwrap();
    println!("schema {} to {}: {:.1} ms", migrated.from, migrated.to, millis(begun.elapsed()));
    let mysql = Mysql::connect(&config, Arc::new(SystemClock)).await.unwrap();
    let first = 1 + mysql
        .sales
        .list(None, 1, miaosha_app::ports::Freshness::Fresh)
        .await
        .unwrap()
        .first()
        .map_or(0, |row| row.sale.id.get());
    batches(&mysql, &[sale_id(first)], 1, 1_000).await;
    batches(&mysql, &[sale_id(first + 1)], 256, 1_000).await;
    batches(&mysql, &[sale_id(first + 2)], 1_000, 250).await;
    let four = [3, 4, 5, 6].map(|more| sale_id(first + more));
    batches(&mysql, &four, 256, 1_000).await;
    payments(&mysql, sale_id(first + 7), 1_000).await;
    look_ups(&mysql, sale_id(first + 7), 5_000).await;
    mysql.close().await;
}

/// Batches of people who all win, in these sales at once.
async fn batches(mysql: &Mysql, sales: &[SaleId], people: u64, count: u64) {
    for sale in sales {
        open(mysql.sales.as_ref(), *sale).await;
    }
    let begun = Instant::now();
    let each = count / sales.len() as u64;
    let spans = join_all(sales.iter().map(async |sale| {
        let mut spans = Vec::new();
        for batch in 0..each {
            let begun = Instant::now();
            ask(mysql, *sale, 1 + batch * people, people).await;
            spans.push(begun.elapsed());
        }
        spans
    }));
    let spans = spans.await.concat();
    let what = format!("{} sale(s) at once, transactions of {people} new claims", sales.len());
    report(&what, people, begun.elapsed(), spans);
}

async fn open(sales: &dyn SaleStore, id: SaleId) {
    let sale = scene::plain_sale(id);
    sales.create(&sale, &Book::new(1_000_000, &TERMS)).await.unwrap();
}

async fn ask(mysql: &Mysql, sale: SaleId, first: u64, people: u64) -> Vec<UserId> {
    let mut tx = mysql.sales.lock(sale).await.unwrap().unwrap();
    let (book, made) = scene::decided(&mut tx, sale, first..first + people).await;
    tx.commit(book, &made).await.unwrap();
    assert_eq!(made.len() as u64, people);
    made.iter().map(|change| change.claim.user).collect()
}

/// Beginnings of payments, eight at once.
async fn payments(mysql: &Mysql, sale: SaleId, count: u64) {
    open(mysql.sales.as_ref(), sale).await;
    for first in (1..=count).step_by(500) {
        ask(mysql, sale, first, 500).await;
    }
    let begun = Instant::now();
    let spans = join_all((0..8).map(async |lane| {
        let mut spans = Vec::new();
        for raw in (1..=count).filter(|raw| raw % 8 == lane) {
            let begun = Instant::now();
            let tx = mysql.claims.lock(sale, user(raw)).await.unwrap().unwrap();
            let (claim, now) = (tx.claim(), tx.now());
            let id = payment_id(sale.get() * 1_000_000 + raw);
            let write = ClaimWrite {
                change: Some(payment::begin(claim, id, Duration::from_mins(1), now).unwrap()),
                payment: Some(scene::payment_of(&claim, id, now)),
                shipping: Some(scene::shipping()),
                order: None,
            };
            tx.commit(write).await.unwrap();
            spans.push(begun.elapsed());
        }
        spans
    }));
    let spans = spans.await.concat();
    report("payments begun, eight at once", 1, begun.elapsed(), spans);
}

async fn look_ups(mysql: &Mysql, sale: SaleId, count: u64) {
    let begun = Instant::now();
    let mut spans = Vec::new();
    for raw in 1..=count {
        let begun = Instant::now();
        assert_eq!(mysql.claims.lookup_many(sale, &[user(1 + raw % 1_000)]).await.unwrap().len(), 1);
        spans.push(begun.elapsed());
    }
    report("look-ups of a claim, one after another", 1, begun.elapsed(), spans);
}

fn report(what: &str, claims_each: u64, took: Duration, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let at = |per_mille: usize| millis(spans[(spans.len() - 1) * per_mille / 1_000]);
    let rate = f64::from(u32::try_from(spans.len()).unwrap()) / took.as_secs_f64();
    println!(
        "{what}: {rate:.0}/s, {:.0} claims/s; p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        rate * f64::from(u32::try_from(claims_each).unwrap()),
        at(500),
        at(990),
        at(1_000),
    );
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}
