//! Everybody pays at the very moment of the deadline, while wake-ups and sweeps of two consumers end what is due: each
//! reservation ends once.
//!
//! The crowd stands by, and stock is added bit by bit, so that deadlines are spread; each one that passes unpaid
//! promotes the next person at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use miaosha_app::board::News;
use miaosha_app::check_out::{CheckOut, CheckedOut, LEASE_DEFAULT, check_out};
use miaosha_app::follow::Listener;
use miaosha_app::manage_sale::{Managed, add_stock};
use miaosha_app::ports::PaymentMethod;
use miaosha_app::{PortError, Ports};
use miaosha_domain::audit::ClaimEvent;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::payment::{CheckOutError, PaymentStatus, ProviderState};
use miaosha_domain::sale::Terms;
use miaosha_testkit::contract::scene;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::crowd::{ask_once, people};
use crate::history::History;
use crate::process::{Process, Wiring, until};
use crate::site::{SALE, Site};

const HOLD: Duration = Duration::from_secs(2);
/// A payment begins at most this long before or after its deadline.
const OFF_MAX_MS: u64 = 50;
const STOCK_EVERY: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_mins(1);
const PROVIDER_CALLS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_is_paid_at_its_deadline_ends_once() {
    let people_count = setting("DEADLINE_PEOPLE", 400);
    let spread = Duration::from_secs(setting("DEADLINE_SPREAD_S", 8));
    let units_at_once = units_at_once(people_count, spread);
    let terms = Terms { hold: HOLD, standby_limit: u32::try_from(people_count).unwrap(), ..scene::TERMS };
    let site = Site::open(units_at_once, terms).await;
    let (reserved, reservations) = mpsc::unbounded_channel();
    let wiring = Wiring { listener: Arc::new(Reservations(reserved)), ..Wiring::default() };
    let mut left = Process::start(&site, 0, wiring).await;
    let mut right = Process::start(&site, 1, Wiring::default()).await;
    left.consume();
    right.consume();

    ask_once(&left, &people(people_count)).await;
    let payers = [left.ports.clone(), right.ports.clone()];
    let (answers, added_later) = tokio::join!(
        pay_each_at_its_deadline(payers, reservations, people_count),
        add_stock_until_nobody_stands_by(&right, units_at_once, spread),
    );
    until("every reservation has ended", LONGEST, async || {
        let open = ["reserved", "paying", "standby"];
        let units = left.sale().units_by_status();
        units.iter().all(|(status, units)| *units == 0 || !open.contains(status))
    })
    .await;

    let history = History::verified(&left.ports).await;
    each_ended_once(&history, people_count);
    each_was_answered_as_it_ended(&history, &answers);
    money_was_kept_for_units_only(&left.ports, &history).await;
    print_figures(&history, &answers);
    let settled_later = [&left, &right].map(|process| process.settled_later.load(Ordering::Relaxed));
    println!(
        "a payment came between reading and writing: {} settlements were left to the next, stock was added again \
         {added_later} times",
        settled_later.iter().sum::<u64>()
    );
    left.stop().await;
    right.stop().await;
}

/// Hands on each claim that has become a reservation.
struct Reservations(mpsc::UnboundedSender<Claim>);

impl Listener for Reservations {
    fn hear(&self, news: &News) {
        for claim in news.claims.iter().filter(|claim| claim.status == ClaimStatus::Reserved) {
            // Nobody listens any more once everybody has paid.
            let _ = self.0.send(*claim);
        }
    }
}

/// What became of a payment that began around a deadline.
struct Answer {
    claim: Claim,
    checked_out: CheckedOut,
}

async fn pay_each_at_its_deadline(
    payers: [Ports; 2],
    mut reservations: mpsc::UnboundedReceiver<Claim>,
    people_count: u64,
) -> Vec<Answer> {
    let mut payments = JoinSet::new();
    for number in 0..people_count {
        let claim = reservations.recv().await.expect("the follower goes on");
        let ports = payers[usize::from(number % 2 == 0)].clone();
        payments.spawn(async move { pay_at_deadline(&ports, claim).await });
    }
    payments.join_all().await
}

async fn pay_at_deadline(ports: &Ports, claim: Claim) -> Answer {
    let mut bytes = [0; 8];
    ports.random.fill(&mut bytes);
    let off_ms = u64::from_ne_bytes(bytes) % (2 * OFF_MAX_MS + 1);
    let deadline = claim.deadline.expect("a reservation has a deadline");
    let begins_at = deadline + Duration::from_millis(off_ms) - Duration::from_millis(OFF_MAX_MS);
    ports.clock.sleep(begins_at.saturating_since(ports.clock.now())).await;
    let request = CheckOut {
        sale: claim.sale,
        user: claim.user,
        seq: claim.seq,
        method: PaymentMethod::Sandbox { card: "4242424242424242".to_owned() },
        shipping: scene::shipping(),
        lease: LEASE_DEFAULT,
    };
    Answer { claim, checked_out: check_out(ports, request).await.unwrap() }
}

/// Half of the reservations are of new units, and the others, as about every second payment comes too late, of those
/// that came back.
fn units_at_once(people_count: u64, spread: Duration) -> u32 {
    let steps = spread.as_millis().div_ceil(STOCK_EVERY.as_millis());
    u32::try_from(u128::from(people_count).div_ceil(2 * steps)).unwrap()
}

