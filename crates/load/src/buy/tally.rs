//! What a thread has seen so far: counts, histograms, and what each token was told last.

use super::answer::AnswerBook;
use crate::http::{Failure, FailureKind, Traffic};
use crate::latency::Latency;
use std::collections::BTreeMap;
use std::time::Duration;

/// The counts of a run or of a part of it; parts are added up.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests sent, those sent again not counted.
    pub(crate) requests: u64,
    /// Requests sent again.
    pub(crate) retries: u64,
    /// Requests that ended: answered for good, or failed and not to be sent again.
    pub(crate) ended: u64,
    /// Of the ended: those that failed or were answered with a 5xx.
    pub(crate) ended_in_error: u64,
    /// Every answer, those that led to a retry included.
    pub(crate) answers: AnswerBook,
    /// Every failure by kind, and the first detail of each.
    pub(crate) failures: BTreeMap<FailureKind, (u64, String)>,
    /// Of every answer, from when its sending was due.
    pub(crate) latency: Latency,
    /// Of every ended request, from when its first sending was due, retries and pauses included.
    pub(crate) time_to_end: Latency,
    pub(crate) traffic: Traffic,
    pub(crate) seconds: Vec<SecondTally>,
    /// Since the start of the run.
    pub(crate) last_result_at: Option<Duration>,
    /// By token index; None if nobody asked for it.
    pub(crate) last_answers: Option<Vec<LastAnswer>>,
}

/// The counts of one second of the run, by the time at which each thing happened.
#[derive(Debug, Clone)]
pub(crate) struct SecondTally {
    /// By when it was due (open loop) or sent (closed loop); those sent again are counted each time.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Of the answers: 202.
    pub(crate) accepted: u64,
    /// Of the answers: how many of each, by its number in the tally's book; none of those beyond the end.
    pub(crate) by_answer: Vec<u64>,
    pub(crate) failed: u64,
    pub(crate) latency: Latency,
}

impl SecondTally {
    fn new() -> Self {
        Self {
            sent: 0,
            answered: 0,
            accepted: 0,
            by_answer: Vec::new(),
            failed: 0,
            latency: Latency::coarse(),
        }
    }

    fn count_answer(&mut self, number: u16, count: u64) {
        let number = usize::from(number);
        if self.by_answer.len() <= number {
            self.by_answer.resize(number + 1, 0);
        }
        self.by_answer[number] += count;
    }
}

/// What a token was told last. An answer stays, whatever fails after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastAnswer {
    NotSent,
    Failed(FailureKind),
    /// At that time since the start, the answer of that number in the tally's book.
    Answered(Duration, u16),
}

impl Tally {
    pub(crate) fn new(tokens_len: usize, keep_last_answers: bool) -> Self {
        Self {
            requests: 0,
            retries: 0,
            ended: 0,
            ended_in_error: 0,
            answers: AnswerBook::default(),
            failures: BTreeMap::new(),
            latency: Latency::fine(),
            time_to_end: Latency::fine(),
            traffic: Traffic::default(),
            seconds: Vec::new(),
            last_result_at: None,
            last_answers: keep_last_answers.then(|| vec![LastAnswer::NotSent; tokens_len]),
        }
    }

    /// Notes a sending, the `tries`th of its request counted from 1, that was due at `since_start`.
    pub(crate) fn sent(&mut self, tries: u32, since_start: Duration) {
        if tries == 1 {
            self.requests += 1;
        } else {
            self.retries += 1;
        }
        self.second(since_start).sent += 1;
    }

    pub(crate) fn answered(
        &mut self,
        token: usize,
        http_status: u16,
        word: &str,
        since_start: Duration,
        latency: Duration,
    ) {
        let number = self.answers.count(http_status, word, 1);
        self.latency.record(latency);
        let second = self.second(since_start);
        second.answered += 1;
        second.accepted += u64::from(http_status == 202);
        second.count_answer(number, 1);
        second.latency.record(latency);
        self.last_result_at = self.last_result_at.max(Some(since_start));
        if let Some(last_answers) = &mut self.last_answers {
            last_answers[token] = LastAnswer::Answered(since_start, number);
        }
    }

    pub(crate) fn failed(&mut self, token: usize, failure: &Failure, since_start: Duration) {
        self.failures.entry(failure.kind).or_insert_with(|| (0, failure.detail.clone())).0 += 1;
        self.second(since_start).failed += 1;
        self.last_result_at = self.last_result_at.max(Some(since_start));
        if let Some(last_answers) = &mut self.last_answers {
            last_answers[token] = last_answers[token].later(LastAnswer::Failed(failure.kind));
        }
    }

