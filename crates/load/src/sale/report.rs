//! What a run of `miaosha-load sale` comes to: as text, as JSON, as a page.

use super::Opening;
use super::tally::SaleTally;
use super::worker::SaleSummary;
use crate::cli::SaleArgs;
use crate::crowd::{CrowdCounts, CrowdMoment};
use crate::html::{Counts, Line, Page, Plot};
use crate::latency::LatencyReport;
use crate::memory::MemoryReport;
use crate::report::{EndedBy, Verdict, approximate, latency_lines, share, write_latency};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The report of `sale`. Its fields are what `--json` writes; they are only ever added to. Times are from the opening
/// by this machine's clock, unless said.
#[derive(Debug, Serialize)]
pub(crate) struct SaleReport {
    pub(crate) url: String,
    pub(crate) sale: String,
    pub(crate) people: u64,
    pub(crate) processes: usize,
    /// Keep-alive connections for the buy calls.
    pub(crate) connections: u32,
    /// Whether each buy call had a connection of its own, so many at once.
    pub(crate) new_connections: bool,
    /// Of the winners, who were to pay.
    pub(crate) pay: f64,
    pub(crate) ended_by: EndedBy,
    /// In microseconds since the Unix epoch.
    pub(crate) opening_us: i64,
    /// The site's clock less this machine's, as seen once before the run; nothing is corrected by it.
    pub(crate) clock_ahead_us: i64,
    /// The sockets.
    pub(crate) counts: CrowdCounts,
    /// Sockets refused, failed or lost, of the people.
    pub(crate) error_share: f64,
    pub(crate) max_error_share: f64,
    /// People who never learned an outcome.
    pub(crate) untold: u64,
    /// What people were told first.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Where they stood at the end of the run.
    pub(crate) at_end: BTreeMap<String, u64>,
    /// How the first outcome came.
    pub(crate) told_by: BTreeMap<String, u64>,
    pub(crate) answers: BTreeMap<String, u64>,
    pub(crate) payments: BTreeMap<String, u64>,
    pub(crate) look_ups: BTreeMap<String, u64>,
    /// Until the opening was heard over the socket.
    pub(crate) opening_heard: LatencyReport,
    /// Until the first answer to the buy call.
    pub(crate) answered: LatencyReport,
    /// Until the outcome.
    pub(crate) told: LatencyReport,
    /// Of a buy call, from its sending.
    pub(crate) call: LatencyReport,
    /// Of a check-out, from its sending.
    pub(crate) payment: LatencyReport,
    /// By second from the opening.
    pub(crate) by_second: BTreeMap<String, Vec<u64>>,
    pub(crate) call_by_second: Vec<LatencyReport>,
    /// About once a second, from before the opening; the sockets lost are among those connected.
    pub(crate) sockets_by_second: Vec<CrowdMoment>,
    /// Of the processes of `--server-pid`, from before the first connection to the most that was seen.
    pub(crate) server_memory: Option<MemoryReport>,
}

