//! The requests that are to be sent again, and when.

use super::schedule::Attempt;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A site that asks for more would have the run wait for nothing.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Attempts that wait for their time, the earliest first. Not bounded by itself: it never holds more than the
/// requests that were sent.
#[derive(Debug, Default)]
pub(super) struct RetryQueue(BinaryHeap<Waiting>);

impl RetryQueue {
    pub(super) fn push(&mut self, due: Instant, attempt: Attempt) {
        self.0.push(Waiting { due, attempt });
    }

    /// When the first of them is due.
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.0.peek().map(|waiting| waiting.due)
    }

    /// The first of them, if it is due by now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Attempt> {
        if self.first_due()? > now {
            return None;
        }
        self.0.pop().map(|waiting| waiting.attempt)
    }
}

/// How long to wait before sending again: what the site asked for, up to 30 s, or else 50 ms and twice as long
/// each time, up to 2 s. Up to a quarter more, by the token's index, so that those who failed together do not
/// all come back together. `tries` counts from 1.
pub(crate) fn pause(tries: u32, retry_after: Option<Duration>, token: usize) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(PAUSE_MAX);
    let pause = retry_after.map_or(doubled, |asked| asked.min(RETRY_AFTER_MAX));
    // Multiplied by an odd constant near 2^32 over the golden ratio, neighbours land far apart.
    let spread = (token as u64).wrapping_mul(2_654_435_769) % 256;
    pause + pause / 4 * u32::try_from(spread).expect("below 256") / 256
}

/// Whether the site asks to come again: too many requests, or its own failure.
pub(crate) const fn is_worth_repeating(http_status: u16) -> bool {
    http_status == 429 || http_status >= 500
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    attempt: Attempt,
}

impl Ord for Waiting {
    /// Reversed: the heap's greatest is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due).then_with(|| other.attempt.token.cmp(&self.attempt.token))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_site_is_never_asked_sooner_than_it_said() {
        assert!(pause(1, Some(Duration::from_secs(3)), 7) >= Duration::from_secs(3));
        assert!(pause(1, Some(Duration::from_hours(24)), 7) <= RETRY_AFTER_MAX * 5 / 4);
        assert_eq!(pause(1, Some(Duration::ZERO), 7), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_pause_grows_and_stays_bounded(tries in 1_u32.., token: usize) {
            let now = pause(tries, None, token);
            prop_assert!((PAUSE_MIN..=PAUSE_MAX * 5 / 4).contains(&now));
            prop_assert!(pause(tries.saturating_add(1), None, token) >= now);
        }

        #[test]
        fn the_earliest_comes_first_and_none_before_its_time(pauses_ms in prop::collection::vec(0_u64..1000, 1..50)) {
            let start = Instant::now();
            let mut queue = RetryQueue::default();
            for (token, pause_ms) in pauses_ms.iter().enumerate() {
                queue.push(start + Duration::from_millis(*pause_ms), Attempt::first(token, None));
            }
            let mut sorted = pauses_ms.clone();
            sorted.sort_unstable();
            for expected_ms in sorted {
                let due = start + Duration::from_millis(expected_ms);
                prop_assert_eq!(queue.first_due(), Some(due));
                prop_assert!(queue.pop_due(due.checked_sub(Duration::from_micros(1)).unwrap()).is_none());
                prop_assert_eq!(pauses_ms[queue.pop_due(due).unwrap().token], expected_ms);
            }
            prop_assert!(queue.first_due().is_none());
        }
    }
}
