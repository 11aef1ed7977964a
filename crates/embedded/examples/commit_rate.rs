//! How fast the writer commits: `cargo run --release -p miaosha-embedded --example commit_rate [DIRECTORY]`.
//!
//! Every transaction is durable when it counts. What it shows depends on the disk of the directory (by default the
//! temporary one), so it is a figure to report beside the machine, not a test.

#![expect(clippy::unwrap_used, reason = "a program for a terminal, run by hand")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use miaosha_embedded::Embedded;
use miaosha_testkit::contract::Stores;
use miaosha_testkit::contract::scene::{self, TERMS, payment_id, sale_id, user};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent).unwrap();
    let begun = Instant::now();
    let embedded = Embedded::open(directory.path()).unwrap();
    println!("open a new directory: {:.1} ms", millis(begun.elapsed()));
    println!("resident after opening: {} KiB", resident_kib());
    let stores = Stores {
        sales: Arc::clone(&embedded.sales),
        claims: Arc::clone(&embedded.claims),
        orders: Arc::clone(&embedded.orders),
        payments: Arc::clone(&embedded.payments),
        users: Arc::clone(&embedded.users),
        idempotency: Arc::clone(&embedded.idempotency),
        clock: Arc::clone(&embedded.clock),
        keep: Box::new(()),
    };
    batches(&stores, 1, 1, 3_000).await;
    batches(&stores, 2, 256, 800).await;
    batches(&stores, 3, 1_000, 200).await;
    payments(&stores, 2_000).await;
    look_ups(&stores, 20_000).await;
    println!("resident afterwards: {} KiB", resident_kib());
    let begun = Instant::now();
    embedded.close().await;
    println!("close: {:.1} ms", millis(begun.elapsed()));
}

/// Batches of people who all win.
async fn batches(stores: &Stores, sale: u64, people: u64, count: u64) {
    let sale = sale_id(sale);
    scene::open_sale_as(stores, sale, 1_000_000, TERMS).await;
    let mut spans = Vec::new();
    for batch in 0..count {
        let first = 1 + batch * people;
        let begun = Instant::now();
        let made = scene::ask_in(stores, sale, first..first + people).await;
        spans.push(begun.elapsed());
        assert_eq!(made.len() as u64, people);
    }
    report(&format!("sale transactions of {people} new claims"), people, spans);
}

/// Both steps of a payment, each with a commit of its own.
async fn payments(stores: &Stores, count: u64) {
    scene::open_sale(stores, 1_000_000, TERMS).await;
    for first in (1..=count).step_by(500) {
        scene::ask(stores, first..first + 500).await;
    }
    let mut spans = Vec::new();
    for raw in 1..=count {
        let begun = Instant::now();
        let payment = scene::begin_payment(stores, user(raw), payment_id(raw)).await;
        scene::succeed(stores, payment).await;
        spans.push(begun.elapsed());
    }
    report("payments (two transactions each)", 1, spans);
}

async fn look_ups(stores: &Stores, count: u64) {
    let mut spans = Vec::new();
    for raw in 1..=count {
        let begun = Instant::now();
        assert!(scene::claim(stores, user(1 + raw % 2_000)).await.is_some());
        spans.push(begun.elapsed());
    }
    report("look-ups of a claim, one after another", 1, spans);
}

fn report(what: &str, claims_each: u64, mut spans: Vec<Duration>) {
    let total: Duration = spans.iter().sum();
    spans.sort_unstable();
    let at = |per_mille: usize| millis(spans[(spans.len() - 1) * per_mille / 1_000]);
    let count = u32::try_from(spans.len()).unwrap();
    let rate = f64::from(count) / total.as_secs_f64();
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

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
