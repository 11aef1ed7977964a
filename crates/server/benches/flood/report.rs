//! What the runs come to, as text for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

use crate::flood::Flooded;
use crate::probe::Probe;
use crate::usage::Usage;

/// How much slower than on the idle site the slowest of a hundred may be.
const P99_RATIO_MAX: f64 = 2.0;
/// Of the requests that were due, so many must be answered.
const ANSWERED_SHARE_MIN: f64 = 0.99;
const ERROR_SHARE_MAX: f64 = 0.01;

/// The idle site, and the floods in the order in which they came.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rate_asked_per_s: u32,
    pub(crate) span_s: u32,
    pub(crate) idle: Idle,
    pub(crate) runs: Vec<Run>,
}

/// The site without a flood.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) probes: Vec<Probe>,
    pub(crate) usage: Usage,
}

/// One flood.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) rate_asked_per_s: u32,
    pub(crate) flood: Flooded,
    /// How long the flood's first requests were still taken in, at the rate asked for.
    pub(crate) sold_out_after_s: f64,
    pub(crate) probes: Vec<Probe>,
    /// By which the p99 of each probe is larger than on the idle site.
    pub(crate) p99_ratios: Vec<f64>,
    pub(crate) usage: Usage,
    /// Lines in the error log of Nginx, and the first of them.
    pub(crate) complaints: usize,
    pub(crate) first_complaint: Option<String>,
    /// Why it did not hold; empty if it did.
    pub(crate) broken: Vec<String>,
}

impl Report {
    /// Without any flood yet.
    pub(crate) fn new(rate_asked_per_s: u32, span_s: u32, idle: Idle) -> Self {
        Self { rate_asked_per_s, span_s, idle, runs: Vec::new() }
    }

    /// The highest rate at which it held, and what stood in the way of the next.
    pub(crate) fn summary(&self) -> String {
        let held = self.runs.iter().filter(|run| run.holds()).map(|run| run.rate_asked_per_s).max();
        let held = held.map_or("at none of the rates".to_owned(), |rate| format!("up to {rate}/s"));
        let broken = self.runs.iter().filter(|run| !run.holds()).min_by_key(|run| run.rate_asked_per_s);
        let broken = broken.map_or(String::new(), |run| {
            format!("; not at {}/s: {}", run.rate_asked_per_s, run.broken.join(", "))
        });
        format!("ladder      holds {held}{broken}")
    }
}

impl Run {
    /// Judges a flood against the idle site's probes, which are in the same order.
    pub(crate) fn new(
        rate_asked_per_s: u32,
        flood: Flooded,
        probes: Vec<Probe>,
        usage: Usage,
        complaints: Vec<String>,
        idle: &[Probe],
    ) -> Self {
        let ratio = |(flooded, idle): (&Probe, &Probe)| flooded.times.p99_ms / idle.times.p99_ms;
        let p99_ratios: Vec<f64> = probes.iter().zip(idle).map(ratio).collect();
        let taken_in = flood.by_word.get("queued").copied().unwrap_or_default();
        let sold_out_after_s = approximate(taken_in) / f64::from(rate_asked_per_s);

        let mut broken = Vec::new();
        let due = flood.requests.sent + flood.requests.not_sent;
        let answered_share = approximate(flood.requests.answered) / approximate(due);
        if answered_share < ANSWERED_SHARE_MIN {
            broken.push(format!("only {:.1} % of what was due was answered", 100.0 * answered_share));
        }
        if flood.error_share > ERROR_SHARE_MAX {
            broken.push(format!("{:.1} % errors", 100.0 * flood.error_share));
        }
        if sold_out_after_s > 1.0 {
            broken.push("the sale was not sold out within the first second".to_owned());
        }
        for (probe, ratio) in probes.iter().zip(&p99_ratios) {
            if *ratio > P99_RATIO_MAX {
                broken.push(format!("the p99 of {} is {ratio:.2} × idle", probe.name));
            }
            if probe.failed > 0 {
                broken.push(format!("{} failed {} times", probe.name, probe.failed));
            }
        }
        Self {
            rate_asked_per_s,
            flood,
            sold_out_after_s,
            probes,
            p99_ratios,
            usage,
            complaints: complaints.len(),
            first_complaint: complaints.into_iter().next(),
            broken,
        }
    }

    /// Whether the flood was as asked for and the rest of the site usable.
    pub(crate) fn holds(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "idle        {} s", self.span_s)?;
        for probe in &self.idle.probes {
            writeln!(f, "  {probe}")?;
        }
        write!(f, "{}", self.idle.usage)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flooded { elapsed_s, requests, error_share, answers_per_s, latency, .. } = &self.flood;
        writeln!(f, "flood       {}/s asked for, {elapsed_s:.1} s", self.rate_asked_per_s)?;
        let share = 100.0 * error_share;
        writeln!(
            f,
            "  requests  {} sent, {} not sent, {} failed, {share:.2} % errors, {answers_per_s:.0} answers/s",
            requests.sent, requests.not_sent, requests.failed
        )?;
        let statuses: Vec<_> =
            self.flood.by_http_status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let words: Vec<_> =
            self.flood.by_word.iter().map(|(word, count)| format!("{word}: {count}")).collect();
        writeln!(f, "  answers   {}; {}", statuses.join(", "), words.join(", "))?;
        writeln!(f, "  sold out  after {:.2} s", self.sold_out_after_s)?;
        let ms = |time_us: u64| approximate(time_us) / 1e3;
        writeln!(
            f,
            "  buy         p50 {:.2} ms  p99 {:.2} ms  max {:.2} ms",
            ms(latency.p50_us),
            ms(latency.p99_us),
            ms(latency.max_us)
        )?;
        for (probe, ratio) in self.probes.iter().zip(&self.p99_ratios) {
            writeln!(f, "  {probe}  {ratio:.2} × idle")?;
        }
        write!(f, "{}", self.usage)?;
        if let Some(complaint) = &self.first_complaint {
            writeln!(f, "  nginx complained {} times, first of {complaint}", self.complaints)?;
        }
        match self.broken.as_slice() {
            [] => writeln!(f, "  holds"),
            broken => writeln!(f, "  does not hold: {}", broken.join(", ")),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10}  {}", self.name, self.times)?;
        if let Some(failure) = &self.first_failure {
            write!(f, "  {} failed, the first with {failure}", self.failed)?;
        }
        Ok(())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<_> =
            self.processes.iter().map(|(name, share)| format!("{name} {share:.0} %")).collect();
        writeln!(f, "  of a core {}", shares.join(", "))?;
        for (core, (busy, stolen)) in self.cores_busy.iter().zip(&self.cores_stolen).enumerate() {
            write!(f, "  core {core}: {busy:.0} % busy, {stolen:.0} % stolen;")?;
        }
        writeln!(f, "  load {:.2}", self.load)
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact to 2^52, and only shown")]
fn approximate(count: u64) -> f64 {
    count as f64
}
