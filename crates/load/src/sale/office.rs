//! All people of a process: who is where, what is to be called now or later, and what has come of it.
//!
//! News comes from the sockets' thread and from the clerks; each piece goes to its person's journey, and what the
//! journey wants next becomes a job. Not for I/O: that is `sale/clerk.rs`.

use super::ears::{Heard, News};
use super::journey::{Claim, Journey, Next, Reply};
use super::tally::{SaleTally, count};
use crate::buy::word_of;
use crate::http::{Failure, Response};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Who has not heard that the sale is open goes by the clock after this, as a page with a countdown does.
const OPENING_MISSED: Duration = Duration::from_secs(5);

/// A call that a person wants made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    Buy(usize),
    LookUp(usize),
    Pay(usize),
}

/// The people of one process; single-threaded.
#[derive(Debug)]
pub(super) struct Office {
    people: Vec<Person>,
    /// Each time one is added, `wake` is notified.
    jobs: VecDeque<Job>,
    pub(super) wake: Rc<Notify>,
    later: BinaryHeap<Reverse<(Instant, Job)>>,
    /// Of those who are to pay, with how often they tried.
    checkouts: HashMap<usize, (String, u32)>,
    opening: Instant,
    has_opened: bool,
    has_opened_for_all: bool,
    /// Sold out or ended, as far as anyone was told.
    is_over: bool,
    pub(super) tally: SaleTally,
}

#[derive(Debug)]
struct Person {
    journey: Journey,
    has_socket: bool,
    /// That the sale has opened, or what came of it since.
    has_heard: bool,
    has_answer: bool,
}

impl Office {
    /// `pays` says of each person, by number, what it does with a reservation.
    pub(super) fn new(people_len: usize, pays: impl Fn(usize) -> bool, opening: Instant) -> Self {
        let person = |number| Person {
            journey: Journey::new(number, pays(number)),
            has_socket: false,
            has_heard: false,
            has_answer: false,
        };
        let mut tally = SaleTally::new();
        tally.people = people_len as u64;
        Self {
            people: (0..people_len).map(person).collect(),
            jobs: VecDeque::new(),
            wake: Rc::default(),
            later: BinaryHeap::new(),
            checkouts: HashMap::new(),
            opening,
            has_opened: false,
            has_opened_for_all: false,
            is_over: false,
            tally,
        }
    }

