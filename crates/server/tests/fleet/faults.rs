//! A crowd buys while everything that can fail fails, one after the other.

use std::collections::BTreeMap;
use std::ops::Range;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use miaosha_testkit::fault_proxy::{FaultProxy, StallEnd};
use miaosha_testkit::services::{Node, Service};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

use crate::crowd::{Crowd, Visit};
use crate::site::Fleet;
use crate::sold_out::{Free, Moment, expect_true, now};
use crate::support::PATIENCE;
use crate::{MACHINE, setting};

const SETTINGS: [(&str, &str); 3] = [
    ("MIAOSHA_DEV__TOKEN_MINT", "true"),
    ("MIAOSHA_CHECKOUT__LEASE_MS", "2000"),
    ("MIAOSHA_LOG__FILTER", "warn"),
];
/// How long the network to a service stands still.
const STALL: Duration = Duration::from_secs(5);
/// How far a replica lags: what it receives is applied so much later, and it is left so until it is that far behind.
const LAG_S: u32 = 10;
/// So long after Redis has lost writes, or was away, a rejection may still not be remembered.
const REDIS_BACK: Duration = Duration::from_secs(5);
/// So long before, somebody may have been answered `queued` who had not looked again when his rejection was lost, or whose
/// request still waited.
const REDIS_LOST: Duration = Duration::from_secs(20);
/// How long deciding what has piled up may take once the crowd is gone.
const BACKLOG_MAX: Duration = Duration::from_mins(1);
/// What everybody needs to come back after a fault.
const RECOVERY: Duration = Duration::from_secs(2);

/// What can happen to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    PublisherKilled,
    PushKilled,
    ConsumerKilled,
    GeneralKilled,
    RedisFailedOver,
    RedisFlushed,
    RabbitmqRestarted,
    MysqlRestarted,
    ReplicaKilled,
    ReplicaLags,
    RedisStalled,
    RabbitmqStalled,
    MysqlStalled,
    ReplicaStalled,
}

const FAULTS: [Fault; 14] = [
    Fault::PublisherKilled,
    Fault::PushKilled,
    Fault::ConsumerKilled,
    Fault::GeneralKilled,
    Fault::RedisFailedOver,
    Fault::RedisFlushed,
    Fault::RabbitmqRestarted,
    Fault::MysqlRestarted,
    Fault::ReplicaKilled,
    Fault::ReplicaLags,
    Fault::RedisStalled,
    Fault::RabbitmqStalled,
    Fault::MysqlStalled,
    Fault::ReplicaStalled,
];

impl Fault {
    /// Whether Redis may lose what it was told, or is not told it.
    fn loses_redis(self) -> bool {
        matches!(self, Self::RedisFailedOver | Self::RedisFlushed | Self::RedisStalled)
    }

    /// Lets it happen, and makes it good where that takes a hand: everything else comes back by itself.
    fn happen(self, fleet: &Fleet, sale: &str, random: &mut SmallRng) {
        let services = &fleet.services;
        match self {
            Self::PublisherKilled => crash_one(&fleet.site.publishers, random),
            Self::PushKilled => crash_one(&fleet.site.push, random),
            Self::ConsumerKilled => crash_one(&fleet.site.consumers, random),
            Self::GeneralKilled => crash_one(&fleet.site.general, random),
            Self::RedisFailedOver => {
                let slot = services.redis.slot_of(&format!("{{sale:{sale}}}")).unwrap();
                let killed = services.redis.fail_over(slot).unwrap();
                services.redis.nodes[killed].start_again().unwrap();
                services.redis.wait_until_ok().unwrap();
            }
            Self::RedisFlushed => services.redis.flush_all().unwrap(),
            Self::RabbitmqRestarted => restart(&services.rabbitmq),
            Self::MysqlRestarted => restart(&services.mysql.primary),
            Self::ReplicaKilled => {
                services.mysql.replicas[0].kill();
                std::thread::sleep(RECOVERY);
                services.mysql.replicas[0].start_again().unwrap();
            }
            Self::ReplicaLags => {
                services.mysql.replicas[1].lag(LAG_S).unwrap();
                std::thread::sleep(Duration::from_secs(LAG_S.into()));
                services.mysql.replicas[1].lag(0).unwrap();
            }
            Self::RedisStalled => stall(&services.redis.proxies, random),
            Self::RabbitmqStalled => stall(slice::from_ref(&fleet.rabbitmq_proxy), random),
            Self::MysqlStalled => stall(slice::from_ref(&fleet.mysql_proxy), random),
            Self::ReplicaStalled => {
                let proxy = fleet.replica_proxies.choose(random).unwrap();
                stall(slice::from_ref(proxy), random);
            }
        }
    }
}

