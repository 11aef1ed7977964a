//! What a seed makes of a run: the sale, the people, which faults there are and for how long.

use std::time::Duration;

use miaosha_app::request_buy::DeskLimits;
use miaosha_domain::ids::{ProductId, SaleId};
use miaosha_domain::money::Money;
use miaosha_domain::question::LocalizedText;
use miaosha_domain::sale::{Product, Sale, Terms};
use miaosha_domain::time::Timestamp;

use super::coverage::Mark;
use super::dice::Dice;

/// The moment at which every run begins.
pub(super) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How far a process's clock is off the database's, at the most: beyond, it would not be ready.
pub(super) const SKEW_MAX: Duration = Duration::from_millis(SKEW_MAX_MS as u64);
const SKEW_MAX_MS: u32 = 250;

/// What kind of gate a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GateKind {
    /// It counts, and has the faults of the run.
    Counts,
    /// It lets everybody through, and takes him for new.
    PassesEverybody,
    /// It counts, and forgets everything each second.
    ForgetsEachSecond,
}

/// The plan of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) sale: Sale,
    pub(super) stock: u32,
    /// People with ids from 1.
    pub(super) people: u64,
    /// Of these, whose request makes every transaction fail for good.
    pub(super) poison: Option<u64>,
    /// One call of the provider in so many is slow.
    pub(super) provider_slow_one_in: u64,
    /// Whether everybody comes at once.
    pub(super) is_rush: bool,
    /// How many of 20 pay soon.
    pub(super) payers_in_20: u64,
    pub(super) lease: Duration,
    pub(super) desk: DeskLimits,
    pub(super) gate: GateKind,
    /// How many people the gate lets through beyond those who can get something.
    pub(super) gate_slack: u64,
    /// Until when faults happen; then everything heals.
    pub(super) faults_until: Timestamp,
    /// Which kinds of faults this run has. Leaving some out lets runs get further with the others.
    faults: Vec<bool>,
    /// How far the clock of each process is from the database's.
    pub(super) skews_ms: Vec<i64>,
    /// One crash in so many steps.
    pub(super) steps_per_crash: u64,
}

impl Plan {
    pub(super) fn draw(dice: &mut Dice, processes: usize) -> Self {
        let stock_max = if dice.one_in(3) { 2 } else { 6 };
        let stock = u32::try_from(dice.between(1, stock_max)).expect("small");
        let standby_limit = match dice.below(4) {
            0 => 0,
            _ => u32::try_from(dice.between(1, 5)).expect("small"),
        };
        let people = if dice.one_in(3) { dice.between(4, 7) } else { dice.between(4, 20) };
        let starts_at = BEGIN + millis(dice, 0, 1_500);
        let ends_at = starts_at + millis(dice, 3_000, 30_000);
        let hold = millis(dice, 800, 5_000);
        let standby_grace = if dice.one_in(4) { millis(dice, 0, 1_000) } else { hold * 2 };
        let terms = Terms { starts_at, ends_at, hold, standby_limit, standby_grace };
        let people_min = u64::from(stock) + u64::from(standby_limit);
        let max_people = dice.one_in(4).then(|| people_min + dice.below(4));
        let has_skew = dice.one_in(2);
        let skews_ms = (0..processes).map(|_| if has_skew { skew_ms(dice) } else { 0 }).collect();
        let desk = DeskLimits {
            batch_window: millis(dice, 1, 80),
            batch_len_max: dice.index(8) + 2,
            in_flight_max: dice.index(3) + 1,
            waiting_max: if dice.one_in(4) { 2 } else { 30 },
        };
        let lease = millis(dice, 700, 6_000);
        let healthy = dice.one_in(20);
        let faults = Mark::ALL.iter().map(|_| !healthy && !dice.one_in(3)).collect();
        let faults_until = starts_at + millis(dice, 4_000, 30_000);
        let steps_per_crash = if healthy { 0 } else { [0, 60, 150, 400][dice.index(4)] };
        Self {
            sale: sale(terms, max_people),
            stock,
            people,
            poison: dice.one_in(2).then(|| dice.between(1, people)),
            provider_slow_one_in: if dice.one_in(2) { 2 } else { 12 },
            is_rush: !dice.one_in(3),
            payers_in_20: [8, 16, 20][dice.index(3)],
            lease,
            desk,
            gate: [
                GateKind::Counts,
                GateKind::Counts,
                GateKind::PassesEverybody,
                GateKind::PassesEverybody,
                GateKind::ForgetsEachSecond,
            ][dice.index(5)],
            gate_slack: dice.below(4),
            faults_until,
            faults,
            skews_ms,
            steps_per_crash,
        }
    }

    /// Whether this run has this kind of fault.
    pub(super) fn has(&self, fault: Mark) -> bool {
        self.faults[fault as usize]
    }

    /// When everything must have come to its end: the last promotion's hold, its payment's lease, what the reconciler
    /// waits, and a wide margin.
    pub(super) fn settled_by(&self) -> Timestamp {
        let terms = &self.sale.terms;
        terms.standby_ends_at().max(self.faults_until)
            + terms.hold * 2
            + self.lease * 2
            + Duration::from_secs(30)
    }
}

fn millis(dice: &mut Dice, low: u64, high: u64) -> Duration {
    Duration::from_millis(dice.between(low, high))
}

fn skew_ms(dice: &mut Dice) -> i64 {
    let drawn = dice.below(2 * u64::from(SKEW_MAX_MS) + 1);
    i64::try_from(drawn).expect("small") - i64::from(SKEW_MAX_MS)
}

fn sale(terms: Terms, max_people: Option<u64>) -> Sale {
    let usd = "USD".parse().expect("a known currency");
    Sale {
        id: SaleId::new(7).expect("a small id"),
        product: Product {
            id: ProductId::new(1).expect("a small id"),
            title: LocalizedText::plain("A console"),
            description: LocalizedText::plain(""),
            image: None,
        },
        price: Money::from_minor(19_900, usd).expect("a small amount"),
        list_price: None,
        question: None,
        max_people,
        time_zone: "UTC".to_owned(),
        terms,
    }
}
