//! A sale while the server is killed: nothing is oversold, undersold or lost, and everybody has one outcome.
//!
//! `make faults` prints the counts. `FAULTS_PEOPLE` and `FAULTS_SEED` change the size and the moments.
#![expect(clippy::disallowed_methods, reason = "a test's own settings, and tasks that it awaits itself")]
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use support::{PATIENCE, Site};
use tokio::sync::RwLock;

const MINT: (&str, &str) = ("MIAOSHA_DEV__TOKEN_MINT", "true");
/// Requests under way at once.
const BUYERS_AT_ONCE: usize = 256;
/// How long a whole run may take.
const RUN_MAX: Duration = Duration::from_mins(5);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A site that others use while it is killed and restarted: who asks while it is away waits.
struct Shop {
    site: RwLock<Site>,
    kills: AtomicUsize,
}

impl Shop {
    fn open(site: Site) -> Arc<Self> {
        Arc::new(Self { site: RwLock::new(site), kills: AtomicUsize::new(0) })
    }

    /// `kill -9` in the middle of whatever is under way, then a restart.
    async fn crash(&self) {
        let pid = self.site.read().await.pid();
        // The signal comes while requests hold the read lock, so they see their connections break.
        let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        assert!(killed.success());
        let mut site = self.site.write().await;
        site.kill();
        site.restart();
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for a unit until there is an answer that is final for the client: 202 or 200.
    async fn buy(&self, sale: &str, token: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = {
                let site = self.site.read().await;
                let body = serde_json::json!({ "answer": "" });
                let path = format!("/api/v1/sales/{sale}/requests");
                site.try_call(hyper::Method::POST, &path, Some(token), Some(body)).await
            };
            match answer {
                Ok(answer) if matches!(answer.status, 200 | 202) => return answer.text("status").to_owned(),
                Ok(answer) => assert!(answer.status == 503, "{answer:?}"),
                Err(_connection_broke) => {}
            }
            assert!(Instant::now() < deadline, "no answer for too long");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_the_stock_while_the_server_is_killed_three_times() {
    let people = usize::try_from(setting("FAULTS_PEOPLE", 100_000)).unwrap();
    let seed = setting("FAULTS_SEED", 1);
    let (stock, standby) = (people / 100, people / 200);
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT]);
    let sale = site.create_sale(&[
        "--stock",
        &stock.to_string(),
        "--standby",
        &standby.to_string(),
        "--starts-in",
        "0s",
        "--hold",
        "1h",
        "--lasts",
        "1h",
    ]);
    let tokens: Arc<[String]> = site.tokens(1, people as u64).into();
    assert_eq!(tokens.len(), people);

    let mut order: Vec<usize> = (0..people).chain((0..people).filter(|person| person % 2 == 0)).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(seed));
    let order: Arc<[usize]> = order.into();
    let shop = Shop::open(site);
    let (next, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let buyers: Vec<_> = (0..BUYERS_AT_ONCE)
        .map(|_| {
            let (shop, order, tokens, sale) = (shop.clone(), order.clone(), tokens.clone(), sale.clone());
            let (next, answered) = (next.clone(), answered.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while let Some(&person) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    answers.push((person, shop.buy(&sale, &tokens[person]).await));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                answers
            })
        })
        .collect();
    // Twice while units and standby are being given, once while all are refused.
    for moment in [stock / 2, stock + standby / 2, order.len() / 2] {
        while answered.load(Ordering::Relaxed) < moment {
            assert!(started.elapsed() < RUN_MAX, "the crowd does not get on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        shop.crash().await;
    }
    let mut answers: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for buyer in buyers {
        for (person, answer) in buyer.await.unwrap() {
            answers.entry(person).or_default().insert(answer);
        }
    }
    let took = started.elapsed();
    let outcomes = look_everybody_up(&shop, &sale, &tokens).await;
    let verified = shop.site.read().await.verify(&sale);

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (person, claim) in outcomes.iter().enumerate() {
        let status = claim["status"].as_str().unwrap();
        *counts.entry(status).or_default() += 1;
        for told in &answers[&person] {
            // "queued" may end in anything; "sold_out" may only be told to those without a claim.
            let agrees = told == "queued"
                || told == status
                || (told == "sold_out" && !matches!(status, "reserved" | "standby"));
            assert!(agrees, "person {person} was told {told} and is {status}");
        }
        if status == "standby" {
            places.insert(claim["seq"].as_u64().unwrap(), claim["position"].as_u64().unwrap());
        }
    }
    println!(
        "people {people}, requests {}, kills 3, {:.1} s, outcomes {counts:?}",
        order.len(),
        took.as_secs_f64()
    );
    println!("verify {verified}");
    assert_eq!(counts.get("reserved"), Some(&stock));
    assert_eq!(counts.get("standby"), Some(&standby));
    assert!(
        counts.keys().all(|status| matches!(*status, "reserved" | "standby" | "rejected" | "none")),
        "{counts:?}"
    );
    assert!(places.values().copied().eq(1..=standby as u64), "standby is in the order of decision");
}

/// Everybody's claim, in order.
async fn look_everybody_up(shop: &Arc<Shop>, sale: &str, tokens: &Arc<[String]>) -> Vec<Value> {
    let next = Arc::new(AtomicUsize::new(0));
    let lookers: Vec<_> = (0..64)
        .map(|_| {
            let (shop, tokens, sale, next) = (shop.clone(), tokens.clone(), sale.to_owned(), next.clone());
            tokio::spawn(async move {
                let mut found = Vec::new();
                loop {
                    let person = next.fetch_add(1, Ordering::Relaxed);
                    let Some(token) = tokens.get(person) else { return found };
                    found.push((person, shop.site.read().await.claim(&sale, token).await.body));
                }
            })
        })
        .collect();
    let mut claims = BTreeMap::new();
    for looker in lookers {
        claims.extend(looker.await.unwrap());
    }
    claims.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_at_random_moments_of_a_sale_with_paying_buyers_break_nothing() {
    const PEOPLE: u64 = 600;
    const STOCK: u64 = 150;
    let seed = setting("FAULTS_SEED", 1);
    let mut random = SmallRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT, ("MIAOSHA_CHECKOUT__LEASE_MS", "1500")]);
    let sale = site.create_sale(&[
        "--stock",
        &STOCK.to_string(),
        "--standby",
        "300",
        "--starts-in",
        "0s",
        "--hold",
        "3s",
        "--lasts",
        "1h",
        "--price",
        "199.00",
    ]);
    let tokens: Arc<[String]> = site.tokens(1, PEOPLE).into();
    let shop = Shop::open(site);
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let buyers: Vec<_> = (0..PEOPLE)
        .map(|person| {
            let (shop, tokens, sale, is_over) = (shop.clone(), tokens.clone(), sale.clone(), is_over.clone());
            let random = SmallRng::seed_from_u64(seed ^ (person << 20));
            tokio::spawn(async move {
                let token = &tokens[usize::try_from(person).unwrap()];
                buyer(&shop, &sale, token, random, &is_over).await
            })
        })
        .collect();
    for kill in 1..=10 {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..1_200))).await;
        shop.crash().await;
        let found = shop.site.read().await.verify(&sale);
        println!("kill {kill}: {found}");
    }
    is_over.store(true, Ordering::Relaxed);
    let mut paid_as_told = 0;
    for buyer in buyers {
        paid_as_told += u64::from(buyer.await.unwrap());
    }
    let settled = wait_until_no_payment_is_open(&shop, &sale).await;
    println!("seed {seed}, told of an order {paid_as_told}, at the end {settled}");
    assert!(settled["paid"].as_u64().unwrap() >= paid_as_told, "nobody is told of an order that is lost");
    assert_eq!(settled["paid"], settled["orders"]);
    assert!(settled["paid"].as_u64().unwrap() > 0);
}

