//! What had become of a crowd's connections at a moment of a run, and how that is plotted.

use super::tally::CrowdCounts;
use crate::html::Line;
use crate::report::approximate;
use serde::Serialize;

/// Counts from the start of the run to this moment.
#[derive(Debug, Serialize)]
pub(crate) struct CrowdMoment {
    /// Since the start of the run or the opening of the sale, as the report says; negative before it.
    pub(crate) second: f64,
    pub(crate) connected: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
}

impl CrowdMoment {
    pub(crate) fn of(second: f64, counts: &CrowdCounts) -> Self {
        Self {
            second,
            connected: counts.connected,
            refused: counts.refused_len(),
            failed: counts.failed_len(),
            lost: counts.lost_len(),
        }
    }

    /// A line for each count.
    pub(crate) fn lines<'a>(moments: impl Iterator<Item = &'a Self>) -> Vec<Line> {
        let moments: Vec<&Self> = moments.collect();
        let line = |name: &str, value: fn(&Self) -> u64| Line {
            name: name.to_owned(),
            points: moments.iter().map(|moment| (moment.second, approximate(value(moment)))).collect(),
        };
        vec![
            line("connected", |moment| moment.connected),
            line("refused", |moment| moment.refused),
            line("failed", |moment| moment.failed),
            line("lost", |moment| moment.lost),
        ]
    }
}
