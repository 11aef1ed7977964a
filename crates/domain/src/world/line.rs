//! Who gets a unit, told as a queue at a counter: the plainest model of it, to hold the rules against.

use std::collections::{BTreeSet, VecDeque};

/// Units on the counter, people who carry one, and the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counter {
    /// Units that nobody carries.
    pub(super) units_left: usize,
    /// People who carry a unit, paid or not.
    pub(super) carriers: BTreeSet<u64>,
    /// People in line, the next to be served in front.
    pub(super) line: VecDeque<u64>,
    /// Everybody who ever carried a unit or stood in line.
    pub(super) seen: BTreeSet<u64>,
    /// The line takes nobody until it has emptied onto a free unit.
    pub(super) is_line_shut: bool,
    /// The line was sent home.
    pub(super) is_line_over: bool,
    /// The longest line.
    line_max: usize,
}

impl Counter {
    pub(super) fn new(units: usize, line_max: usize) -> Self {
        let (carriers, line, seen) = (BTreeSet::new(), VecDeque::new(), BTreeSet::new());
        let is_line_shut = line_max == 0;
        Self { units_left: units, carriers, line, seen, is_line_shut, is_line_over: false, line_max }
    }

    /// Somebody steps up. `may_line_up` is false when no unit can ever come back.
    pub(super) fn step_up(&mut self, person: u64, may_line_up: bool) {
        if self.seen.contains(&person) {
            return;
        }
        if self.units_left > 0 && (self.line.is_empty() || self.is_line_over) {
            self.units_left -= 1;
            self.carriers.insert(person);
            self.seen.insert(person);
        } else if may_line_up && !self.is_line_shut && !self.is_line_over {
            self.line.push_back(person);
            self.seen.insert(person);
            self.is_line_shut = self.line.len() == self.line_max;
        }
    }

    /// Somebody puts the unit back.
    pub(super) fn put_back(&mut self, person: u64) {
        assert!(self.carriers.remove(&person));
        self.units_left += 1;
    }

    /// Somebody walks out of the line.
    pub(super) fn walk_out(&mut self, person: u64) {
        self.line.retain(|&other| other != person);
    }

    /// The line moves up to the counter, unless it was sent home.
    pub(super) fn serve(&mut self) {
        while self.units_left > 0 && !self.is_line_over {
            let Some(next) = self.line.pop_front() else { break };
            self.units_left -= 1;
            self.carriers.insert(next);
        }
        if self.units_left > 0 && self.line_max > 0 {
            self.is_line_shut = false;
        }
    }

    /// The line is sent home.
    pub(super) fn send_line_home(&mut self) {
        self.is_line_over = true;
        self.line.clear();
    }
}
