//! Random histories of a sale, held against the audit, against [`Counter`], and against each other.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::line::Counter;
use super::{GRACE, HOLD, LASTS, LEASE, World};
use crate::claim::ClaimStatus;
use crate::decide::Answer;
use crate::payment::PaymentStatus;
use crate::sale::{pause, resume};

const PEOPLE: u64 = 14;

/// Something that happens to a sale. Numbers that name nothing do nothing.
#[derive(Debug, Clone)]
enum Step {
    Decide(Vec<u64>),
    /// The same batch again, as a queue may deliver it: the nth of the batches before.
    Redeliver(usize),
    GiveUp(u64),
    Begin(u64),
    Succeed(usize),
    Fail(usize),
    Refund(u64),
    Restock(u64),
    AddStock(u32),
    Pause,
    Resume,
    Close,
    Settle,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let person = || 1..=PEOPLE;
    prop_oneof![
        8 => prop::collection::vec(person(), 1..7).prop_map(Step::Decide),
        3 => (0_usize..8).prop_map(Step::Redeliver),
        4 => person().prop_map(Step::GiveUp),
        6 => person().prop_map(Step::Begin),
        5 => (0_usize..8).prop_map(Step::Succeed),
        3 => (0_usize..8).prop_map(Step::Fail),
        3 => person().prop_map(Step::Refund),
        3 => person().prop_map(Step::Restock),
        2 => (1_u32..4).prop_map(Step::AddStock),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => prop::bool::weighted(0.2).prop_map(|closes| if closes { Step::Close } else { Step::Settle }),
        6 => Just(Step::Settle),
        6 => (0_u64..12_000).prop_map(Step::Pass),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

/// A sale and its counter, moved together.
struct Pair {
    world: World,
    counter: Counter,
    batches: Vec<Vec<u64>>,
}

impl Pair {
    fn new(stock: u32, standby_limit: u32) -> Self {
        let counter = Counter::new(stock as usize, standby_limit as usize);
        Self { world: World::new(stock, standby_limit), counter, batches: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Decide(people) => {
                self.batches.push(people.clone());
                self.decide(people);
            }
            Step::Redeliver(index) => {
                if let Some(people) = self.batches.get(*index).cloned() {
                    self.decide(&people);
                }
            }
            Step::GiveUp(person) => self.give_up(*person),
            Step::Begin(person) => {
                if self.world.status(*person).is_some() {
                    let _ = self.world.begin(*person);
                }
            }
            Step::Succeed(index) => {
                if let Some(&id) = self.world.payments.keys().nth(*index) {
                    self.world.succeed(id);
                }
            }
            Step::Fail(index) => {
                if let Some(&id) = self.world.payments.keys().nth(*index) {
                    self.world.fail(id);
                }
            }
            Step::Refund(person) => {
                if self.world.status(*person).is_some() {
                    self.world.refund(*person);
                }
            }
            Step::Restock(person) => {
                if self.world.status(*person).is_some() && self.world.restock(*person) {
                    self.counter.put_back(*person);
                    self.settle_counter();
                }
            }
            Step::AddStock(units) => {
                let due = self.due();
                if self.world.add_stock(*units).is_ok() {
                    self.counter.units_left += *units as usize;
                    self.expire(&due);
                }
            }
            Step::Pause => {
                let _ = pause(&self.world.terms, &mut self.world.book, self.world.now);
            }
            Step::Resume => {
                let _ = resume(&self.world.terms, &mut self.world.book, self.world.now);
            }
            Step::Close => {
                let due = self.due();
                self.world.close();
                self.counter.send_line_home();
                self.expire(&due);
            }
            Step::Settle => {
                let due = self.due();
                self.world.settle();
                self.expire(&due);
            }
            Step::Pass(ms) => self.world.pass(Duration::from_millis(*ms)),
        }
        self.compare();
    }

    fn decide(&mut self, people: &[u64]) {
        let book = self.world.book;
        let has_ended = book.closed || self.world.now >= self.world.terms.ends_at;
        let may_line_up = !book.all_paid && self.world.now < self.world.terms.ends_at + GRACE;
        let answers = self.world.decide(people);
        assert_eq!(answers.is_none(), book.paused && !has_ended, "parked while paused, and only then");
        if answers.is_some() && !book.closed {
            for &person in people {
                self.counter.step_up(person, may_line_up);
            }
        }
    }

    fn give_up(&mut self, person: u64) {
        let Some(before) = self.world.status(person) else { return };
        if self.world.give_up(person, None).is_err() {
            return;
        }
        if before == ClaimStatus::Standby {
            self.counter.walk_out(person);
        } else {
            self.counter.put_back(person);
        }
        self.settle_counter();
    }

    fn due(&self) -> Vec<u64> {
        let claims = self.world.claims.values();
        claims.filter(|claim| claim.is_due(self.world.now)).map(|claim| claim.user.get()).collect()
    }

    fn expire(&mut self, due: &[u64]) {
        for &person in due {
            self.counter.put_back(person);
        }
        self.settle_counter();
    }

    fn settle_counter(&mut self) {
        let terms = &self.world.terms;
        if self.world.now >= terms.ends_at + GRACE {
            self.counter.send_line_home();
        }
        self.counter.serve();
        let is_unpaid = |person: &&u64| {
            matches!(self.world.status(**person), Some(ClaimStatus::Reserved | ClaimStatus::Paying))
        };
        if self.world.now >= terms.ends_at && !self.counter.carriers.iter().any(|person| is_unpaid(&person)) {
            self.counter.send_line_home();
        }
    }

    fn compare(&self) {
        let has_unit: BTreeSet<u64> = (self.world.claims.values())
            .filter(|claim| match claim.status {
                ClaimStatus::Reserved | ClaimStatus::Paying | ClaimStatus::Paid => true,
                ClaimStatus::Refunded => !claim.restocked,
                _ => false,
            })
            .map(|claim| claim.user.get())
            .collect();
        assert_eq!(has_unit, self.counter.carriers, "who has a unit");
        let line: VecDeque<u64> =
            self.world.with_status(ClaimStatus::Standby).iter().map(|claim| claim.user.get()).collect();
        assert_eq!(line, self.counter.line, "who stands by, in order");
        assert_eq!(self.world.book.free() as usize, self.counter.units_left, "units free");
        let seen: BTreeSet<u64> = self.world.claims.keys().map(|user| user.get()).collect();
        assert_eq!(seen, self.counter.seen, "who ever had a claim");
    }
}

fn history(stock: u32, standby_limit: u32, steps: &[Step]) -> World {
    let mut pair = Pair::new(stock, standby_limit);
    for step in steps {
        pair.take(step);
    }
    pair.world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// I1, I2, I5 and I6 by the audit after every commit; who gets a unit by the counter.
    #[test]
    fn any_history_keeps_the_invariants_and_serves_like_a_counter(
        stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps(),
    ) {
        history(stock, standby_limit, &steps);
    }

    /// I3, for a repetition before anything else happens.
    #[test]
    fn deciding_a_batch_again_changes_nothing_and_answers_the_same(
        stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps(),
        batch in prop::collection::vec(1..=PEOPLE, 1..7),
    ) {
        let mut world = history(stock, standby_limit, &steps);
        let first = world.decide(&batch);
        let (book, claims, events) = (world.book, world.claims.clone(), world.events.len());
        prop_assert_eq!(world.decide(&batch), first);
        prop_assert_eq!((world.book, &world.claims, world.events.len()), (book, &claims, events));
    }

    /// I3, for a repetition however late: a person with a claim is answered with it as it is now.
    #[test]
    fn whoever_has_a_claim_is_answered_with_it_as_it_is_now(
        stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps(),
    ) {
        let mut world = history(stock, standby_limit, &steps);
        let _ = resume(&world.terms, &mut world.book, world.now);
        let (book, claims) = (world.book, world.claims.clone());
        let everybody: Vec<u64> = claims.keys().map(|user| user.get()).collect();
        let answers = world.decide(&everybody).unwrap();
        let known: Vec<Answer> = claims.values().copied().map(Answer::Claimed).collect();
        prop_assert_eq!(answers, known);
        prop_assert_eq!(world.book, book);
    }

    #[test]
    fn how_requests_are_batched_does_not_change_who_gets_what(
        stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps(),
        batch in prop::collection::vec(1..=PEOPLE, 1..12), cut in 0_usize..12,
    ) {
        let mut whole = history(stock, standby_limit, &steps);
        let mut halved = whole.clone();
        let mut single = whole.clone();
        whole.decide(&batch);
        let (head, tail) = batch.split_at(cut.min(batch.len()));
        halved.decide(head);
        halved.decide(tail);
        for person in &batch {
            single.decide(&[*person]);
        }
        prop_assert_eq!(&whole.claims, &halved.claims);
        prop_assert_eq!(&whole.claims, &single.claims);
        prop_assert_eq!(whole.book.standby_open, single.book.standby_open);
    }

    /// I6, recounted from the history alone.
    #[test]
    fn a_claim_ends_once_and_an_expired_one_is_never_paid(
        stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps(),
    ) {
        use ClaimStatus::{Expired, Left, Paid, Refunded, Rejected, Released};
        let world = history(stock, standby_limit, &steps);
        for &person in world.claims.keys() {
            let path: Vec<ClaimStatus> =
                world.events.iter().filter(|event| event.user == person).map(|event| event.to).collect();
            let first_end = path.iter().position(|to| matches!(to, Expired | Left | Rejected | Released | Paid));
            if let Some(at) = first_end {
                let only_refunds = path[at + 1..].iter().all(|to| path[at] == Paid && *to == Refunded);
                prop_assert!(only_refunds, "{path:?}");
            }
        }
    }

    /// I7, as far as rules can keep it: with nobody paying any more, every claim comes to an end, within a hold of
    /// the end of the grace at the latest.
    #[test]
    fn every_claim_comes_to_an_end(stock in 1_u32..5, standby_limit in 0_u32..5, steps in steps()) {
        let mut world = history(stock, standby_limit, &steps);
        world.pass(LASTS + GRACE + LEASE);
        let started = |status| status == PaymentStatus::Started;
        let open: Vec<_> = world.payments.values().filter(|p| started(p.status)).map(|p| p.id).collect();
        for id in open {
            world.fail(id);
        }
        world.settle();
        prop_assert!(world.book.standby_over && world.book.standing == 0);
        world.pass(HOLD);
        world.settle();
        for claim in world.claims.values() {
            prop_assert!(!claim.status.is_holding() && claim.status != ClaimStatus::Standby, "{claim:?}");
        }
        let settled = world.settle_once();
        prop_assert!(settled.changes.is_empty() && !settled.more);
        prop_assert!(world.decide(&[PEOPLE + 1]).is_some(), "nothing stays parked for ever");
    }
}
