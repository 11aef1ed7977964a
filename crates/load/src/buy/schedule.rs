//! Which token's request comes next, and when: shared by all threads, without a lock.

use crate::cli::BuyArgs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The runtime's timers know only milliseconds. A waiting connection therefore wakes up to this much before its
/// time rather than after, and as much lateness is not held against the site.
pub(super) const TIMER_STEP: Duration = Duration::from_millis(1);

/// The plan of a run: rounds over all tokens, as fast as the answers come (closed loop) or by the clock (open).
#[derive(Debug)]
pub(crate) struct Schedule {
    start: Instant,
    duration: Duration,
    tokens_len: usize,
    planned: u64,
    rate_per_s: Option<f64>,
    next: AtomicU64,
}

/// One sending of one token's request.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The token's index.
    pub(crate) token: usize,
    /// When it should be sent; None for as soon as a connection is free.
    pub(crate) due: Option<Instant>,
    /// How often it was sent already.
    pub(crate) tries: u32,
    /// From when the person has been waiting; None before the first try.
    pub(crate) waiting_since: Option<Instant>,
}

impl Schedule {
    pub(crate) fn new(args: &BuyArgs, tokens_len: usize, start: Instant) -> Self {
        let all = (tokens_len as u64).saturating_mul(args.repeat);
        Self {
            start,
            duration: args.duration,
            tokens_len,
            planned: args.requests.map_or(all, |requests| requests.min(all)),
            rate_per_s: args.rate,
            next: AtomicU64::new(0),
        }
    }

    /// The next request, or None if all are handed out or no more is due within the run. Each is handed out
    /// once, in order.
    pub(super) fn take(&self) -> Option<Attempt> {
        // A caller that was told None does not ask again, so this cannot run over.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.planned {
            return None;
        }
        let due = self.rate_per_s.map(|rate_per_s| self.start + due_after(number, rate_per_s));
        if due.is_some_and(|due| due >= self.end()) {
            return None;
        }
        let token = number % self.tokens_len as u64;
        Some(Attempt::first(usize::try_from(token).expect("below the number of tokens"), due))
    }

    /// The requests that a run sends if there is time enough, those sent again not counted.
    pub(crate) fn planned(&self) -> u64 {
        self.planned
    }

    /// The requests that should have been sent within the run: all of them if it was not `interrupted` or is a
    /// closed loop, else those due in the time that it had.
    pub(crate) fn due_within(&self, elapsed: Duration, interrupted: bool) -> u64 {
        let Some(rate_per_s) = self.rate_per_s else { return self.planned };
        let time = if interrupted { elapsed.min(self.duration) } else { self.duration };
        // Searched rather than computed, so that it agrees with `take` to the last request.
        let (mut due, mut not_due) = (0, self.planned);
        while due < not_due {
            let middle = due + (not_due - due) / 2;
            if due_after(middle, rate_per_s) < time {
                due = middle + 1;
            } else {
                not_due = middle;
            }
        }
        due
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    /// From when on nothing is sent, but what waited for a time before it.
    pub(super) fn end(&self) -> Instant {
        self.start + self.duration
    }
}

impl Attempt {
    pub(super) fn first(token: usize, due: Option<Instant>) -> Self {
        Self { token, due, tries: 0, waiting_since: None }
    }

    /// From when its latency counts, if it is sent now. In a closed loop that is now. In an open loop it is when
    /// it was due, so that a site that stands still is charged with all who would have come meanwhile
    /// (coordinated omission); but not with the timer's coarseness, where the connection did `wait` for it.
    pub(super) fn latency_origin(&self, now: Instant, waited: bool) -> Instant {
        match self.due {
            None => now,
            Some(due) if waited => now.min(due + TIMER_STEP),
            Some(due) => now.min(due),
        }
    }
}

fn due_after(number: u64, rate_per_s: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a run sends fewer than 2^52 requests")]
    let seconds = number as f64 / rate_per_s;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(planned: u64, tokens_len: usize, rate_per_s: Option<f64>, duration: Duration) -> Schedule {
        let next = AtomicU64::new(0);
        Schedule { start: Instant::now(), duration, tokens_len, planned, rate_per_s, next }
    }

    #[test]
    fn a_late_request_is_charged_to_the_site_unless_only_the_timer_was_late() {
        let due = Instant::now();
        let attempt = Attempt::first(0, Some(due));
        let late = |micros| due + Duration::from_micros(micros);
        assert_eq!(attempt.latency_origin(late(500_000), false), due);
        assert_eq!(attempt.latency_origin(late(900), true), late(900));
        assert_eq!(attempt.latency_origin(late(500_000), true), due + TIMER_STEP);
        assert_eq!(Attempt::first(0, None).latency_origin(late(500_000), true), late(500_000));
    }

    proptest! {
        #[test]
        fn every_token_is_handed_out_in_rounds(tokens_len in 1_usize..50, repeat in 1_u64..5) {
            let schedule = schedule(tokens_len as u64 * repeat, tokens_len, None, Duration::from_secs(1));
            for _ in 0..repeat {
                for token in 0..tokens_len {
                    prop_assert_eq!(schedule.take().map(|attempt| attempt.token), Some(token));
                }
            }
            prop_assert!(schedule.take().is_none());
        }

        #[test]
        fn what_is_due_within_the_run_is_what_is_handed_out(
            planned in 1_u64..2000, rate_per_s in 0.1_f64..5000.0, duration_ms in 1_u64..3000,
        ) {
            let schedule = schedule(planned, 7, Some(rate_per_s), Duration::from_millis(duration_ms));
            let expected = schedule.due_within(Duration::ZERO, false);
            let handed_out = std::iter::from_fn(|| schedule.take()).count() as u64;
            prop_assert_eq!(handed_out, expected);
        }
    }
}
