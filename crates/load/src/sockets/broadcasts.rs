//! Who heard which broadcast, and when: kept in each process while it runs, put together at the end.
//!
//! A broadcast is known by its event's name and text. The same text heard again by somebody is the next occurrence.

use crate::clock::{Clock, parse_moment};
use crate::latency::{Latency, LatencyReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Broadcasts of one name that are kept apart; `standby` may come each second for hours.
const BROADCASTS_OF_NAME_MAX: usize = 100;

/// What one process has heard.
#[derive(Debug)]
pub(crate) struct BroadcastBook {
    members_len: usize,
    broadcasts: Vec<Broadcast>,
}

#[derive(Debug)]
struct Broadcast {
    name: String,
    payload: Vec<u8>,
    occurrence: u32,
    first: Instant,
    since_first: Latency,
    heard_by: Vec<bool>,
}

/// One process' share of a broadcast.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BroadcastHeard {
    name: String,
    payload: String,
    occurrence: u32,
    /// The first receipt, in microseconds since the Unix epoch.
    first_us: i64,
    since_first: Latency,
}

/// One broadcast as all sockets together heard it.
#[derive(Debug, Serialize)]
pub(crate) struct BroadcastReport {
    /// The event.
    pub(crate) name: String,
    /// The text of its argument.
    pub(crate) payload: String,
    /// Counts broadcasts of the same name and text, from 1.
    pub(crate) occurrence: u32,
    /// By how many sockets.
    pub(crate) heard: u64,
    /// In microseconds since the Unix epoch, by this machine's clock.
    pub(crate) first_us: i64,
    /// Of every receipt, from the first one.
    pub(crate) since_first: LatencyReport,
    /// From `starts_at` until the first receipt, for the first event that says the sale is open.
    pub(crate) first_after_start_us: Option<i64>,
}

impl BroadcastBook {
    pub(crate) fn new(members_len: usize) -> Self {
        Self { members_len, broadcasts: Vec::new() }
    }

    /// Notes a receipt. `at` must not go back.
    pub(crate) fn heard(&mut self, member: usize, name: &str, payload: &[u8], at: Instant) {
        // The last one is nearly always it.
        let same = |known: &&mut Broadcast| known.payload == payload && known.name == name;
        let known = self.broadcasts.iter_mut().rev().find(same);
        let occurrence = match known {
            Some(known) if !known.heard_by[member] => {
                known.heard_by[member] = true;
                known.since_first.record(at - known.first);
                return;
            }
            Some(known) => known.occurrence + 1,
            None => 1,
        };
        if self.broadcasts.iter().filter(|known| known.name == name).count() >= BROADCASTS_OF_NAME_MAX {
            return;
        }
        let mut heard_by = vec![false; self.members_len];
        heard_by[member] = true;
        let mut since_first = Latency::fine();
        since_first.record(Duration::ZERO);
        let (name, payload) = (name.to_owned(), payload.to_vec());
        self.broadcasts.push(Broadcast { name, payload, occurrence, first: at, since_first, heard_by });
    }

    pub(crate) fn into_heard(self, clock: &Clock) -> Vec<BroadcastHeard> {
        let heard = |broadcast: Broadcast| BroadcastHeard {
            name: broadcast.name,
            payload: String::from_utf8_lossy(&broadcast.payload).into_owned(),
            occurrence: broadcast.occurrence,
            first_us: clock.unix_us(broadcast.first),
            since_first: broadcast.since_first,
        };
        self.broadcasts.into_iter().map(heard).collect()
    }
}

/// Puts together what all processes heard, in the order of the first receipts.
pub(crate) fn merge(heard: Vec<BroadcastHeard>) -> Vec<BroadcastReport> {
    let mut parts: BTreeMap<(String, String, u32), Vec<(i64, Latency)>> = BTreeMap::new();
    for BroadcastHeard { name, payload, occurrence, first_us, since_first } in heard {
        parts.entry((name, payload, occurrence)).or_default().push((first_us, since_first));
    }
    let report = |(key, parts): ((String, String, u32), Vec<(i64, Latency)>)| {
        let (name, payload, occurrence) = key;
        let first_us = parts.iter().map(|(first_us, _)| *first_us).min().unwrap_or_default();
        let mut since_first = Latency::fine();
        for (part_first_us, part) in &parts {
            since_first.add_later(part, Duration::from_micros(part_first_us.abs_diff(first_us)));
        }
        let since_first = since_first.report();
        let start_us = opening_of(&payload).filter(|_| occurrence == 1);
        BroadcastReport {
            name,
            payload,
            occurrence,
            heard: since_first.count,
            first_us,
            since_first,
            first_after_start_us: start_us.map(|start_us| first_us - start_us),
        }
    };
    let mut reports: Vec<_> = parts.into_iter().map(report).collect();
    reports.sort_by_key(|report| report.first_us);
    reports
}

/// The moment of the opening that the text of a `sale` event tells of.
fn opening_of(payload: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Turn<'a> {
        state: &'a str,
        starts_at: &'a str,
    }
    let turn: Turn<'_> = serde_json::from_str(payload).ok()?;
    if turn.state == "open" { parse_moment(turn.starts_at) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &[u8] = br#"{"sale":"1","state":"open","starts_at":"1970-01-01T00:00:01.000Z"}"#;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_same_text_heard_again_is_another_broadcast() {
        let (mut book, start) = (BroadcastBook::new(2), Instant::now());
        for (member, payload, at_ms) in
            [(0, OPEN, 0), (1, OPEN, 5), (1, b"{}", 6), (0, OPEN, 7), (1, OPEN, 9)]
        {
            book.heard(member, "sale", payload, start + at_ms * MS);
        }
        let heard = book.into_heard(&Clock::start());
        let counts: Vec<_> = heard
            .iter()
            .map(|broadcast| (broadcast.occurrence, broadcast.since_first.report().count))
            .collect();
        assert_eq!(counts, [(1, 2), (1, 1), (2, 2)]);
    }

    #[test]
    fn receipts_of_several_processes_count_from_the_first_of_all() {
        let part = |first_us, receipts_ms: &[u32]| {
            let mut since_first = Latency::fine();
            for ms in receipts_ms {
                since_first.record(*ms * MS);
            }
            let payload = String::from_utf8(OPEN.to_vec()).unwrap();
            BroadcastHeard { name: "sale".to_owned(), payload, occurrence: 1, first_us, since_first }
        };
        let merged = merge(vec![part(1_010_000, &[0, 20]), part(1_002_000, &[0])]);
        assert_eq!((merged.len(), merged[0].heard, merged[0].first_us), (1, 3, 1_002_000));
        assert_eq!(merged[0].first_after_start_us, Some(2000));
        assert!((28_000..28_100).contains(&merged[0].since_first.max_us), "{:?}", merged[0].since_first);
    }

    #[test]
    fn a_sale_that_ticks_for_hours_does_not_fill_the_memory() {
        let (mut book, start) = (BroadcastBook::new(1), Instant::now());
        for number in 0..10_000 {
            book.heard(0, "standby", format!("{number}").as_bytes(), start);
        }
        book.heard(0, "sale", OPEN, start);
        let heard = book.into_heard(&Clock::start());
        assert_eq!(heard.iter().filter(|broadcast| broadcast.name == "sale").count(), 1);
        assert_eq!(heard.len(), BROADCASTS_OF_NAME_MAX + 1);
    }
}
