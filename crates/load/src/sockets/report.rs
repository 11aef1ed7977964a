//! What a run of `miaosha-load sockets` comes to: as text, as JSON, as a page.

use super::broadcasts::{BroadcastReport, merge};
use super::worker::SocketsSummary;
use crate::cli::SocketsArgs;
use crate::crowd::{CrowdCounts, CrowdMoment, QuestionTally, QuestionsSecond};
use crate::html::{Counts, Line, Page, Plot};
use crate::latency::{Latency, LatencyReport, LatencySeconds};
use crate::memory::MemoryReport;
use crate::report::{EndedBy, Verdict, approximate, latency_lines, name_sales, share, write_latency};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The report of `sockets`. Its fields are what `--json` writes; they are only ever added to.
#[derive(Debug, Serialize)]
pub(crate) struct SocketsReport {
    pub(crate) urls: Vec<String>,
    /// The first of `sales`.
    pub(crate) sale: String,
    pub(crate) sales: Vec<String>,
    /// Sockets asked for.
    pub(crate) count: u32,
    pub(crate) processes: usize,
    pub(crate) connect_rate_asked_per_s: f64,
    pub(crate) ended_by: EndedBy,
    pub(crate) elapsed_s: f64,
    /// When the first process began to connect, in microseconds since the Unix epoch.
    pub(crate) started_us: Option<i64>,
    /// When the last socket had connected.
    pub(crate) connected_us: Option<i64>,
    pub(crate) counts: CrowdCounts,
    /// Refused, failed or lost, of those asked for.
    pub(crate) error_share: f64,
    pub(crate) max_error_share: f64,
    /// Connected, over the time from the start until the last one was.
    pub(crate) connect_rate_per_s: f64,
    /// From a connection's start until it watched the sale.
    pub(crate) connect_latency: LatencyReport,
    /// The same, by the second in which they watched, from the start.
    pub(crate) connect_by_second: Vec<LatencyReport>,
    pub(crate) broadcasts: Vec<BroadcastReport>,
    /// Of the questions asked by `--ask-rate`, from when they were due to their answer.
    pub(crate) questions: LatencyReport,
    pub(crate) questions_unanswered: u64,
    pub(crate) questions_by_second: Vec<QuestionsSecond>,
    /// The event that everyone was to hear.
    pub(crate) expect: Option<String>,
    /// Sockets held at the end that have not heard it.
    pub(crate) expected_missed: Option<u64>,
    /// Of the processes of `--server-pid`, from before the first connection to the end of the hold.
    pub(crate) server_memory: Option<MemoryReport>,
    /// Of this generator's own processes, likewise.
    pub(crate) generator_memory: Option<MemoryReport>,
    pub(crate) seconds: Vec<SocketsSecond>,
}

/// What had happened at a moment of the run.
#[derive(Debug, Serialize)]
pub(crate) struct SocketsSecond {
    /// Since the start.
    #[serde(flatten)]
    pub(crate) sockets: CrowdMoment,
    /// Receipts of broadcasts.
    pub(crate) heard: u64,
}

impl SocketsReport {
    pub(super) fn draw(
        args: &SocketsArgs,
        processes: usize,
        summaries: Vec<SocketsSummary>,
        seconds: Vec<SocketsSecond>,
        elapsed: Duration,
        ended_by: EndedBy,
    ) -> Self {
        let mut counts = CrowdCounts::default();
        let mut connect_latency = Latency::fine();
        let mut connect_by_second = LatencySeconds::default();
        let mut expected_missed = 0;
        let mut questions = QuestionTally::default();
        for summary in &summaries {
            questions.add(&summary.questions);
            counts.add(&summary.counts);
            connect_latency.add(&summary.connect_latency);
            connect_by_second.add(&summary.connect_by_second);
            expected_missed += summary.expected_missed;
        }
        let started_us = summaries.iter().map(|summary| summary.started_us).min();
        let connected_us = summaries.iter().filter_map(|summary| summary.connected_us).max();
        let connecting_us = started_us.zip(connected_us).map_or(0, |(from, to)| to.abs_diff(from));
        let connect_rate_per_s = share(counts.connected * 1_000_000, connecting_us);
        Self {
            urls: args.crowd.socket_urls().iter().map(ToString::to_string).collect(),
            sale: args.sales[0].clone(),
            sales: args.sales.clone(),
            count: args.count,
            processes,
            connect_rate_asked_per_s: args.crowd.connect_rate,
            ended_by,
            elapsed_s: elapsed.as_secs_f64(),
            started_us,
            connected_us,
            error_share: share(
                counts.refused_len() + counts.failed_len() + counts.lost_len(),
                args.count.into(),
            ),
            max_error_share: args.crowd.max_error_share,
            connect_rate_per_s,
            connect_latency: connect_latency.report(),
            connect_by_second: connect_by_second.reports(),
            broadcasts: merge(summaries.into_iter().flat_map(|summary| summary.broadcasts).collect()),
            questions: questions.latency(),
            questions_unanswered: questions.unanswered(),
            questions_by_second: questions.seconds(),
            expected_missed: args.expect.is_some().then_some(expected_missed),
            expect: args.expect.clone(),
            counts,
            server_memory: None,
            generator_memory: None,
            seconds,
        }
    }

