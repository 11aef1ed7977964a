//! A circuit breaker: after a failure, calls fail at once but for one probe each second, until one succeeds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use miaosha_domain::ids::SaleId;
use tokio::time::Instant;

use super::keys::group_of;

/// A circuit for each of a few groups of sales. A sale is on one node, so a node that is away keeps only those sales
/// waiting whose group it shares.
#[derive(Debug)]
pub(crate) struct Circuits([Circuit; GROUPS]);

const GROUPS: usize = 64;

impl Circuits {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Circuit::new()))
    }

    pub(crate) fn of(&self, sale: SaleId) -> &Circuit {
        &self.0[group_of(sale, GROUPS)]
    }
}

const PROBE_EVERY: Duration = Duration::from_secs(1);

const CLOSED: u64 = 0;

/// Whether calls of one kind may be tried. A single failure is enough to break it: the failure was retried before it
/// got here, and doing without Redis is always right.
#[derive(Debug)]
pub(crate) struct Circuit {
    began: Instant,
    /// When the next probe may go, in milliseconds since `began`, plus one; or [`CLOSED`].
    probe_at_ms: AtomicU64,
}

impl Circuit {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), probe_at_ms: AtomicU64::new(CLOSED) }
    }

    /// Whether the caller may go on. If so, it says afterwards how it went; if it is dropped instead, the next probe
    /// goes in a second.
    pub(crate) fn lets_pass(&self) -> bool {
        let probe_at_ms = self.probe_at_ms.load(Ordering::Relaxed);
        if probe_at_ms == CLOSED {
            return true;
        }
        if self.now_ms() < probe_at_ms {
            return false;
        }
        // Of several who come at once, one is the probe.
        let next_ms = self.next_probe_ms();
        self.probe_at_ms.compare_exchange(probe_at_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn succeeded(&self) {
        if self.probe_at_ms.load(Ordering::Relaxed) != CLOSED {
            self.probe_at_ms.store(CLOSED, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        self.probe_at_ms.store(self.next_probe_ms(), Ordering::Relaxed);
    }

    fn next_probe_ms(&self) -> u64 {
        self.now_ms() + u64::try_from(PROBE_EVERY.as_millis()).unwrap_or(u64::MAX)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_a_failure_one_call_a_second_is_tried_until_one_succeeds() {
        let circuit = Circuit::new();
        assert!(circuit.lets_pass() && circuit.lets_pass());
        circuit.failed();
        assert!(!circuit.lets_pass());
        tokio::time::advance(PROBE_EVERY).await;
        assert!(circuit.lets_pass(), "the probe");
        assert!(!circuit.lets_pass(), "nobody else meanwhile");
        circuit.failed();
        assert!(!circuit.lets_pass());
        tokio::time::advance(PROBE_EVERY).await;
        assert!(circuit.lets_pass());
        circuit.succeeded();
        assert!(circuit.lets_pass() && circuit.lets_pass());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_keeps_nobody_out_for_longer_than_a_second() {
        let circuit = Circuit::new();
        circuit.failed();
        tokio::time::advance(PROBE_EVERY).await;
        assert!(circuit.lets_pass());
        tokio::time::advance(PROBE_EVERY).await;
        assert!(circuit.lets_pass());
    }
}
