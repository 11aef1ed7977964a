//! The places in standby of one sale, by `seq`: counted once for all who ask within a moment.

use std::sync::Arc;
use std::time::Duration;

use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;

/// For how long a count is used. Whoever stands by only moves ahead, so an old place is never too good.
const COUNTED_FOR: Duration = Duration::from_millis(250);
/// How soon people who came after the count may have it made anew.
pub const COUNTED_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The places as they were counted last.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Option<Arc<Count>>>);

#[derive(Debug)]
struct Count {
    at: Timestamp,
    /// Everybody with a lower `seq` was counted.
    next_seq: u64,
    seqs: Vec<u64>,
}

impl Places {
    /// The place of the person with this `seq`, from 1. `count` gives the `seq` of all who stand by, in order, and the one
    /// below which it knows everybody. `None` if this one is above that, or came just after the last count.
    pub(super) fn place(
        &self,
        seq: u64,
        now: Timestamp,
        count: impl FnOnce() -> (Vec<u64>, u64),
    ) -> Option<u64> {
        let mut kept = self.0.lock();
        let is_usable = |known: &Arc<Count>| {
            let used_for = if seq < known.next_seq { COUNTED_FOR } else { COUNTED_AGAIN_AFTER };
            !now.is_past(known.at, used_for)
        };
        let known = kept.clone().filter(is_usable).unwrap_or_else(|| {
            let (seqs, next_seq) = count();
            Arc::new(Count { at: now, next_seq, seqs })
        });
        *kept = Some(known.clone());
        drop(kept);
        let (Ok(ahead) | Err(ahead)) = known.seqs.binary_search(&seq);
        (seq < known.next_seq).then_some(ahead as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_place_is_counted_once_for_all_who_ask_within_a_moment() {
        let places = Places::default();
        let at = |seq, after_ms, seqs: &[u64], next_seq| {
            places.place(seq, START + Duration::from_millis(after_ms), || (seqs.to_vec(), next_seq))
        };
        assert_eq!(at(7, 0, &[3, 5, 7], 8), Some(3));
        assert_eq!(at(5, 249, &[], 8), Some(2), "the count is used again");
        assert_eq!(at(7, 250, &[5, 7], 8), Some(2), "and made anew");
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_no_count() {
        let places = Places::default();
        assert_eq!(places.place(7, START, || (vec![3, 7], 8)), Some(2));
        let earlier = Timestamp::from_millis(START.as_millis() - 5_000);
        assert_eq!(places.place(9, earlier, || (vec![3, 7, 9], 10)), Some(3));
    }

    #[test]
    fn whoever_came_after_the_count_is_given_no_place_that_is_too_good() {
        let places = Places::default();
        let at = |seq, after_ms, seqs: &[u64], next_seq| {
            places.place(seq, START + Duration::from_millis(after_ms), || (seqs.to_vec(), next_seq))
        };
        assert_eq!(at(3, 0, &[3], 4), Some(1));
        assert_eq!(at(9, 49, &[3, 4, 9], 10), None, "the last count is too new to be made anew");
        assert_eq!(at(9, 50, &[3, 4, 9], 10), Some(3));
        assert_eq!(at(12, 200, &[3, 4, 9], 10), None, "not everybody before is known");
    }
}
