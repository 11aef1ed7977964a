//! A moment in time, as the database's clock gives it. Spans are [`std::time::Duration`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Everything that is stored or judged has this precision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// How long before another a thread may have read the clock, if both are at work at once.
const THREADS_APART_MAX: Duration = Duration::from_millis(100);

impl Timestamp {
    /// The moment `ms` milliseconds after the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whether `span` or more has passed since `earlier`; also if that is yet to come, because a clock that was set back
    /// makes nothing newer. Threads that read the clock at about the same time are no such clock: what is not yet to come
    /// by more than 100 ms is now.
    pub fn is_past(self, earlier: Self, span: Duration) -> bool {
        earlier.saturating_since(self) > THREADS_APART_MAX || self.saturating_since(earlier) >= span
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the end of representable time.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the start of representable time.
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_past_when_it_is_over_and_after_a_clock_was_set_back() {
        let at = |ms: i64| Timestamp::from_millis(10_000 + ms);
        let is_past = |ms| at(ms).is_past(at(0), Duration::from_millis(250));
        assert!(!is_past(249) && is_past(250));
        assert!(!is_past(0) && !is_past(-100), "another thread was a little earlier");
        assert!(is_past(-101) && is_past(-5_000));
    }
}
