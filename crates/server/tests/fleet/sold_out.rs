//! Whether `sold_out` was true a moment before it was said: compared with when units were free, by `claim_events`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::site::{DATABASE, Fleet};

/// Since the Unix epoch, by the clock of this machine, which is also that of the primary.
pub(crate) type Moment = Duration;

/// So long before it was said it may have been true. A publisher believes what it heard for five seconds, and by its
/// clock, which may be a quarter of a second off; the rest is for what takes its time.
const BELIEVED: Duration = Duration::from_secs(6);
/// A change is committed no later than this after its time.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);

/// The time.
pub(crate) fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// An answer `sold_out`: when it was asked for, and when it had come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) asked_at: Moment,
    pub(crate) heard_at: Moment,
}

/// When a unit of a sale was free.
#[derive(Debug)]
pub(crate) struct Free {
    /// In order, with gaps between them.
    spans: Vec<Range<Moment>>,
    /// How many units are free in the end.
    pub(crate) left: i64,
}

impl Free {
    /// By the events of the sale. A unit whose commit may have been held up on its way, when the network to the primary
    /// stood still, counts as free only afterwards.
    pub(crate) fn of_sale(fleet: &Fleet, sale: &str, standstills: &[Range<Moment>]) -> Self {
        let query = |sql: &str| fleet.services.mysql.primary.query(sql).unwrap();
        let stock = query(&format!("SELECT stock FROM {DATABASE}.sales WHERE id = {sale}"));
        let holds = "IN ('reserved', 'paying', 'paid', 'refunded')";
        let events = query(&format!(
            "SELECT at, SUM(quantity * (COALESCE(from_status {holds}, 0) - (to_status {holds}))) \
             FROM {DATABASE}.claim_events WHERE sale = {sale} GROUP BY at"
        ));
        let changes = events.lines().map(|line| {
            let (at, freed) = line.split_once('\t').unwrap();
            (Duration::from_millis(at.parse().unwrap()), freed.parse().unwrap())
        });
        Self::of_changes(stock.parse().unwrap(), changes, standstills)
    }

    /// By how many units are free at first, and how many more at which time, in any order.
    fn of_changes(
        stock: i64,
        changes: impl IntoIterator<Item = (Moment, i64)>,
        standstills: &[Range<Moment>],
    ) -> Self {
        let mut by_time = BTreeMap::from([(Moment::ZERO, stock)]);
        for (at, freed) in changes {
            let shown_at = if freed > 0 { shown_at(at, standstills) } else { at };
            *by_time.entry(shown_at).or_default() += freed;
        }
        let (mut spans, mut left, mut since) = (Vec::new(), 0, None);
        for (at, freed) in by_time {
            left += freed;
            if left > 0 {
                since.get_or_insert(at);
            } else if let Some(since) = since.take() {
                spans.push(since..at);
            }
        }
        spans.extend(since.map(|since| since..Moment::MAX));
        Self { spans, left }
    }

    /// Whether a unit was free all the time in which it could have been true.
    pub(crate) fn refutes(&self, said: &Said) -> bool {
        let from = said.asked_at.saturating_sub(BELIEVED);
        let later = self.spans.partition_point(|span| span.start <= from);
        later > 0 && said.heard_at < self.spans[later - 1].end
    }
}

/// When a change of this time showed at the latest.
fn shown_at(at: Moment, standstills: &[Range<Moment>]) -> Moment {
    let held_up = standstills.iter().find(|still| still.start <= at + COMMITTED_WITHIN && at < still.end);
    held_up.map_or(at, |still| still.end)
}

/// Fails if one of these answers was false; says how many there are.
pub(crate) fn expect_true(said: &[Said], free: &Free) {
    let false_ones: Vec<_> = said.iter().filter(|said| free.refutes(said)).collect();
    println!("{} answers `sold_out`, while a unit was free {} times", said.len(), free.spans.len());
    assert!(false_ones.is_empty(), "{} of them were false: {false_ones:?}, {free:?}", false_ones.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    /// Of two units both are taken after ten seconds, and one is free again for ten seconds.
    const CHANGES: [(Moment, i64); 4] =
        [(at(9_000), -1), (at(10_000), -1), (at(20_000), 1), (at(30_000), -1)];

    fn refuted(free: &Free, asked_at_ms: u64, heard_at_ms: u64) -> bool {
        free.refutes(&Said { asked_at: at(asked_at_ms), heard_at: at(heard_at_ms) })
    }

    #[test]
    fn an_answer_is_false_if_a_unit_was_free_all_the_time_in_which_it_could_have_been_true() {
        let free = Free::of_changes(2, CHANGES, &[]);
        for (asked_at_ms, heard_at_ms, is_false) in [
            (1_000, 1_001, true),
            (9_500, 9_999, true),
            (9_500, 10_000, false),
            (15_000, 15_100, false),
            (25_999, 26_100, false),
            (26_000, 26_001, true),
            (29_000, 29_999, true),
            (29_000, 30_000, false),
            (40_000, 40_100, false),
        ] {
            assert_eq!(refuted(&free, asked_at_ms, heard_at_ms), is_false, "{asked_at_ms}..{heard_at_ms}");
        }
        assert_eq!(free.left, 0);
        assert!(refuted(&Free::of_changes(2, [CHANGES[0]], &[]), 90_000, 90_001), "one of two is left");
    }

    #[test]
    fn a_unit_whose_commit_may_have_been_held_up_is_free_only_afterwards() {
        let freed_at = |standstill: Range<u64>| {
            let still = [at(standstill.start)..at(standstill.end)];
            let free = Free::of_changes(2, CHANGES, &still);
            free.spans.last().unwrap().start
        };
        assert_eq!(freed_at(10_000..19_999), at(20_000), "it had come before the change");
        assert_eq!(freed_at(15_000..22_000), at(22_000));
        assert_eq!(freed_at(25_000..27_000), at(27_000));
        assert_eq!(freed_at(25_001..27_000), at(20_000), "the change was committed");
    }

    #[test]
    #[should_panic(expected = "1 of them were false")]
    fn a_false_answer_fails() {
        let said = [(25_000, 25_001), (27_000, 27_001)];
        let said = said
            .map(|(asked_at_ms, heard_at_ms)| Said { asked_at: at(asked_at_ms), heard_at: at(heard_at_ms) });
        expect_true(&said, &Free::of_changes(2, CHANGES, &[]));
    }
}
