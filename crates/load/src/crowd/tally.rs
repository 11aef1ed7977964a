//! What became of the connections of a crowd: counts that parts of a crowd add up.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many connections there are of which kind. Each that was started is, in the end, in one of: connected and
/// perhaps lost, refused, failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CrowdCounts {
    /// Begun, however they went on.
    pub(crate) started: u64,
    /// Signed in and watching the sale, those lost later included.
    pub(crate) connected: u64,
    /// Answered with an HTTP status other than 101, by that status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Not connected for another reason, by that reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Ended after having been connected, by the reason.
    pub(crate) lost: BTreeMap<String, u64>,
    /// Engine.IO pings answered.
    pub(crate) pings: u64,
}

impl CrowdCounts {
    pub(crate) fn refused_len(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(crate) fn failed_len(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(crate) fn lost_len(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Connected and not lost.
    pub(crate) fn held(&self) -> u64 {
        self.connected - self.lost_len()
    }

    /// Those of which it is known how they went.
    pub(crate) fn settled(&self) -> u64 {
        self.connected + self.refused_len() + self.failed_len()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.connected += other.connected;
        self.pings += other.pings;
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.failed, &other.failed);
        add_all(&mut self.lost, &other.lost);
    }
}

fn add_all<K: Ord + Clone>(sums: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (key, count) in others {
        *sums.entry(key.clone()).or_default() += count;
    }
}
