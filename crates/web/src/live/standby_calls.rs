//! When all who watch a sale are told how standby moves, those included who do not stand by.
//!
//! Whoever stands by follows each second. For the others it is a number on the page, and telling a million people costs
//! seconds of a core, just when the sale is decided. So the more they are, the more rarely they hear of it.

use std::collections::HashMap;
use std::time::Duration;

use miaosha_domain::ids::SaleId;
use tokio::time::Instant;

/// For each socket of this node, how much time lies between two calls to all: a few thousandths of a core, since one
/// message costs about 8 µs (docs/BENCHMARKS.md).
const EVERY_PER_SOCKET: Duration = Duration::from_millis(3);
/// With so short an interval all are told at once: the board gives news of standby no more often anyway.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// The sales of which not all have heard yet, and when they will.
#[derive(Debug, Default)]
pub(super) struct StandbyCalls(HashMap<SaleId, Instant>);

impl StandbyCalls {
    /// Whether news of this sale reaches all at once, on a node with so many sockets. If not, its call is due when their
    /// interval is over, counted from the first news that they did not hear.
    pub(super) fn reaches_all(&mut self, sale: SaleId, sockets: u64, now: Instant) -> bool {
        let every = EVERY_PER_SOCKET * u32::try_from(sockets).unwrap_or(u32::MAX);
        if every <= EVERY_MIN {
            self.0.remove(&sale);
            return true;
        }
        self.0.entry(sale).or_insert(now + every);
        false
    }

    /// When the next call is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes the sales whose call is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<SaleId> {
        self.0.extract_if(|_, at| *at <= now).map(|(sale, _)| sale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sale(number: u64) -> SaleId {
        SaleId::new(number).unwrap()
    }

    #[test]
    fn a_small_audience_hears_everything_at_once() {
        let mut calls = StandbyCalls::default();
        let now = Instant::now();
        assert!(calls.reaches_all(sale(1), 300, now));
        assert_eq!(calls.next_at(), None);
    }

    #[test]
    fn a_large_audience_is_called_once_after_an_interval_that_grows_with_it_and_later_again() {
        let mut calls = StandbyCalls::default();
        let start = Instant::now();
        for second in 0..30 {
            assert!(!calls.reaches_all(sale(1), 10_000, start + SECOND * second));
        }
        assert!(!calls.reaches_all(sale(2), 5_000, start + SECOND));
        assert_eq!(calls.next_at(), Some(start + SECOND * 16));
        assert!(calls.take_due(start + SECOND * 15).is_empty());
        assert_eq!(calls.take_due(start + SECOND * 29), [sale(2)]);
        assert_eq!(calls.take_due(start + SECOND * 30), [sale(1)]);
        assert_eq!(calls.next_at(), None, "nothing moved since");
        assert!(!calls.reaches_all(sale(1), 10_000, start + SECOND * 31));
        assert_eq!(calls.next_at(), Some(start + SECOND * 61));
    }

    #[test]
    fn an_audience_that_has_become_small_waits_no_longer() {
        let mut calls = StandbyCalls::default();
        let start = Instant::now();
        assert!(!calls.reaches_all(sale(1), 10_000, start));
        assert!(calls.reaches_all(sale(1), 100, start + SECOND));
        assert_eq!(calls.next_at(), None, "it was told");
    }
}
