//! How many buy requests were answered how, and how fast: `miaosha_requests_total{outcome}`, `miaosha_request_seconds`.
//!
//! Each thread counts into numbers of its own, which nobody else writes; they are added up when somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::BuyAnswer;
use crate::problem::ProblemCode;

/// The upper ends of the buckets of `miaosha_request_seconds`. The recorder must be built with the same.
pub const REQUEST_SECONDS_BUCKETS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];

/// What a duration beyond the last bucket is recorded as.
const BEYOND_BUCKETS_SECONDS: f64 = 10.0;
const BUCKETS: usize = REQUEST_SECONDS_BUCKETS.len() + 1;
const ACCEPTING_OUTCOMES: [&str; 3] = ["queued", "sold_out", "claimed"];
const OUTCOMES: usize = ACCEPTING_OUTCOMES.len() + ProblemCode::ALL.len();

/// What one thread has counted.
#[derive(Debug)]
pub(super) struct Tally {
    outcomes: [AtomicU64; OUTCOMES],
    durations: [AtomicU64; BUCKETS],
}

impl Tally {
    fn new() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            durations: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn count(&self, answer: BuyAnswer, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = REQUEST_SECONDS_BUCKETS.partition_point(|end| *end < seconds);
        self.outcomes[place_of(answer)].fetch_add(1, Ordering::Relaxed);
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

fn place_of(answer: BuyAnswer) -> usize {
    match answer {
        BuyAnswer::Queued => 0,
        BuyAnswer::SoldOut => 1,
        BuyAnswer::Claimed(_) => 2,
        BuyAnswer::Refused(code) => ACCEPTING_OUTCOMES.len() + code as usize,
    }
}

fn name_at(place: usize) -> &'static str {
    match ACCEPTING_OUTCOMES.get(place) {
        Some(name) => name,
        None => ProblemCode::ALL[place - ACCEPTING_OUTCOMES.len()].name(),
    }
}

/// The tallies of all threads.
#[derive(Debug, Default)]
pub(super) struct BuyFigures {
    tallies: Mutex<Vec<Arc<Tally>>>,
    exported: Mutex<[u64; BUCKETS]>,
}

impl BuyFigures {
    pub(super) fn new_tally(&self) -> Arc<Tally> {
        let tally = Arc::new(Tally::new());
        self.tallies.lock().push(tally.clone());
        tally
    }

    /// Brings the recorder up to date. A duration is recorded as the upper end of its bucket.
    pub(super) fn export(&self) {
        let tallies = self.tallies.lock();
        let total = |number: &dyn Fn(&Tally) -> u64| tallies.iter().map(|tally| number(tally)).sum::<u64>();
        for place in 0..OUTCOMES {
            let count = total(&|tally| tally.outcomes[place].load(Ordering::Relaxed));
            if count > 0 || place < ACCEPTING_OUTCOMES.len() {
                metrics::counter!("miaosha_requests_total", "outcome" => name_at(place)).absolute(count);
            }
        }
        let histogram = metrics::histogram!("miaosha_request_seconds");
        let mut exported = self.exported.lock();
        for (bucket, exported) in exported.iter_mut().enumerate() {
            let count = total(&|tally| tally.durations[bucket].load(Ordering::Relaxed));
            let end = REQUEST_SECONDS_BUCKETS.get(bucket).copied().unwrap_or(BEYOND_BUCKETS_SECONDS);
            histogram.record_many(end, usize::try_from(count - *exported).unwrap_or(usize::MAX));
            *exported = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
    use miaosha_domain::claim::ClaimStatus;

    use super::*;

    #[test]
    fn every_outcome_has_a_place_of_its_own() {
        let refused = ProblemCode::ALL.iter().map(|code| BuyAnswer::Refused(*code));
        let accepted =
            [BuyAnswer::Queued, BuyAnswer::SoldOut, BuyAnswer::Claimed(ClaimStatus::Paid)].into_iter();
        for (place, answer) in accepted.chain(refused).enumerate() {
            assert_eq!(place_of(answer), place);
            if let BuyAnswer::Refused(code) = answer {
                assert_eq!(name_at(place), code.name());
            }
        }
    }

    #[test]
    fn threads_are_added_up_and_nothing_is_exported_twice() {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full("miaosha_request_seconds".to_owned()),
                &REQUEST_SECONDS_BUCKETS,
            )
            .unwrap()
            .build_recorder();
        let figures = BuyFigures::default();
        let (one, other) = (figures.new_tally(), figures.new_tally());
        metrics::with_local_recorder(&recorder, || {
            one.count(BuyAnswer::Queued, Duration::from_micros(300));
            other.count(BuyAnswer::Queued, Duration::from_secs(7));
            other.count(BuyAnswer::Refused(ProblemCode::WrongAnswer), Duration::from_micros(1));
            figures.export();
            figures.export();
        });
        let shown = recorder.handle().render();
        for line in [
            r#"miaosha_requests_total{outcome="queued"} 2"#,
            r#"miaosha_requests_total{outcome="sold_out"} 0"#,
            r#"miaosha_requests_total{outcome="wrong_answer"} 1"#,
            r#"miaosha_request_seconds_bucket{le="0.0005"} 2"#,
            "miaosha_request_seconds_count 3",
        ] {
            assert!(shown.contains(line), "{line} in\n{shown}");
        }
    }
}
