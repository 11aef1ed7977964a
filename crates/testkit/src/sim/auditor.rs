//! The auditor: it watches what is committed, what is told, and what happens to money, and keeps a ledger of its own.
//!
//! It calls none of the rules. It also runs the product's own audit after each commit, so that a false alarm of that
//! audit is found as well. What is committed is judged in [`ledger`], what is told in [`hearing`], and what must be
//! true once everything has come to rest in [`rest`].

mod hearing;
mod ledger;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use miaosha_domain::audit::{Invariant, Snapshot};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::UserId;
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;

use super::plan::BEGIN;
use super::world::State;

/// What the system promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Units are conserved.
    I1,
    /// One claim per person.
    I2,
    /// The same answer to the same request.
    I3,
    /// Told only after durable.
    I4,
    /// Standby in order, before any newcomer.
    I5,
    /// A reservation ends once.
    I6,
    /// Everyone is told.
    I7,
    /// What was accepted is kept and decided.
    I8,
    /// No money without a unit, no unit with two payers.
    I9,
    /// Nothing panics.
    Calm,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<Invariant> for Promise {
    fn from(invariant: Invariant) -> Self {
        match invariant {
            Invariant::I1 => Self::I1,
            Invariant::I2 => Self::I2,
            Invariant::I4 => Self::I4,
            Invariant::I5 => Self::I5,
            Invariant::I6 => Self::I6,
            Invariant::I9 => Self::I9,
        }
    }
}

/// A broken promise: the first one of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// What shows it.
    pub detail: String,
    /// In which step of the run.
    pub step: u64,
    /// When, in virtual milliseconds from the start of the run.
    pub at_ms: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, detail, step, at_ms } = self;
        write!(f, "{promise} is broken in step {step}, at {at_ms} ms: {detail}")
    }
}

/// What one device of a person shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing yet, or a request under way.
    Waiting,
    /// A 202 without a row, after the sale was sold out or over.
    NotWon,
    /// Rejected without a row.
    Rejected,
    /// This claim.
    Claim(Claim),
}

/// Everything the auditor remembers.
pub(super) struct Auditor {
    violation: Option<Violation>,
    /// Every committed revision of every claim, by `rev`.
    history: BTreeMap<UserId, Vec<Claim>>,
    /// When each claim was made, and when it changed last.
    made_at: BTreeMap<UserId, Timestamp>,
    changed_at: BTreeMap<UserId, Timestamp>,
    /// The `seq` of everybody who stands by.
    standing: BTreeSet<u64>,
    next_seq: u64,
    /// Every committed book by version, with the moment at which it stopped being the newest.
    books: BTreeMap<u64, (Book, Option<Timestamp>)>,
    /// When each process last heard of the rows in any way.
    contacts: BTreeMap<usize, Timestamp>,
    /// The version that each incarnation of a web node answered by last.
    boards: BTreeMap<(usize, u64), u64>,
    /// In which step each person's newest rejection without a row was announced.
    rejected_in: BTreeMap<UserId, u64>,
    /// In which step each person's newest request became durable.
    durable_in: BTreeMap<UserId, u64>,
    /// Who has a 202 in hand.
    accepted: BTreeSet<UserId>,
    /// What each device shows.
    shown: BTreeMap<(UserId, u8), Shown>,
    /// Whose requests were put aside for a human.
    poison: Option<UserId>,
}

impl Auditor {
    pub(super) fn new(rows: &Snapshot, poison: Option<u64>) -> Self {
        Self {
            violation: None,
            history: BTreeMap::new(),
            made_at: BTreeMap::new(),
            changed_at: BTreeMap::new(),
            standing: BTreeSet::new(),
            next_seq: 1,
            books: BTreeMap::from([(rows.book.version, (rows.book, None))]),
            contacts: BTreeMap::new(),
            boards: BTreeMap::new(),
            rejected_in: BTreeMap::new(),
            durable_in: BTreeMap::new(),
            accepted: BTreeSet::new(),
            shown: BTreeMap::new(),
            poison: poison.and_then(|user| UserId::new(user).ok()),
        }
    }

    fn is_committed(&self, claim: &Claim) -> bool {
        let history = self.history.get(&claim.user).map_or(&[][..], Vec::as_slice);
        history.iter().any(|known| known == claim)
    }

    fn latest(&self, user: UserId) -> Option<Claim> {
        self.history.get(&user).and_then(|history| history.last()).copied()
    }
}

impl State {
    /// Notes that a promise is broken unless `holds`. The first one stays.
    pub(super) fn require(&mut self, holds: bool, promise: Promise, detail: impl FnOnce() -> String) {
        if holds || self.auditor.violation.is_some() {
            return;
        }
        let at_ms = u64::try_from(self.now.saturating_since(BEGIN).as_millis()).unwrap_or(u64::MAX);
        let violation = Violation { promise, detail: detail(), step: self.step, at_ms };
        self.note(|| violation.to_string());
        self.auditor.violation = Some(violation);
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.auditor.violation.as_ref()
    }
}
