//! What a process has seen of its people's journeys; the parent adds the parts up.

use crate::latency::{Latency, LatencySeconds};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts and times of some people. All times are from the opening of the sale, unless said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SaleTally {
    pub(crate) people: u64,
    /// What people were told first, by status or word; who was told nothing is not in it.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Where people stood in the end.
    pub(crate) at_end: BTreeMap<String, u64>,
    /// By how the first outcome came: `push`, `answer` or `look_up`.
    pub(crate) told_by: BTreeMap<String, u64>,
    /// Of the buy calls, by HTTP status and word, or by the kind of failure.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Of the check-outs, likewise.
    pub(crate) payments: BTreeMap<String, u64>,
    /// Of the look-ups, likewise.
    pub(crate) look_ups: BTreeMap<String, u64>,
    /// Until a person heard of it over the socket.
    pub(crate) opening_heard: Latency,
    /// Until a person had the first answer to the buy call.
    pub(crate) answered: Latency,
    /// Until a person was told an outcome.
    pub(crate) told: Latency,
    /// Of one buy call, from its sending to its answer.
    pub(crate) call: Latency,
    /// Of one check-out, likewise.
    pub(crate) payment: Latency,
    /// By second: the same, and how many of what.
    pub(crate) call_by_second: LatencySeconds,
    pub(crate) by_second: BTreeMap<String, Vec<u64>>,
}

impl SaleTally {
    pub(crate) fn new() -> Self {
        let [opening_heard, answered, told, call, payment] = std::array::from_fn(|_| Latency::fine());
        Self {
            people: 0,
            outcomes: BTreeMap::new(),
            at_end: BTreeMap::new(),
            told_by: BTreeMap::new(),
            answers: BTreeMap::new(),
            payments: BTreeMap::new(),
            look_ups: BTreeMap::new(),
            opening_heard,
            answered,
            told,
            call,
            payment,
            call_by_second: LatencySeconds::default(),
            by_second: BTreeMap::new(),
        }
    }

    pub(crate) fn told_len(&self) -> u64 {
        self.outcomes.values().sum()
    }

    pub(crate) fn untold(&self) -> u64 {
        self.people - self.told_len()
    }

    /// Notes one thing of that name in its second.
    pub(crate) fn happened(&mut self, what: &str, since_opening: Duration) {
        let second = second_of(since_opening);
        let counts = entry(&mut self.by_second, what);
        if counts.len() <= second {
            counts.resize(second + 1, 0);
        }
        counts[second] += 1;
    }

    pub(crate) fn called(&mut self, since_opening: Duration, time: Duration) {
        self.call.record(time);
        let second = second_of(since_opening);
        self.call_by_second.record(second, time);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.people += other.people;
        for (own, others) in [
            (&mut self.outcomes, &other.outcomes),
            (&mut self.at_end, &other.at_end),
            (&mut self.told_by, &other.told_by),
            (&mut self.answers, &other.answers),
            (&mut self.payments, &other.payments),
            (&mut self.look_ups, &other.look_ups),
        ] {
            for (key, count) in others {
                *entry(own, key) += count;
            }
        }
        for (own, others) in [
            (&mut self.opening_heard, &other.opening_heard),
            (&mut self.answered, &other.answered),
            (&mut self.told, &other.told),
            (&mut self.call, &other.call),
            (&mut self.payment, &other.payment),
        ] {
            own.add(others);
        }
        self.call_by_second.add(&other.call_by_second);
        for (what, others) in &other.by_second {
            let own = entry(&mut self.by_second, what);
            if own.len() < others.len() {
                own.resize(others.len(), 0);
            }
            for (own, others) in own.iter_mut().zip(others) {
                *own += others;
            }
        }
    }
}

/// Counts one of that key; the key is made only once.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    *entry(counts, key) += 1;
}

fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, key: &str) -> &'a mut V {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key).expect("it is there, or has just been put there")
}

fn second_of(since_opening: Duration) -> usize {
    usize::try_from(since_opening.as_secs()).expect("a run lasts hours at most")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_also_where_one_has_what_the_other_lacks() {
        let (mut one, mut two) = (SaleTally::new(), SaleTally::new());
        (one.people, two.people) = (2, 1);
        count(&mut one.outcomes, "reserved");
        count(&mut two.outcomes, "standby");
        one.happened("told", Duration::from_millis(10));
        two.happened("told", Duration::from_millis(2500));
        two.called(Duration::from_secs(1), Duration::from_millis(3));
        let sent: SaleTally = serde_json::from_str(&serde_json::to_string(&two).unwrap()).unwrap();
        one.add(&sent);
        assert_eq!((one.people, one.told_len(), one.untold()), (3, 2, 1));
        assert_eq!(one.by_second["told"], [1, 0, 1]);
        assert_eq!((one.call.report().count, one.call_by_second.reports().len()), (1, 2));
    }
}