    /// Bad as well if somebody missed what was expected, or nobody was there to hear it.
    pub(crate) fn verdict(&self) -> Verdict {
        let missed = self.expected_missed.is_some_and(|missed| missed > 0 || self.counts.held() == 0);
        if missed || self.error_share > self.max_error_share { Verdict::Bad } else { Verdict::Good }
    }

    pub(super) fn page(&self) -> Page {
        let mut endings = vec![("held".to_owned(), self.counts.held())];
        endings.extend(reasons(&self.counts));
        let receipts = |broadcast: &BroadcastReport| {
            let mut heard = 0;
            let point = |(time_us, count): &(u64, u64)| {
                heard += count;
                (approximate(*time_us) / 1000.0, approximate(heard))
            };
            let points = broadcast.since_first.buckets_us.iter().map(point).collect();
            Line { name: format!("{} ({})", broadcast.name, broadcast.occurrence), points }
        };
        Page {
            title: format!("Sockets of {}", name_sales(&self.sales)),
            summary: self.to_string(),
            counts: vec![Counts { title: "Sockets", rows: endings }],
            plots: vec![
                Plot {
                    title: "Sockets",
                    x: "seconds from the start",
                    y: "sockets",
                    lines: CrowdMoment::lines(self.seconds.iter().map(|second| &second.sockets)),
                },
                Plot {
                    title: "Latency of connecting",
                    x: "seconds from the start",
                    y: "ms",
                    lines: latency_lines(self.connect_by_second.iter()),
                },
                Plot {
                    title: "Latency of questions",
                    x: "seconds from the first",
                    y: "ms",
                    lines: latency_lines(self.questions_by_second.iter().map(|second| &second.answered)),
                },
                Plot {
                    title: "Receipts of broadcasts",
                    x: "milliseconds from the first receipt",
                    y: "sockets that have heard it",
                    lines: self.broadcasts.iter().map(receipts).collect(),
                },
            ],
        }
    }
}

impl fmt::Display for SocketsReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "watching    {} at {}", name_sales(&self.sales), self.urls.join(", "))?;
        let ended_by = if self.ended_by == EndedBy::Interrupt { "interrupted" } else { "held to the end" };
        writeln!(out, "elapsed     {:.2} s, {ended_by}", self.elapsed_s)?;
        let counts = &self.counts;
        writeln!(
            out,
            "sockets     {} asked, {} connected, {} refused, {} failed, {} lost, {} held at the end",
            self.count,
            counts.connected,
            counts.refused_len(),
            counts.failed_len(),
            counts.lost_len(),
            counts.held(),
        )?;
        for (reason, count) in reasons(counts) {
            writeln!(out, "  {count:>10}  {reason}")?;
        }
        writeln!(
            out,
            "connecting  {:.0}/s of {:.0}/s asked, {} processes",
            self.connect_rate_per_s, self.connect_rate_asked_per_s, self.processes
        )?;
        write_latency(out, "connect", &self.connect_latency)?;
        writeln!(out, "pings       {} answered", counts.pings)?;
        for broadcast in &self.broadcasts {
            write_broadcast(out, broadcast)?;
        }
        if self.questions.count > 0 || self.questions_unanswered > 0 {
            write_latency(out, "question", &self.questions)?;
            writeln!(
                out,
                "questions   {} answered, {} not",
                self.questions.count, self.questions_unanswered
            )?;
        }
        if let (Some(event), Some(missed)) = (&self.expect, self.expected_missed) {
            writeln!(
                out,
                "expected    {event}: {missed} of {} sockets held have not heard it",
                counts.held()
            )?;
        }
        for (name, memory) in [("server", &self.server_memory), ("generator", &self.generator_memory)] {
            if let Some(memory) = memory {
                memory.write(out, name)?;
            }
        }
        Ok(())
    }
}

fn reasons(counts: &CrowdCounts) -> Vec<(String, u64)> {
    let refused = counts.refused.iter().map(|(status, count)| (format!("refused with {status}"), *count));
    let failed = counts.failed.iter().map(|(reason, count)| (format!("failed: {reason}"), *count));
    let lost = counts.lost.iter().map(|(reason, count)| (format!("lost: {reason}"), *count));
    refused.chain(failed).chain(lost).collect()
}

fn write_broadcast(out: &mut fmt::Formatter<'_>, broadcast: &BroadcastReport) -> fmt::Result {
    let BroadcastReport { name, payload, occurrence, heard, since_first, .. } = broadcast;
    let times = if *occurrence > 1 { format!(" (time {occurrence})") } else { String::new() };
    writeln!(out, "broadcast   {name}{times}: heard by {heard}; {payload}")?;
    let ms = |time_us: u64| approximate(time_us) / 1000.0;
    write!(
        out,
        "  ms after the first receipt: p50 {:.1}, p99 {:.1}, last {:.1}",
        ms(since_first.p50_us),
        ms(since_first.p99_us),
        ms(since_first.max_us)
    )?;
    match broadcast.first_after_start_us {
        Some(after_us) => {
            let sign = if after_us < 0 { "-" } else { "" };
            writeln!(out, "; the first came {sign}{:.1} ms after starts_at", ms(after_us.unsigned_abs()))
        }
        None => writeln!(out),
    }
}