/// Pays; pays, and its answer is lost; pays after 5 s; is declined.
const CARDS: [&str; 4] = ["4242424242424242", "4000000000000341", "4000000000000259", "4000000000000002"];

/// One person: asks, waits for a reservation, and then pays, gives up or dawdles. Whether he was told of an order.
async fn buyer(
    shop: &Shop,
    sale: &str,
    token: &str,
    mut random: SmallRng,
    is_over: &std::sync::atomic::AtomicBool,
) -> bool {
    tokio::time::sleep(Duration::from_millis(random.random_range(0..4_000))).await;
    let _asked = shop.buy(sale, token).await;
    while !is_over.load(Ordering::Relaxed) {
        let path = format!("/api/v1/sales/{sale}/claim");
        let found = shop.site.read().await.try_call(hyper::Method::GET, &path, Some(token), None).await;
        let Ok(claim) = found else { continue };
        match claim.body["status"].as_str().unwrap_or_default() {
            "reserved" => match random.random_range(0..10) {
                0..=5 => {
                    // A reservation past its deadline has none; it is about to expire.
                    let Some(checkout_token) = claim.body["checkout_token"].as_str() else { continue };
                    let card = CARDS[random.random_range(0..CARDS.len())];
                    if shop
                        .site
                        .read()
                        .await
                        .try_check_out(checkout_token, card)
                        .await
                        .is_ok_and(|paid| paid.status == 201)
                    {
                        return true;
                    }
                }
                6 => {
                    let site = shop.site.read().await;
                    let _given_up = site.try_call(hyper::Method::DELETE, &path, Some(token), None).await;
                }
                _ => {}
            },
            "paid" => return true,
            "expired" | "released" | "left" | "rejected" => return false,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
    }
    false
}

async fn wait_until_no_payment_is_open(shop: &Shop, sale: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = shop.site.read().await.verify(sale);
        if found["paying"] == 0 {
            return found;
        }
        assert!(Instant::now() < deadline, "payments stay open: {found}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
