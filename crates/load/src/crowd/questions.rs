//! Questions that members ask over their sockets, by the clock: how long the site lets those wait who are connected.
//!
//! Latency counts from the moment at which a question was due, so that a site that stands still is charged with all that
//! were due meanwhile. Each member has at most one question open.

use crate::clock::Clock;
use crate::latency::{Latency, LatencyReport};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Members looked at for one who may ask.
const LOOKS_MAX: usize = 64;

/// The questions of one crowd.
pub(crate) struct Questions {
    interval: Duration,
    clock: Clock,
    next_due: Instant,
    next_member: usize,
    /// When the open question of a member was due.
    open: HashMap<usize, Instant>,
    tally: QuestionTally,
}

/// What came of the questions, by the second of the Unix epoch in which they were due.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct QuestionTally {
    answered: BTreeMap<i64, Latency>,
    unanswered: BTreeMap<i64, u64>,
}

/// The questions that were due in one second.
#[derive(Debug, Serialize)]
pub(crate) struct QuestionsSecond {
    /// Of the Unix epoch.
    pub(crate) unix_s: i64,
    pub(crate) answered: LatencyReport,
    /// Not answered by the end, or by a member that is gone; also those that nobody was free to ask.
    pub(crate) unanswered: u64,
}

impl Questions {
    /// The first is due now.
    pub(crate) fn new(rate_per_s: f64, now: Instant) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / rate_per_s),
            clock: Clock::start(),
            next_due: now,
            next_member: 0,
            open: HashMap::new(),
            tally: QuestionTally::default(),
        }
    }

    /// How long until the next is due.
    pub(crate) fn due_in(&self, now: Instant) -> Duration {
        self.next_due.saturating_duration_since(now)
    }

    /// Who asks next, if a question is due; `is_watching` says who can. To be called until it gives nobody.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        members_len: usize,
        is_watching: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        while self.next_due <= now {
            let due = self.next_due;
            self.next_due += self.interval;
            for _ in 0..LOOKS_MAX.min(members_len) {
                let member = self.next_member % members_len;
                self.next_member = member + 1;
                if is_watching(member) && !self.open.contains_key(&member) {
                    self.open.insert(member, due);
                    return Some(member);
                }
            }
            self.miss(due);
        }
        None
    }

    /// The member has its answer.
    pub(crate) fn answered(&mut self, member: usize, now: Instant) {
        let Some(due) = self.open.remove(&member) else { return };
        let second = self.second(due);
        self.tally.answered.entry(second).or_insert_with(Latency::coarse).record(now - due);
    }

    /// The member will get no answer any more.
    pub(crate) fn gone(&mut self, member: usize) {
        if let Some(due) = self.open.remove(&member) {
            self.miss(due);
        }
    }

    /// What has come of all; those that are open count as unanswered.
    pub(crate) fn into_tally(mut self) -> QuestionTally {
        for due in std::mem::take(&mut self.open).into_values() {
            self.miss(due);
        }
        self.tally
    }

    fn miss(&mut self, due: Instant) {
        *self.tally.unanswered.entry(self.second(due)).or_default() += 1;
    }

    fn second(&self, due: Instant) -> i64 {
        self.clock.unix_us(due).div_euclid(1_000_000)
    }
}

impl QuestionTally {
    pub(crate) fn add(&mut self, other: &Self) {
        for (second, latency) in &other.answered {
            self.answered.entry(*second).or_insert_with(Latency::coarse).add(latency);
        }
        for (second, count) in &other.unanswered {
            *self.unanswered.entry(*second).or_default() += count;
        }
    }

    /// Of all seconds together.
    pub(crate) fn latency(&self) -> LatencyReport {
        let mut latency = Latency::fine();
        self.answered.values().for_each(|of_second| latency.add(of_second));
        latency.report()
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.values().sum()
    }

    /// In order; seconds in which none was due are left out.
    pub(crate) fn seconds(&self) -> Vec<QuestionsSecond> {
        let mut seconds: Vec<i64> = self.answered.keys().chain(self.unanswered.keys()).copied().collect();
        seconds.sort_unstable();
        seconds.dedup();
        let second = |unix_s: i64| QuestionsSecond {
            unix_s,
            answered: self.answered.get(&unix_s).cloned().unwrap_or_else(Latency::coarse).report(),
            unanswered: self.unanswered.get(&unix_s).copied().unwrap_or_default(),
        };
        seconds.into_iter().map(second).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn questions_come_by_the_clock_and_count_from_when_they_were_due() {
        let start = Instant::now();
        let mut questions = Questions::new(100.0, start);
        assert_eq!(questions.next(start, 3, |member| member != 1), Some(0));
        assert_eq!(questions.next(start, 3, |member| member != 1), None);
        assert_eq!(questions.due_in(start), 10 * MS);
        let late = start + 25 * MS;
        assert_eq!(questions.next(late, 3, |member| member != 1), Some(2));
        assert_eq!(questions.next(late, 3, |member| member != 1), None, "both have a question open");
        questions.answered(2, late + 5 * MS);
        questions.answered(2, late + 9 * MS);
        questions.gone(0);
        let tally = questions.into_tally();
        let latency = tally.latency();
        assert_eq!((latency.count, tally.unanswered()), (1, 2));
        // Of a second it is known to one part in a hundred.
        assert!((19_800..=20_200).contains(&latency.max_us), "{latency:?}");
    }

    #[test]
    fn the_seconds_of_several_crowds_add_up() {
        let start = Instant::now();
        let mut sum = QuestionTally::default();
        for _ in 0..2 {
            let mut questions = Questions::new(1.0, start);
            while let Some(member) = questions.next(start + 1500 * MS, 9, |_| true) {
                questions.answered(member, start + 1600 * MS);
            }
            sum.add(&questions.into_tally());
        }
        let counts: Vec<_> = sum.seconds().iter().map(|second| second.answered.count).collect();
        assert_eq!(counts, [2, 2]);
    }
}