    /// Notes that a request will not be sent again, after its person had waited for `time_to_end`.
    pub(crate) fn ended(&mut self, is_error: bool, time_to_end: Duration) {
        self.ended += 1;
        self.ended_in_error += u64::from(is_error);
        self.time_to_end.record(time_to_end);
    }

    pub(crate) fn add_traffic(&mut self, traffic: Traffic) {
        self.traffic.connections_opened += traffic.connections_opened;
        self.traffic.sent_bytes += traffic.sent_bytes;
        self.traffic.received_bytes += traffic.received_bytes;
    }

    /// Requests sent whose retries the end of the run cut short.
    pub(crate) fn unanswered(&self) -> u64 {
        self.requests - self.ended
    }

    /// Adds what another thread has seen of the same run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.ended += other.ended;
        self.ended_in_error += other.ended_in_error;
        self.latency.add(&other.latency);
        self.time_to_end.add(&other.time_to_end);
        self.add_traffic(other.traffic);
        self.last_result_at = self.last_result_at.max(other.last_result_at);
        for (kind, (count, detail)) in &other.failures {
            self.failures.entry(*kind).or_insert_with(|| (0, detail.clone())).0 += count;
        }
        let numbers: Vec<u16> = (other.answers.iter())
            .map(|answer| self.answers.count(answer.http_status, &answer.word, answer.count))
            .collect();
        for (index, second) in other.seconds.iter().enumerate() {
            let own = self.second(Duration::from_secs(index as u64));
            own.sent += second.sent;
            own.answered += second.answered;
            own.accepted += second.accepted;
            own.failed += second.failed;
            own.latency.add(&second.latency);
            for (number, count) in numbers.iter().zip(&second.by_answer).filter(|(_, count)| **count > 0) {
                own.count_answer(*number, *count);
            }
        }
        if let (Some(own), Some(others)) = (&mut self.last_answers, &other.last_answers) {
            for (own, other) in own.iter_mut().zip(others) {
                *own = own.later(other.renumbered(&numbers));
            }
        }
    }

    fn second(&mut self, since_start: Duration) -> &mut SecondTally {
        let index = usize::try_from(since_start.as_secs()).expect("a run lasts hours at most");
        if index >= self.seconds.len() {
            self.seconds.resize(index + 1, SecondTally::new());
        }
        &mut self.seconds[index]
    }
}

impl LastAnswer {
    /// Which of the two to keep.
    fn later(self, other: Self) -> Self {
        match (self, other) {
            (Self::Answered(at, _), Self::Answered(other_at, _)) if other_at >= at => other,
            (Self::Answered(..), _) | (_, Self::NotSent) => self,
            (Self::NotSent | Self::Failed(_), other) => other,
        }
    }

    fn renumbered(self, numbers: &[u16]) -> Self {
        match self {
            Self::Answered(at, number) => Self::Answered(at, numbers[usize::from(number)]),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn two_threads_tallies_add_up_with_their_own_numbers_for_answers() {
        let (mut one, mut two) = (Tally::new(3, true), Tally::new(3, true));
        one.answered(0, 202, "queued", MS, MS);
        one.answered(1, 200, "sold_out", MS, MS);
        two.answered(1, 503, "overloaded", 2 * MS, MS);
        two.answered(0, 200, "sold_out", 1500 * MS, MS);
        let mut sum = Tally::new(3, true);
        sum.add(&one);
        sum.add(&two);
        let counts: Vec<_> = sum.answers.iter().map(|answer| (&*answer.word, answer.count)).collect();
        assert_eq!(counts, [("queued", 1), ("sold_out", 2), ("overloaded", 1)]);
        let last = sum.last_answers.unwrap();
        assert_eq!(
            last,
            [LastAnswer::Answered(1500 * MS, 1), LastAnswer::Answered(2 * MS, 2), LastAnswer::NotSent]
        );
        let seconds: Vec<_> =
            sum.seconds.iter().map(|second| (second.answered, &*second.by_answer)).collect();
        assert_eq!(seconds, [(3, &[1, 1, 1][..]), (1, &[0, 1][..])]);
    }

    #[test]
    fn an_answer_once_given_outlives_a_later_failure() {
        let failure = Failure { kind: FailureKind::Timeout, detail: String::new() };
        let mut tally = Tally::new(2, true);
        tally.answered(0, 202, "queued", MS, MS);
        tally.failed(0, &failure, 2 * MS);
        tally.failed(1, &failure, 2 * MS);
        let last = tally.last_answers.unwrap();
        assert_eq!(last, [LastAnswer::Answered(MS, 0), LastAnswer::Failed(FailureKind::Timeout)]);
    }
}
