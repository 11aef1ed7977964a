//! This machine's clock, so that moments of several processes, and those that the site names, can be compared.
//!
//! Read once for each process; from there on the monotonic clock counts, which no correction can turn back.

use std::time::{Duration, Instant};

/// Turns instants of this process into microseconds since the Unix epoch, and back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_us: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), origin_us: jiff::Timestamp::now().as_microsecond() }
    }

    pub(crate) fn unix_us(&self, at: Instant) -> i64 {
        self.origin_us + micros(at.saturating_duration_since(self.origin))
            - micros(self.origin.saturating_duration_since(at))
    }

    /// None for a moment that this machine's monotonic clock cannot name, long before its start.
    pub(crate) fn instant(&self, unix_us: i64) -> Option<Instant> {
        let distance = Duration::from_micros(unix_us.abs_diff(self.origin_us));
        if unix_us < self.origin_us {
            self.origin.checked_sub(distance)
        } else {
            self.origin.checked_add(distance)
        }
    }
}

/// A moment in the form of the site, RFC 3339, in microseconds since the Unix epoch.
pub(crate) fn parse_moment(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_back_from_before_and_after_the_start() {
        let clock = Clock::start();
        for shift_us in [-1_000_000, 0, 1, 3_600_000_000] {
            let unix_us = clock.origin_us + shift_us;
            assert_eq!(clock.unix_us(clock.instant(unix_us).unwrap()), unix_us);
        }
    }

    #[test]
    fn the_site_s_moments_are_read_to_the_millisecond() {
        assert_eq!(parse_moment("1970-01-01T00:00:01.250Z"), Some(1_250_000));
        assert_eq!(parse_moment("yesterday"), None);
    }
}