impl SaleReport {
    pub(super) fn draw(
        args: &SaleArgs,
        processes: usize,
        opening: &Opening,
        summaries: &[SaleSummary],
        sockets_by_second: Vec<CrowdMoment>,
        ended_by: EndedBy,
    ) -> Self {
        let mut counts = CrowdCounts::default();
        let mut tally = SaleTally::new();
        for summary in summaries {
            counts.add(&summary.counts);
            tally.add(&summary.tally);
        }
        Self {
            url: args.crowd.url.to_string(),
            sale: args.sale.clone(),
            people: tally.people,
            processes,
            connections: args.connections,
            new_connections: args.new_connections,
            pay: args.pay,
            ended_by,
            opening_us: opening.opens_us,
            clock_ahead_us: opening.clock_ahead_us,
            error_share: share(counts.refused_len() + counts.failed_len() + counts.lost_len(), tally.people),
            max_error_share: args.crowd.max_error_share,
            counts,
            untold: tally.untold(),
            outcomes: tally.outcomes,
            at_end: tally.at_end,
            told_by: tally.told_by,
            answers: tally.answers,
            payments: tally.payments,
            look_ups: tally.look_ups,
            opening_heard: tally.opening_heard.report(),
            answered: tally.answered.report(),
            told: tally.told.report(),
            call: tally.call.report(),
            payment: tally.payment.report(),
            by_second: tally.by_second,
            call_by_second: tally.call_by_second.reports(),
            sockets_by_second,
            server_memory: None,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.untold > 0 || self.error_share > self.max_error_share { Verdict::Bad } else { Verdict::Good }
    }

    pub(super) fn page(&self) -> Page {
        let rows = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| (name.clone(), *count)).collect()
        };
        let line = |(name, counts): (&String, &Vec<u64>)| {
            Line::by_second(name.as_str(), counts.iter().map(|count| approximate(*count)))
        };
        let until = |name: &str, latency: &LatencyReport| {
            let mut people = 0;
            let point = |(time_us, count): &(u64, u64)| {
                people += count;
                (approximate(*time_us) / 1_000_000.0, approximate(people))
            };
            Line { name: name.to_owned(), points: latency.buckets_us.iter().map(point).collect() }
        };
        Page {
            title: format!("Sale {}", self.sale),
            summary: self.to_string(),
            counts: vec![
                Counts { title: "Told first", rows: rows(&self.outcomes) },
                Counts { title: "In the end", rows: rows(&self.at_end) },
                Counts { title: "Answers to the buy call", rows: rows(&self.answers) },
                Counts { title: "Answers to the check-out", rows: rows(&self.payments) },
            ],
            plots: vec![
                Plot {
                    title: "Sockets",
                    x: "seconds from the opening",
                    y: "sockets",
                    lines: CrowdMoment::lines(self.sockets_by_second.iter()),
                },
                Plot {
                    title: "People",
                    x: "seconds from the opening",
                    y: "people",
                    lines: vec![
                        until("heard the opening", &self.opening_heard),
                        until("answered", &self.answered),
                        until("told", &self.told),
                    ],
                },
                Plot {
                    title: "Arrivals, answers and outcomes",
                    x: "seconds from the opening",
                    y: "a second",
                    lines: self.by_second.iter().map(line).collect(),
                },
                Plot {
                    title: "Latency of the buy call",
                    x: "seconds from the opening",
                    y: "ms",
                    lines: latency_lines(self.call_by_second.iter()),
                },
            ],
        }
    }
}

impl fmt::Display for SaleReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "sale        {} at {}", self.sale, self.url)?;
        let ended_by = match self.ended_by {
            EndedBy::Completion => "all told and paid",
            EndedBy::Duration => "given up",
            EndedBy::Interrupt => "interrupted",
        };
        writeln!(
            out,
            "people      {}, {} processes, {} connections for calls{}; {ended_by}",
            self.people,
            self.processes,
            self.connections,
            if self.new_connections { ", each for one" } else { "" }
        )?;
        let counts = &self.counts;
        writeln!(
            out,
            "sockets     {} connected, {} refused, {} failed, {} lost",
            counts.connected,
            counts.refused_len(),
            counts.failed_len(),
            counts.lost_len()
        )?;
        writeln!(
            out,
            "told        {} of {}, the last {:.2} s after the opening; {} untold",
            self.people - self.untold,
            self.people,
            approximate(self.told.max_us) / 1_000_000.0,
            self.untold
        )?;
        for (name, counts) in [
            ("outcomes", &self.outcomes),
            ("in the end", &self.at_end),
            ("told by", &self.told_by),
            ("buy calls", &self.answers),
            ("check-outs", &self.payments),
            ("look-ups", &self.look_ups),
        ] {
            let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
            writeln!(
                out,
                "{name:<11} {}",
                if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
            )?;
        }
        writeln!(out, "from the opening until")?;
        write_latency(out, "heard", &self.opening_heard)?;
        write_latency(out, "answered", &self.answered)?;
        write_latency(out, "told", &self.told)?;
        writeln!(out, "from the sending")?;
        write_latency(out, "buy call", &self.call)?;
        write_latency(out, "check-out", &self.payment)?;
        writeln!(out, "clocks      the site's is {:.1} ms ahead", {
            let ahead = approximate(self.clock_ahead_us.unsigned_abs()) / 1000.0;
            if self.clock_ahead_us < 0 { -ahead } else { ahead }
        })?;
        self.server_memory.as_ref().map_or(Ok(()), |memory| memory.write(out, "server"))
    }
}
