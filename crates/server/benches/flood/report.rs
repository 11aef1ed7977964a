//! What the runs come to, as text for people and as JSON for programs.

use std::fmt;

use serde::Serialize;

use crate::generator::{LoadReport, Requests};
use crate::probe::Probe;
use crate::usage::{Usage, approximate};

/// How much slower than on the idle site the slowest of a hundred may be.
const P99_RATIO_MAX: f64 = 2.0;
/// Of the requests that were due, so many must be answered.
const ANSWERED_SHARE_MIN: f64 = 0.99;
const ERROR_SHARE_MAX: f64 = 0.01;

/// More than this share of a core, in percent, by others, and the figures are not those of this site.
const OTHERS_MAX: f64 = 10.0;

/// All that was measured, in order.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) span_s: u32,
    pub(crate) runs: Vec<Run>,
}

/// The site without a flood.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    pub(crate) probes: Vec<Probe>,
    pub(crate) usage: Usage,
}

/// The site under a flood.
#[derive(Debug, Serialize)]
pub(crate) struct Flooded {
    pub(crate) flood: LoadReport,
    pub(crate) probes: Vec<Probe>,
    pub(crate) usage: Usage,
    /// What Nginx wrote into its error log meanwhile.
    pub(crate) complaints: Vec<String>,
}

/// One flood, and the idle site just before it.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) rate_asked_per_s: u32,
    pub(crate) idle: Idle,
    pub(crate) flooded: Flooded,
    /// How long requests were still taken in, by their number and the rate asked for.
    pub(crate) sold_out_after_s: f64,
    /// By which the p99 of each probe is larger than on the idle site.
    pub(crate) p99_ratios: Vec<f64>,
    /// Why it did not hold; empty if it did.
    pub(crate) broken: Vec<String>,
}

impl Report {
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
    /// Compares the two, whose probes are the same.
    pub(crate) fn new(rate_asked_per_s: u32, idle: Idle, flooded: Flooded) -> Self {
        let ratio = |(flooded, idle): (&Probe, &Probe)| flooded.times.p99_ms / idle.times.p99_ms;
        let p99_ratios: Vec<f64> = flooded.probes.iter().zip(&idle.probes).map(ratio).collect();
        let flood = &flooded.flood;
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
        for (probe, ratio) in flooded.probes.iter().zip(&p99_ratios) {
            if *ratio > P99_RATIO_MAX {
                broken.push(format!("the p99 of {} is {ratio:.2} × idle", probe.name));
            }
        }
        for probe in idle.probes.iter().chain(&flooded.probes).filter(|probe| probe.failed > 0) {
            broken.push(format!("{} failed {} times", probe.name, probe.failed));
        }
        Self { rate_asked_per_s, idle, flooded, sold_out_after_s, p99_ratios, broken }
    }

    /// Whether the flood was as asked for and the rest of the site usable.
    pub(crate) fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// The comparison, in words.
    pub(crate) fn verdict(&self) -> String {
        let names = self.flooded.probes.iter().map(|probe| probe.name);
        let ratios: Vec<_> =
            names.zip(&self.p99_ratios).map(|(name, ratio)| format!("{name} {ratio:.2} × idle")).collect();
        let held = match self.broken.as_slice() {
            [] => "holds".to_owned(),
            broken => format!("does not hold: {}", broken.join(", ")),
        };
        let others = self.idle.usage.others.max(self.flooded.usage.others);
        let warning = if others > OTHERS_MAX {
            format!(
                "\n            not a quiet machine: others used {others:.0} % of a core, so this means little"
            )
        } else {
            String::new()
        };
        format!(
            "{:<11} sold out after {:.2} s; p99 {}\n            {held}{warning}",
            format!("{}/s", self.rate_asked_per_s),
            self.sold_out_after_s,
            ratios.join(", ")
        )
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "idle")?;
        for probe in &self.probes {
            writeln!(f, "  {probe}")?;
        }
        write!(f, "{}", self.usage)
    }
}

impl fmt::Display for Flooded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.flood)?;
        for probe in &self.probes {
            writeln!(f, "  {probe}")?;
        }
        write!(f, "{}", self.usage)?;
        if let Some(complaint) = self.complaints.first() {
            writeln!(f, "  nginx complained {} times, first of {complaint}", self.complaints.len())?;
        }
        Ok(())
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requests { sent, not_sent, failed, .. } = self.requests;
        let error_percent = 100.0 * self.error_share;
        let rate = self.rate_asked_per_s.unwrap_or_default();
        writeln!(f, "flood       {rate}/s asked for, {:.1} s", self.elapsed_s)?;
        writeln!(
            f,
            "  requests  {sent} sent, {not_sent} not sent, {failed} failed, {error_percent:.2} % errors, {:.0} answers/s",
            self.answers_per_s
        )?;
        let statuses: Vec<_> =
            self.by_http_status.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let words: Vec<_> = self.by_word.iter().map(|(word, count)| format!("{word}: {count}")).collect();
        writeln!(f, "  answers   {}; {}", statuses.join(", "), words.join(", "))?;
        let [p50_ms, p99_ms, max_ms] =
            [self.latency.p50_us, self.latency.p99_us, self.latency.max_us].map(|us| approximate(us) / 1e3);
        writeln!(
            f,
            "  {:<10}  n {sent:>5}  p50 {p50_ms:>8.2} ms  p99 {p99_ms:>8.2} ms  max {max_ms:>8.2} ms",
            "buy"
        )
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