fn crash_one(nodes: &[Node], random: &mut SmallRng) {
    let node = &nodes[random.random_range(0..nodes.len())];
    node.kill();
    std::thread::sleep(Duration::from_millis(random.random_range(0..2_000)));
    node.start_again().unwrap();
}

fn restart(service: &impl Service) {
    service.stop();
    service.start_again().unwrap();
}

/// The network stands still; then it works again, and what was held is lost or comes late.
fn stall(proxies: &[FaultProxy], random: &mut SmallRng) {
    for proxy in proxies {
        proxy.stall().unwrap();
    }
    std::thread::sleep(STALL);
    let end = if random.random() { StallEnd::Cut } else { StallEnd::Late };
    for proxy in proxies {
        proxy.end_stall(end).unwrap();
    }
    println!("what was held: {end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_exactly_the_stock_while_everything_fails_in_turn() {
    let _alone = MACHINE.lock().await;
    let people = setting("FLEET_PEOPLE", 6_000);
    let first_seed = setting("FLEET_SEED", 1);
    for seed in first_seed..first_seed + setting("FLEET_SEEDS", 1) {
        run(people, seed).await;
    }
}

async fn run(people: u64, seed: u64) {
    let fleet = tokio::task::spawn_blocking(|| Fleet::start(&SETTINGS)).await.unwrap();
    let stock = (people / 100).max(1);
    let number = |value: u64| value.to_string();
    let sale = fleet.create_sale(&[
        "--stock",
        &number(stock),
        "--standby",
        &number(stock / 2),
        "--starts-in",
        "2s",
        "--hold",
        "5s",
        "--lasts",
        "1h",
        "--price",
        "199.00",
    ]);
    let crowd = Arc::new(Crowd::gathered((*fleet).clone(), sale.clone(), fleet.tokens(people)));
    fleet.wait_until_open(&sale).await;
    let started = Instant::now();
    let mut random = SmallRng::seed_from_u64(seed);
    let mut faults = FAULTS.to_vec();
    faults.shuffle(&mut random);
    if let Ok(only) = std::env::var("FLEET_FAULTS") {
        faults.retain(|fault| only.split(',').any(|name| name == format!("{fault:?}")));
    }
    let span = (STALL + RECOVERY * 2) * u32::try_from(FAULTS.len()).unwrap();
    let visits = tokio::spawn({
        let crowd = crowd.clone();
        async move { crowd.come(span, seed).await }
    });
    let (fleet, past) = tokio::task::spawn_blocking(move || {
        let mut past = Past::default();
        for fault in faults {
            let (before, from) = (Instant::now(), now());
            fault.happen(&fleet, &sale, &mut random);
            if fault.loses_redis() {
                past.redis_lost.push((before, Instant::now()));
            }
            if fault == Fault::MysqlStalled {
                past.primary_stood_still.push(from..now());
            }
            println!(
                "{:6.1} s  {fault:?} ({:.1} s)",
                started.elapsed().as_secs_f32(),
                before.elapsed().as_secs_f32()
            );
            std::thread::sleep(RECOVERY);
        }
        (fleet, past)
    })
    .await
    .unwrap();
    while crowd.answered.load(Ordering::Relaxed) < crowd.tokens.len() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(started.elapsed() < span + PATIENCE * 6, "the crowd is not answered");
    }
    crowd.is_over.store(true, Ordering::Relaxed);
    let visits = visits.await.unwrap();
    let took = started.elapsed();
    check(&fleet, &crowd, &visits, &past).await;
    println!("seed {seed}: {:.0} s", took.as_secs_f64());
}