    /// The next call to make, first come, first served; None for now.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        loop {
            let job = self.jobs.pop_front()?;
            let is_wanted = match job {
                Job::LookUp(person) => self.people[person].journey.wants_look_up(),
                Job::Buy(_) | Job::Pay(_) => true,
            };
            if is_wanted {
                return Some(job);
            }
        }
    }

    /// The token that pays, of somebody with a `Pay` job.
    pub(super) fn checkout_token(&self, person: usize) -> &str {
        &self.checkouts[&person].0
    }

    /// People who are not told yet, whose payment is under way, or whose socket has yet to hear of the opening.
    pub(super) fn unsettled(&self) -> u64 {
        let is_unsettled = |person: &&Person| {
            !person.journey.is_settled() || (self.has_opened && person.has_socket && !person.has_heard)
        };
        self.people.iter().filter(is_unsettled).count() as u64
    }

    /// Does what is due. To be called often; whoever has no socket goes by the clock, as a page does.
    pub(super) fn tick(&mut self, now: Instant) {
        if !self.has_opened && now >= self.opening {
            self.has_opened = true;
            for person in 0..self.people.len() {
                if !self.people[person].has_socket {
                    self.step(person, "answer", now, Journey::opened);
                }
            }
        }
        if !self.has_opened_for_all && now >= self.opening + OPENING_MISSED {
            self.has_opened_for_all = true;
            for person in 0..self.people.len() {
                if self.step(person, "answer", now, Journey::opened) {
                    self.tally.happened("opening missed", OPENING_MISSED);
                }
            }
        }
        while let Some(Reverse((due, job))) = self.later.peek().copied()
            && due <= now
        {
            self.later.pop();
            self.push(job);
        }
    }

    /// Takes in what a person's socket heard.
    pub(super) fn hear(&mut self, Heard { person, at, news }: Heard) {
        match news {
            News::Watching { state, claim } => {
                self.people[person].has_socket = true;
                self.hear_state(person, at, &state);
                if let Some(claim) = claim {
                    self.hear_claim(person, at, &claim);
                }
            }
            News::State(state) => self.hear_state(person, at, &state),
            News::Claim(claim) => self.hear_claim(person, at, &claim),
            News::Gone => {
                self.people[person].has_socket = false;
                if self.has_opened {
                    self.step(person, "answer", at, Journey::opened);
                }
                // Nobody will push anything to it any more.
                if self.people[person].journey.wants_look_up() {
                    self.later.push(Reverse((at + Duration::from_secs(1), Job::LookUp(person))));
                }
            }
        }
    }

    /// Takes in what came of a job that was begun at `sent_at`.
    pub(super) fn settle(
        &mut self,
        job: Job,
        result: &Result<Response, Failure>,
        sent_at: Instant,
        now: Instant,
    ) {
        let word = result.as_ref().map_or("-".into(), |response| word_of(&response.body));
        let reply = Reply {
            answer: result.as_ref().ok().map(|response| (response.http_status, &*word)),
            retry_after: result.as_ref().ok().and_then(|response| response.retry_after),
        };
        let name = match result {
            Ok(response) => format!("{} {word}", response.http_status),
            Err(failure) => failure.kind.name().to_owned(),
        };
        match job {
            Job::Buy(person) => {
                count(&mut self.tally.answers, &name);
                self.note_buy(person, reply, sent_at, now);
                self.step(person, "answer", now, |journey| journey.asked(now, reply));
            }
            Job::LookUp(person) => {
                count(&mut self.tally.look_ups, &name);
                let body = result.as_ref().ok().filter(|response| response.http_status == 200);
                let claim: Option<Claim> =
                    body.and_then(|response| serde_json::from_slice(&response.body).ok());
                let is_over = self.is_over;
                self.keep_checkout_token(person, claim.as_ref());
                self.step(person, "look_up", now, |journey| journey.looked_up(now, claim.as_ref(), is_over));
            }
            Job::Pay(person) => {
                count(&mut self.tally.payments, &name);
                self.tally.payment.record(now - sent_at);
                let tries = self.checkouts.get_mut(&person).map_or(1, |(_, tries)| {
                    *tries += 1;
                    *tries
                });
                self.step(person, "answer", now, |journey| journey.paid(tries, reply));
            }
        }
    }

    /// Counts where everybody stands, and gives the tally away.
    pub(super) fn into_tally(mut self) -> SaleTally {
        for person in &self.people {
            count(&mut self.tally.at_end, person.journey.status);
        }
        self.tally
    }

    fn note_buy(&mut self, person: usize, reply: Reply<'_>, sent_at: Instant, now: Instant) {
        let since_opening = now.saturating_duration_since(self.opening);
        self.tally.happened("arrivals", sent_at.saturating_duration_since(self.opening));
        let Some((http_status, word)) = reply.answer else {
            return self.tally.happened("failed", since_opening);
        };
        self.is_over |= word == "sold_out";
        self.tally.called(since_opening, now - sent_at);
        self.tally
            .happened(if http_status == 202 { "accepted" } else { "answered otherwise" }, since_opening);
        if http_status < 300 && !self.people[person].has_answer {
            self.people[person].has_answer = true;
            self.tally.answered.record(since_opening);
        }
    }

    fn hear_state(&mut self, person: usize, at: Instant, state: &str) {
        self.is_over = matches!(state, "sold_out" | "ended");
        if state == "scheduled" {
            return;
        }
        if !std::mem::replace(&mut self.people[person].has_heard, true) {
            let since_opening = at.saturating_duration_since(self.opening);
            self.tally.opening_heard.record(since_opening);
            self.tally.happened("opening heard", since_opening);
        }
        if !matches!(state, "open" | "sold_out") {
            return;
        }
        self.step(person, "answer", at, Journey::opened);
    }

    fn hear_claim(&mut self, person: usize, at: Instant, claim: &Claim) {
        self.keep_checkout_token(person, Some(claim));
        self.step(person, "push", at, |journey| journey.heard(claim));
    }

    fn keep_checkout_token(&mut self, person: usize, claim: Option<&Claim>) {
        if let Some(token) = claim.and_then(|claim| claim.checkout_token.clone()) {
            self.checkouts.insert(person, (token, 0));
        }
    }

    /// Lets a journey take a step, notes the outcome if it brought one, and sees to what is next; whether there is
    /// anything.
    fn step(
        &mut self,
        person: usize,
        how: &str,
        now: Instant,
        take: impl FnOnce(&mut Journey) -> Next,
    ) -> bool {
        let journey = &mut self.people[person].journey;
        let was_told = journey.outcome.is_some();
        let next = take(journey);
        if let Some(outcome) = journey.outcome.filter(|_| !was_told) {
            let since_opening = now.saturating_duration_since(self.opening);
            count(&mut self.tally.outcomes, outcome);
            count(&mut self.tally.told_by, how);
            self.tally.told.record(since_opening);
            self.tally.happened(outcome, since_opening);
        }
        let (job, pause) = match next {
            Next::Nothing => return false,
            Next::Buy(pause) => (Job::Buy(person), pause),
            Next::LookUp(pause) => (Job::LookUp(person), pause),
            Next::Pay(pause) => (Job::Pay(person), pause),
        };
        if pause.is_zero() {
            self.push(job);
        } else {
            self.later.push(Reverse((now + pause, job)));
        }
        true
    }

    fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
        self.wake.notify_one();
    }
}
