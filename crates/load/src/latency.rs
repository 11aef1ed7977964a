//! Times measured, as a histogram in microseconds, and the figures drawn from it.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A histogram of times that grows as far as it must. Not for averages over runs: add the histograms instead.
/// Between processes it travels as its buckets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Buckets", into = "Buckets")]
pub(crate) struct Latency(Histogram<u64>);

/// Upper ends in microseconds, with their counts.
type Buckets = Vec<(u64, u64)>;

/// Times by the second in which they were measured, counted from a start that those who add up have in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct LatencySeconds(Vec<Latency>);

/// The figures of a histogram, all times in microseconds; zeros if nothing was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LatencyReport {
    pub(crate) count: u64,
    pub(crate) min_us: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p99_9_us: u64,
    pub(crate) max_us: u64,
    /// Upper end of the bucket, and how many times fell into it; empty buckets are left out.
    pub(crate) buckets_us: Vec<(u64, u64)>,
}

impl Latency {
    /// For the figures of a whole run: exact to one part in a thousand.
    pub(crate) fn fine() -> Self {
        Self::with_significant_digits(3)
    }

    /// For the figures of one second, of which there are many: exact to one part in a hundred.
    pub(crate) fn coarse() -> Self {
        Self::with_significant_digits(2)
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.record_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), 1);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("a histogram that resizes itself takes any other");
    }

    /// Adds times that another began to measure that much later.
    pub(crate) fn add_later(&mut self, other: &Self, later: Duration) {
        let later_us = u64::try_from(later.as_micros()).unwrap_or(u64::MAX);
        for (time_us, count) in other.buckets() {
            self.record_us(time_us.saturating_add(later_us), count);
        }
    }

    pub(crate) fn report(&self) -> LatencyReport {
        let quantile = |share: f64| self.0.value_at_quantile(share);
        LatencyReport {
            count: self.0.len(),
            min_us: self.0.min(),
            mean_us: self.0.mean(),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p99_9_us: quantile(0.999),
            max_us: self.0.max(),
            buckets_us: self.buckets(),
        }
    }

    fn record_us(&mut self, time_us: u64, count: u64) {
        self.0.record_n(time_us, count).expect("a histogram that resizes itself takes any time");
    }

    fn buckets(&self) -> Buckets {
        let steps = self.0.iter_recorded();
        steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
    }

    fn with_significant_digits(digits: u8) -> Self {
        Self(Histogram::new(digits).expect("two and three digits are within what a histogram can hold"))
    }
}

impl LatencySeconds {
    pub(crate) fn record(&mut self, second: usize, time: Duration) {
        self.lengthen(second + 1);
        self.0[second].record(time);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lengthen(other.0.len());
        self.0.iter_mut().zip(&other.0).for_each(|(own, others)| own.add(others));
    }

    /// Of each second from 0.
    pub(crate) fn reports(&self) -> Vec<LatencyReport> {
        self.0.iter().map(Latency::report).collect()
    }

    fn lengthen(&mut self, len: usize) {
        if self.0.len() < len {
            self.0.resize(len, Latency::coarse());
        }
    }
}

impl From<Buckets> for Latency {
    fn from(buckets: Buckets) -> Self {
        let mut latency = Self::fine();
        for (time_us, count) in buckets {
            latency.record_us(time_us, count);
        }
        latency
    }
}

impl From<Latency> for Buckets {
    fn from(latency: Latency) -> Self {
        latency.buckets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_hour_is_measured_as_well_as_a_microsecond() {
        let mut latency = Latency::fine();
        latency.record(Duration::from_micros(1));
        latency.record(Duration::from_hours(1));
        let report = latency.report();
        assert_eq!(report.min_us, 1);
        assert!((3_600_000_000..3_604_000_000).contains(&report.max_us), "{report:?}");
    }

    proptest! {
        #[test]
        fn histograms_of_parts_add_up_to_the_whole_also_from_another_process(times_us in prop::collection::vec(0_u64..100_000_000, 1..200)) {
            let (mut whole, mut parts) = (Latency::fine(), [Latency::fine(), Latency::fine()]);
            for (index, time_us) in times_us.iter().enumerate() {
                whole.record(Duration::from_micros(*time_us));
                parts[index % 2].record(Duration::from_micros(*time_us));
            }
            let [mut sum, other] = parts;
            let sent = serde_json::to_string(&other).unwrap();
            sum.add(&serde_json::from_str(&sent).unwrap());
            prop_assert_eq!(sum.report().buckets_us, whole.report().buckets_us);
            let counted: u64 = sum.report().buckets_us.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(counted, times_us.len() as u64);
        }
    }
}
