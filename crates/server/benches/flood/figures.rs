//! Times that were measured, and the figures drawn from them.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Figures of some times, in milliseconds; zeros if there were none.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figures {
    pub(crate) n: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Figures {
    /// Quantiles are times that were measured, by the nearest rank.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100);
            times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Self { n: times.len(), p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n, p50_ms, p99_ms, max_ms } = self;
        write!(f, "n {n:>5}  p50 {p50_ms:>8.2} ms  p99 {p99_ms:>8.2} ms  max {max_ms:>8.2} ms")
    }
}
