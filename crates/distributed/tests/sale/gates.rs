//! The gate may pass everybody, forget everything each second, or hold people for in flight who were lost: the sale is
//! the same.
//!
//! Reservations are short and nobody pays, so that units come back all the time, and the sale is over only when
//! everybody of the crowd had one. So nobody may be refused for good while there is something to get.

use std::sync::Arc;
use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::ports::{Admission, Gate, OpenGate, Passage};
use miaosha_app::tend_gate::{FULL_TOLERATED, load_gate};
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::UserId;
use miaosha_domain::sale::Terms;
use miaosha_testkit::contract::scene;
use tokio::time::timeout;

use crate::crowd::{insist, people};
use crate::history::History;
use crate::process::{Process, Wiring, until};
use crate::site::Site;
use crate::watched_gate::{GateLog, WatchedGate};

const STOCK: u32 = 300;
const STANDBY: u32 = 150;
const HOLD: Duration = Duration::from_millis(500);
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// What the tender waits for, the sweep before and the one after it, and a machine that is busy with other things.
const TENDED_WITHIN: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_gate_that_passes_everybody_the_sale_is_the_same() {
    let site = open_site().await;
    let log = Arc::new(GateLog::default());
    let [mut left, mut right] = start_two(&site, watched(&log, Some(Arc::new(OpenGate)))).await;
    left.consume();
    right.consume();
    let crowd = people(5_000);
    let accepted = serve(&left, &right, &crowd).await;
    let history = everybody_was_served(&left, &crowd).await;
    println!("{} requests accepted, nobody refused at the gate; {}", accepted, figures(&history));
    assert_eq!(*log.refused.lock(), 0);
    left.stop().await;
    right.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_gate_that_is_flushed_every_second_the_sale_is_the_same() {
    let site = open_site().await;
    let log = Arc::new(GateLog::default());
    let [mut left, mut right] = start_two(&site, watched(&log, None)).await;
    let began = left.ports.clock.now();
    left.consume();
    right.consume();
    let crowd = people(5_000);
    let served = serve(&left, &right, &crowd);
    let mut flushes = 0;
    let flushing = async {
        loop {
            left.ports.clock.sleep(FLUSH_EVERY).await;
            flushes += u32::from(site.flush_gate().await);
        }
    };
    let accepted = tokio::select! {
        accepted = served => accepted,
        () = flushing => unreachable!("it goes on until it is dropped"),
    };
    let history = everybody_was_served(&left, &crowd).await;
    let longest = history.longest_free_at(&log.refused_at.lock(), began);
    println!(
        "{accepted} requests accepted, {} refused at the gate, which forgot everything {flushes} times and was loaded {} \
         times; no unit was free for longer than {} ms while somebody was refused; {}",
        log.refused.lock(),
        log.opened.lock(),
        longest.as_millis(),
        figures(&history)
    );
    assert!(flushes >= 5, "the crowd goes on for longer");
    assert!(*log.refused.lock() > 0, "the gate was in use");
    assert!(longest < TENDED_WITHIN);
    left.stop().await;
    right.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_lost_on_their_way_hold_a_gate_up_only_until_it_is_tended() {
    let site = open_site().await;
    let log = Arc::new(GateLog::default());
    let [mut left, mut right] = start_two(&site, watched(&log, None)).await;
    let began = left.ports.clock.now();
    // Before anybody sweeps, who might find the gate unknown and load it over these people.
    lose_people_behind_the_gate(&left.ports).await;
    left.consume();
    right.consume();
    let crowd = people(450);
    let accepted = serve(&left, &right, &crowd).await;
    let history = everybody_was_served(&left, &crowd).await;
    let longest = history.longest_free_at(&log.refused_at.lock(), began);
    println!(
        "{accepted} requests accepted, {} refused at a gate full of lost people, for {} ms while units were free; {}",
        log.refused.lock(),
        longest.as_millis(),
        figures(&history)
    );
    assert!(longest > FULL_TOLERATED / 2, "the gate was full until it was tended");
    assert!(longest < TENDED_WITHIN);
    left.stop().await;
    right.stop().await;
}

async fn open_site() -> Site {
    Site::open(STOCK, Terms { standby_limit: STANDBY, hold: HOLD, ..scene::TERMS }).await
}

/// Two processes, both still without the tasks of a consumer.
async fn start_two(site: &Site, wrap: impl Fn(Ports) -> Ports + Clone + 'static) -> [Process; 2] {
    let wiring = || Wiring { wrap: Box::new(wrap.clone()), ..Wiring::default() };
    [Process::start(site, 0, wiring()).await, Process::start(site, 1, wiring()).await]
}

/// Notes what the gate does, or another one in its place.
fn watched(log: &Arc<GateLog>, instead: Option<Arc<dyn Gate>>) -> impl Fn(Ports) -> Ports + Clone + use<> {
    let log = log.clone();
    move |ports| {
        let inner = instead.clone().unwrap_or_else(|| ports.gate.clone());
        let gate = WatchedGate { inner, clock: ports.clock.clone(), log: log.clone() };
        Ports { gate: Arc::new(gate), ..ports }
    }
}

/// Half of the crowd asks here, half there, until each has had a claim. Returns how many requests were accepted.
async fn serve(left: &Process, right: &Process, crowd: &[UserId]) -> usize {
    let (at_left, at_right) = crowd.split_at(crowd.len() / 2);
    let served = async { tokio::join!(insist(left, at_left), insist(right, at_right)) };
    let (at_left, at_right) = timeout(LONGEST, served).await.expect("everybody is served");
    at_left + at_right
}

/// Waits until the last unit is back, and checks that each person had one, once.
async fn everybody_was_served(process: &Process, crowd: &[UserId]) -> History {
    until("every unit is back", LONGEST, async || {
        let book = process.sale().book();
        book.taken == 0 && book.standing == 0
    })
    .await;
    let history = History::verified(&process.ports).await;
    let events = history.by_person();
    assert_eq!(events.len(), crowd.len());
    for user in crowd {
        let ways: Vec<ClaimStatus> = events[user].iter().map(|event| event.to).collect();
        let is_once = matches!(
            ways.as_slice(),
            [ClaimStatus::Reserved, ClaimStatus::Expired]
                | [ClaimStatus::Standby, ClaimStatus::Reserved, ClaimStatus::Expired]
        );
        assert!(is_once, "{user:?} went {ways:?}");
    }
    history
}

fn figures(history: &History) -> String {
    format!(
        "{} people had one of {STOCK} units, {} of them promoted from standby",
        history.events(ClaimStatus::Expired),
        history.promotions()
    )
}

/// Fills the gate with people of whom nobody will hear again.
async fn lose_people_behind_the_gate(ports: &Ports) {
    load_gate(ports, scene::SALE).await.unwrap();
    let lost: Vec<UserId> = (1_000_001..=1_001_000).map(scene::user).collect();
    let Admission::Sorted(passages) = ports.gate.admit(scene::SALE, &lost).await.unwrap() else {
        panic!("the gate was loaded")
    };
    assert_eq!(passages.last(), Some(&Passage::Full), "the gate is full");
}