/// What happened that people, or this test, must be forgiving about.
#[derive(Default)]
struct Past {
    /// When Redis began to lose something, and when it was back, each time.
    redis_lost: Vec<(Instant, Instant)>,
    /// When the network to the primary stood still.
    primary_stood_still: Vec<Range<Moment>>,
}

impl Past {
    /// Whether a rejection of this person may have been lost before a look-up told him.
    fn may_have_lost(&self, visit: &Visit) -> bool {
        let was_open = |(began, ended): &(Instant, Instant)| {
            visit.told_at + REDIS_LOST >= *began && visit.told_at <= *ended + REDIS_BACK
        };
        !visit.was_told && self.redis_lost.iter().any(was_open)
    }
}

/// Compares what people were told with what they have, and prints the counts.
async fn check(fleet: &Fleet, crowd: &Crowd, visits: &[Visit], past: &Past) {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut with_order = 0;
    for (status, visit) in outcomes_of(crowd, visits, past).await.into_iter().zip(visits) {
        if visit.has_order {
            with_order += 1;
            assert_eq!(status, "paid", "somebody was told of an order that is lost: {visit:?}");
        }
        *outcomes.entry(status).or_default() += 1;
    }
    println!(
        "people {}, outcomes {outcomes:?}, told of an order {with_order}, calls without an answer {}",
        visits.len(),
        crowd.turned_away.load(Ordering::Relaxed)
    );
    let (heard, seen) = (crowd.heard.load(Ordering::Relaxed), crowd.orders_seen.load(Ordering::Relaxed));
    println!(
        "sockets had told {heard} times what a look-up said, lists of orders had {seen} times the one told of"
    );
    assert!(heard > 0 && seen > 0, "nobody listened, or nobody looked at his orders");
    let settled = fleet.settled(&crowd.sale).await;
    println!("verify {settled}");
    let free = Free::of_sale(fleet, &crowd.sale, &past.primary_stood_still);
    assert_eq!(
        free.left,
        settled["free"].as_i64().unwrap(),
        "the events do not tell how many units are free"
    );
    expect_true(&crowd.take_sold_out(), &free);
    let consumers = fleet.site.consumers.iter();
    assert!(consumers.filter_map(Service::stop).all(|ended| ended.success()), "a consumer did not drain");
    // What they had in hand is back in its queue now.
    let waiting = fleet.waiting_messages().await;
    assert!(waiting.values().all(|count| *count == 0), "messages are left: {waiting:?}");
    let promoted = fleet.promoted(&crowd.sale);
    assert!(promoted.is_sorted(), "standby was served out of order: {promoted:?}");
    assert!(!promoted.is_empty(), "nobody was promoted: the run shows too little");
    assert_eq!(settled["paid"], settled["orders"]);
    assert!(settled["paid"].as_u64().unwrap() > 0);
    let in_rows = |name: &str| settled[name].as_u64().unwrap();
    let units = in_rows("free") + in_rows("reserved") + in_rows("paid");
    assert_eq!(units, in_rows("stock"), "every unit is sold, held or free");
}

/// What became of everybody's request, once it is known of everybody who was answered `queued`: by a look-up meanwhile, or now.
/// Only whose rejection may have been lost with Redis may never learn it.
async fn outcomes_of(crowd: &Crowd, visits: &[Visit], past: &Past) -> Vec<String> {
    let deadline = Instant::now() + BACKLOG_MAX;
    loop {
        let outcomes = crowd.outcomes().await;
        let queued = outcomes.iter().zip(visits).filter(|(_, visit)| visit.told == "queued");
        let untold: Vec<&Visit> = queued
            .clone()
            .filter(|(status, visit)| !visit.was_told && matches!(status.as_str(), "none" | "queued"))
            .map(|(_, visit)| visit)
            .collect();
        let lost = untold.iter().filter(|visit| past.may_have_lost(visit)).count();
        if untold.len() == lost {
            println!(
                "{} people were answered `queued`: {lost} of them may have lost a rejection with Redis, all others were told",
                queued.count()
            );
            return outcomes;
        }
        let open = untold.len() - lost;
        assert!(Instant::now() < deadline, "{open} accepted requests have no outcome");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
