//! One process of `miaosha-load sockets`: holds its share of the sockets and notes what they hear.

use super::broadcasts::{BroadcastBook, BroadcastHeard};
use crate::clock::Clock;
use crate::crowd::{Audience, Crowd, CrowdCounts, CrowdPlan, QuestionTally, Questions};
use crate::fleet::{FIGURES_STEP, Orders, Said, say};
use crate::latency::{Latency, LatencySeconds};
use crate::tokens::Tokens;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How late a stop may be noticed.
const TURN_MAX: Duration = Duration::from_millis(100);

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SocketsTask {
    pub(crate) crowd: CrowdPlan,
    /// The event that everyone should hear.
    pub(crate) expect: Option<String>,
    /// Questions a second, once all are connected or have failed to.
    pub(crate) ask_rate_per_s: Option<f64>,
}

/// How far a process is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SocketsFigures {
    pub(crate) counts: CrowdCounts,
    /// Receipts of broadcasts.
    pub(crate) heard: u64,
}

/// What a process has seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SocketsSummary {
    pub(crate) counts: CrowdCounts,
    pub(crate) connect_latency: Latency,
    pub(crate) connect_by_second: LatencySeconds,
    /// In microseconds since the Unix epoch.
    pub(crate) started_us: i64,
    /// When the last one had connected.
    pub(crate) connected_us: Option<i64>,
    pub(crate) broadcasts: Vec<BroadcastHeard>,
    /// Sockets held at the end that did not hear what was expected.
    pub(crate) expected_missed: u64,
    pub(crate) questions: QuestionTally,
}

/// Works until the parent says stop.
pub(crate) fn work(task: SocketsTask, tokens: Option<Tokens>, orders: Orders) -> anyhow::Result<()> {
    say::<SocketsFigures, SocketsSummary>(&Said::Ready)?;
    orders.wait_for_go()?;
    let clock = Clock::start();
    let started = Instant::now();
    let ears = Ears::new(task.crowd.members_len, task.expect);
    let mut crowd = Crowd::new(task.crowd, tokens.map(Arc::new), ears).context("cannot start a reactor")?;
    let is_stopped = orders.watch_for_stop()?;
    let mut next_figures = started + FIGURES_STEP;
    while !is_stopped.load(Ordering::Relaxed) {
        crowd.turn(TURN_MAX).context("the reactor failed")?;
        if crowd.questions.is_none() && crowd.is_settled() {
            crowd.questions = task.ask_rate_per_s.map(|rate| Questions::new(rate, Instant::now()));
        }
        if Instant::now() >= next_figures {
            next_figures += FIGURES_STEP;
            let figures = SocketsFigures { counts: crowd.counts.clone(), heard: crowd.audience.heard };
            say::<_, SocketsSummary>(&Said::Figures(figures))?;
        }
    }
    let Crowd { counts, connect_latency, connect_by_second, connected_at, audience, questions, .. } = crowd;
    let summary = SocketsSummary {
        counts,
        connect_latency,
        connect_by_second,
        started_us: clock.unix_us(started),
        connected_us: connected_at.map(|at| clock.unix_us(at)),
        expected_missed: audience.expected_missed(),
        broadcasts: audience.book.into_heard(&clock),
        questions: questions.map(Questions::into_tally).unwrap_or_default(),
    };
    say::<SocketsFigures, _>(&Said::Summary(summary))
}

struct Ears {
    book: BroadcastBook,
    heard: u64,
    expect: Option<String>,
    is_watching: Vec<bool>,
    has_heard_expected: Vec<bool>,
}

impl Ears {
    fn new(members_len: usize, expect: Option<String>) -> Self {
        Self {
            book: BroadcastBook::new(members_len),
            heard: 0,
            expect,
            is_watching: vec![false; members_len],
            has_heard_expected: vec![false; members_len],
        }
    }

    fn expected_missed(&self) -> u64 {
        let missed = |(watching, heard): (&bool, &bool)| u64::from(*watching && !*heard);
        self.is_watching.iter().zip(&self.has_heard_expected).map(missed).sum()
    }
}

impl Audience for Ears {
    fn watching(&mut self, member: usize, _ack: &[u8], _at: Instant) {
        self.is_watching[member] = true;
    }

    fn heard(&mut self, member: usize, name: &str, payload: &[u8], at: Instant) {
        if self.expect.as_deref() == Some(name) {
            self.has_heard_expected[member] = true;
        }
        // These two are said to one person.
        if !matches!(name, "clock" | "claim") {
            self.heard += 1;
            self.book.heard(member, name, payload, at);
        }
    }

    fn gone(&mut self, member: usize, _at: Instant) {
        self.is_watching[member] = false;
    }
}