/// Returns how often that failed and was tried again.
async fn add_stock_until_nobody_stands_by(process: &Process, units: u32, spread: Duration) -> u64 {
    let mut added_later = 0;
    until("everybody was asked", LONGEST, async || process.sale().book().standing > 0).await;
    let limit = spread * 4 + LONGEST;
    until("nobody stands by", limit, async || {
        process.ports.clock.sleep(STOCK_EVERY).await;
        if process.sale().book().standing == 0 {
            return true;
        }
        match add_stock(&process.ports, SALE, units).await {
            Ok(Managed::Done(_)) => {}
            // A payment that began just before its deadline may come in between; then nothing was added.
            Err(PortError::Retryable { .. }) => added_later += 1,
            other => panic!("{other:?}"),
        }
        false
    })
    .await;
    added_later
}

/// Each person's history has one reservation and one end; it was begun to be paid before its deadline, or it expired
/// not before it.
fn each_ended_once(history: &History, people_count: u64) {
    let by_person = history.by_person();
    assert_eq!(u64::try_from(by_person.len()).unwrap(), people_count);
    for claim in &history.snapshot.claims {
        let events = &by_person[&claim.user];
        let deadline = claim.deadline.unwrap();
        let count = |to| events.iter().filter(|event| event.to == to).count();
        let ends = [count(ClaimStatus::Paid), count(ClaimStatus::Expired)];
        assert!(ends == [1, 0] || ends == [0, 1], "{claim:?} ended {ends:?} times: {events:?}");
        assert_eq!(count(ClaimStatus::Reserved), 1, "{events:?}");
        let at = |to| events.iter().find(|event| event.to == to).map(|event: &ClaimEvent| event.at);
        assert!(at(ClaimStatus::Paying).is_none_or(|at| at < deadline), "{claim:?}: {events:?}");
        assert!(at(ClaimStatus::Expired).is_none_or(|at| at >= deadline), "{claim:?}: {events:?}");
    }
    let book = &history.snapshot.book;
    let paid = history.claims(ClaimStatus::Paid);
    assert_eq!(usize::try_from(book.stock - book.free()).unwrap(), paid, "what is not paid is free");
    assert!(paid > 0 && history.claims(ClaimStatus::Expired) > 0, "the deadline cuts through the payments");
    let units = usize::try_from(book.stock).unwrap();
    assert!(history.events(ClaimStatus::Reserved) > units, "what expired was given on");
}

/// Who was told of an order has paid, who was refused has not.
fn each_was_answered_as_it_ended(history: &History, answers: &[Answer]) {
    assert_eq!(answers.len(), history.snapshot.claims.len());
    for answer in answers {
        let claim = history.claim_of(answer.claim.user);
        let expected = match &answer.checked_out {
            CheckedOut::Ordered(order) => (order.user == claim.user).then_some(ClaimStatus::Paid),
            CheckedOut::Refused(CheckOutError::ReservationOver) => Some(ClaimStatus::Expired),
            _ => None,
        };
        assert_eq!(Some(claim.status), expected, "{:?}", answer.checked_out);
    }
}

/// The provider keeps the money of exactly those who have a unit.
async fn money_was_kept_for_units_only(ports: &Ports, history: &History) {
    let payments = &history.snapshot.payments;
    assert!(payments.iter().all(|payment| payment.status == PaymentStatus::Captured), "none is left open");
    assert_eq!(payments.len(), history.claims(ClaimStatus::Paid));
    let states = stream::iter(payments.clone())
        .map(|payment| async move { ports.provider.query(payment.id).await.unwrap() });
    let states: Vec<ProviderState> = states.buffer_unordered(PROVIDER_CALLS).collect().await;
    assert!(states.iter().all(|state| *state == ProviderState::Captured));
}

fn print_figures(history: &History, answers: &[Answer]) {
    let deadlines = || answers.iter().filter_map(|answer| answer.claim.deadline);
    let (first, last) = (deadlines().min().unwrap(), deadlines().max().unwrap());
    let mut margins: Vec<i64> =
        history.snapshot.events.iter().filter_map(|event| margin_ms(history, event)).collect();
    margins.sort_unstable();
    let late: Vec<i64> = margins.iter().copied().filter(|margin| *margin >= 0).collect();
    println!(
        "{} reservations of {} units with deadlines over {:.1} s: {} paid, {} expired, {} units free at the end; the last \
         payment in time began {} ms before its deadline, expiry came {} ms after it at the median and {} ms at the \
         latest",
        answers.len(),
        history.snapshot.book.stock,
        last.saturating_since(first).as_secs_f64(),
        history.claims(ClaimStatus::Paid),
        history.claims(ClaimStatus::Expired),
        history.snapshot.book.free(),
        margins.iter().filter(|margin| **margin < 0).max().map_or(0, |margin| -margin),
        late[late.len() / 2],
        late[late.len() - 1],
    );
}

/// How long after its claim's deadline a payment began (below zero: before it) or a reservation expired.
fn margin_ms(history: &History, event: &ClaimEvent) -> Option<i64> {
    if !matches!(event.to, ClaimStatus::Paying | ClaimStatus::Expired) {
        return None;
    }
    let deadline = history.claim_of(event.user).deadline?;
    Some(event.at.as_millis() - deadline.as_millis())
}

/// A figure of this run.
#[expect(clippy::disallowed_methods, reason = "the long run is asked for in the environment")]
fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("it is a number"))
}
