//! What a run of `miaosha-load buy` comes to: the same report as text for people, as JSON for programs, as a page, and a
//! line for each token. And what the reports of all commands share.
//!
//! Not for measuring: `buy/tally.rs` does that. The JSON is meant to be plotted later without the run: it keeps
//! the histogram of each second. The others' are `sockets/report.rs` and `sale/report.rs`.

use crate::buy::{AnswerBook, LastAnswer, SecondTally, Tally};
use crate::cli::BuyArgs;
use crate::html::{Counts, Line, Page, Plot};
use crate::latency::LatencyReport;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The report of `buy`. Its fields are what `--json` writes; they are only ever added to.
#[derive(Debug, Serialize)]
pub(crate) struct BuyReport {
    pub(crate) url: String,
    /// The first of `sales`.
    pub(crate) sale: String,
    pub(crate) sales: Vec<String>,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// None for a closed loop.
    pub(crate) rate_asked_per_s: Option<f64>,
    pub(crate) ended_by: EndedBy,
    /// From the start to the last answer or failure.
    pub(crate) elapsed_s: f64,
    pub(crate) requests: Requests,
    /// Of all that ended or were given up: the share without an answer or with a 5xx.
    pub(crate) error_share: f64,
    pub(crate) max_error_share: f64,
    /// Answers a second, over the elapsed time.
    pub(crate) answers_per_s: f64,
    /// Every answer, the most frequent first.
    pub(crate) answers: Vec<AnswerCount>,
    pub(crate) by_http_status: BTreeMap<u16, u64>,
    /// By the `status` or problem `code` in the body; `-` where there is none.
    pub(crate) by_word: BTreeMap<String, u64>,
    /// By kind, with the first one's detail.
    pub(crate) errors: BTreeMap<&'static str, ErrorCount>,
    /// Of every answer, from when its sending was due.
    pub(crate) latency: LatencyReport,
    /// Of every request that ended, from when its first sending was due; retries and pauses included.
    pub(crate) time_to_end: LatencyReport,
    pub(crate) connections_opened: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) seconds: Vec<SecondReport>,
}

/// How many requests there were of which kind.
#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    /// Different requests; one sent again counts once.
    pub(crate) sent: u64,
    /// Answered, retries included.
    pub(crate) answered: u64,
    /// Failed, retries included.
    pub(crate) failed: u64,
    /// Sent again.
    pub(crate) retries: u64,
    /// Still to be sent again when the run ended.
    pub(crate) given_up: u64,
    /// Due, but not sent when the run ended.
    pub(crate) not_sent: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct AnswerCount {
    pub(crate) http_status: u16,
    pub(crate) word: String,
    pub(crate) count: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ErrorCount {
    pub(crate) count: u64,
    pub(crate) first: String,
}

/// One second of the run, counted from 0.
#[derive(Debug, Serialize)]
pub(crate) struct SecondReport {
    pub(crate) second: usize,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    /// Of the answers: 202.
    pub(crate) accepted: u64,
    /// Of the answers: by HTTP status and word.
    pub(crate) by_answer: BTreeMap<String, u64>,
    pub(crate) failed: u64,
    pub(crate) latency: LatencyReport,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndedBy {
    /// Everything was sent, and sent again as often as asked.
    Completion,
    Duration,
    Interrupt,
}

/// Whether the site did as well as was asked for, by the limits that the command was given; becomes the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
}

impl BuyReport {
    /// `due` are the requests that should have been sent.
    pub(crate) fn draw(
        args: &BuyArgs,
        tally: &Tally,
        due: u64,
        elapsed: Duration,
        ended_by: EndedBy,
    ) -> Self {
        let answered = tally.answers.iter().map(|answer| answer.count).sum();
        let elapsed_s = elapsed.as_secs_f64();
        Self {
            url: args.url.to_string(),
            sale: args.sales[0].clone(),
            sales: args.sales.clone(),
            connections: args.connections,
            threads: args.threads,
            rate_asked_per_s: args.rate,
            ended_by,
            elapsed_s,
            requests: Requests {
                sent: tally.requests,
                answered,
                failed: tally.failures.values().map(|(count, _)| count).sum(),
                retries: tally.retries,
                given_up: tally.unanswered(),
                not_sent: due.saturating_sub(tally.requests),
            },
            error_share: share(tally.ended_in_error + tally.unanswered(), tally.requests),
            max_error_share: args.max_error_share,
            answers_per_s: if elapsed_s > 0.0 { approximate(answered) / elapsed_s } else { 0.0 },
            answers: count_answers(&tally.answers),
            by_http_status: sum_by(&tally.answers, |http_status, _| http_status),
            by_word: sum_by(&tally.answers, |_, word| word.to_owned()),
            errors: (tally.failures.iter())
                .map(|(kind, (count, first))| {
                    (kind.name(), ErrorCount { count: *count, first: first.clone() })
                })
                .collect(),
            latency: tally.latency.report(),
            time_to_end: tally.time_to_end.report(),
            connections_opened: tally.traffic.connections_opened,
            sent_bytes: tally.traffic.sent_bytes,
            received_bytes: tally.traffic.received_bytes,
            seconds: tally
                .seconds
                .iter()
                .enumerate()
                .map(|(second, seen)| SecondReport::draw(second, seen, &tally.answers))
                .collect(),
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.error_share > self.max_error_share { Verdict::Bad } else { Verdict::Good }
    }

    pub(crate) fn page(&self) -> Page {
        let count = |name: &str, value: fn(&SecondReport) -> u64| {
            Line::by_second(name, self.seconds.iter().map(|second| approximate(value(second))))
        };
        let names: Vec<String> =
            self.answers.iter().map(|answer| name_of(answer.http_status, &answer.word)).collect();
        let of_name = |name: &String| {
            let count = |second: &SecondReport| second.by_answer.get(name).copied().unwrap_or_default();
            Line::by_second(name.as_str(), self.seconds.iter().map(|second| approximate(count(second))))
        };
        let outcomes = names.iter().map(of_name).collect();
        let errors = self.errors.iter().map(|(kind, error)| ((*kind).to_owned(), error.count)).collect();
        Page {
            title: format!("Buy requests of {}", name_sales(&self.sales)),
            summary: self.to_string(),
            counts: vec![
                Counts {
                    title: "Answers",
                    rows: names.into_iter().zip(self.answers.iter().map(|answer| answer.count)).collect(),
                },
                Counts { title: "Errors", rows: errors },
            ],
            plots: vec![
                Plot {
                    title: "Requests",
                    x: "seconds from the start",
                    y: "a second",
                    lines: vec![
                        count("arrivals", |second| second.sent),
                        count("answered", |second| second.answered),
                        count("accepted", |second| second.accepted),
                        count("failed", |second| second.failed),
                    ],
                },
                Plot { title: "Outcomes", x: "seconds from the start", y: "a second", lines: outcomes },
                Plot {
                    title: "Latency",
                    x: "seconds from the start",
                    y: "ms",
                    lines: latency_lines(self.seconds.iter().map(|second| &second.latency)),
                },
            ],
        }
    }
}

/// A file for a report; asked for before the run, as a path that cannot be written to must not cost its results.
pub(crate) fn create(path: &Path) -> anyhow::Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("cannot write to {}", path.display()))?;
    Ok(BufWriter::new(file))
}

/// Writes a report as JSON.
pub(crate) fn write_json(mut file: impl Write, report: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut file, report).context("cannot write the JSON report")?;
    file.flush().context("cannot write the JSON report")
}

/// Writes a line for each token, in the order of their indexes: index, HTTP status, word. Nothing if the tally
/// kept no last answers.
pub(crate) fn write_outcomes(out: &mut impl Write, tally: &Tally) -> io::Result<()> {
    for (index, last) in tally.last_answers.iter().flatten().enumerate() {
        match *last {
            LastAnswer::NotSent => writeln!(out, "{index}\t0\tnot_sent")?,
            LastAnswer::Failed(kind) => writeln!(out, "{index}\t0\t{}", kind.name())?,
            LastAnswer::Answered(_, number) => {
                let answer = tally.answers.get(number);
                writeln!(out, "{index}\t{}\t{}", answer.http_status, answer.word)?;
            }
        }
    }
    Ok(())
}

impl EndedBy {
    pub(crate) fn tell(interrupted: bool, complete: bool) -> Self {
        match (complete, interrupted) {
            (true, _) => Self::Completion,
            (false, true) => Self::Interrupt,
            (false, false) => Self::Duration,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Good => Self::SUCCESS,
            Verdict::Bad => Self::from(1),
        }
    }
}

impl SecondReport {
    fn draw(second: usize, tally: &SecondTally, book: &AnswerBook) -> Self {
        let by_answer = book.iter().zip(&tally.by_answer).filter(|(_, count)| **count > 0);
        Self {
            second,
            sent: tally.sent,
            answered: tally.answered,
            accepted: tally.accepted,
            by_answer: by_answer
                .map(|(answer, count)| (name_of(answer.http_status, &answer.word), *count))
                .collect(),
            failed: tally.failed,
            latency: tally.latency.report(),
        }
    }
}

impl fmt::Display for BuyReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = self.rate_asked_per_s.map_or("closed loop".to_owned(), |rate| format!("{rate}/s asked"));
        writeln!(out, "buying      {} at {}", name_sales(&self.sales), self.url)?;
        writeln!(out, "load        {} connections, {} threads, {pace}", self.connections, self.threads)?;
        let ended_by = match self.ended_by {
            EndedBy::Completion => "all sent",
            EndedBy::Duration => "time was up",
            EndedBy::Interrupt => "interrupted",
        };
        writeln!(out, "elapsed     {:.2} s, {ended_by}", self.elapsed_s)?;
        let Requests { sent, answered, failed, retries, given_up, not_sent } = self.requests;
        writeln!(
            out,
            "requests    {sent} sent, {retries} retries, {given_up} given up, {not_sent} not sent"
        )?;
        writeln!(out, "answers     {answered}, {:.1}/s", self.answers_per_s)?;
        for answer in &self.answers {
            writeln!(out, "  {:>10}  {} {}", answer.count, answer.http_status, answer.word)?;
        }
        writeln!(out, "errors      {failed}")?;
        for (kind, error) in &self.errors {
            let first = if error.first.is_empty() { String::new() } else { format!(" ({})", error.first) };
            writeln!(out, "  {:>10}  {kind}{first}", error.count)?;
        }
        write_latency(out, "latency", &self.latency)?;
        if retries > 0 {
            write_latency(out, "to the end", &self.time_to_end)?;
        }
        writeln!(out, "bytes       {} sent, {} received", self.sent_bytes, self.received_bytes)?;
        writeln!(out, "connections {} opened", self.connections_opened)
    }
}

/// For a plot in milliseconds, from the latency of each second.
pub(crate) fn latency_lines<'a>(seconds: impl Iterator<Item = &'a LatencyReport>) -> Vec<Line> {
    let seconds: Vec<_> = seconds.collect();
    let line = |name, value: fn(&LatencyReport) -> u64| {
        Line::by_second(name, seconds.iter().map(|latency| approximate(value(latency)) / 1000.0))
    };
    vec![
        line("p50", |latency| latency.p50_us),
        line("p99", |latency| latency.p99_us),
        line("max", |latency| latency.max_us),
    ]
}

/// One line with the quantiles in milliseconds.
pub(crate) fn write_latency(
    out: &mut fmt::Formatter<'_>,
    name: &str,
    latency: &LatencyReport,
) -> fmt::Result {
    let ms = |time_us: u64| approximate(time_us) / 1000.0;
    writeln!(
        out,
        "{name:<11} ms: min {:.3}, p50 {:.3}, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}",
        ms(latency.min_us),
        ms(latency.p50_us),
        ms(latency.p90_us),
        ms(latency.p99_us),
        ms(latency.p99_9_us),
        ms(latency.max_us),
    )
}

fn count_answers(book: &AnswerBook) -> Vec<AnswerCount> {
    let count = |answer: &crate::buy::Answer| AnswerCount {
        http_status: answer.http_status,
        word: answer.word.to_string(),
        count: answer.count,
    };
    let mut counts: Vec<AnswerCount> = book.iter().map(count).collect();
    counts.sort_by_key(|answer| (std::cmp::Reverse(answer.count), answer.http_status));
    counts
}

fn name_of(http_status: u16, word: &str) -> String {
    format!("{http_status} {word}")
}

fn sum_by<K: Ord>(book: &AnswerBook, key: impl Fn(u16, &str) -> K) -> BTreeMap<K, u64> {
    let mut sums = BTreeMap::new();
    for answer in book.iter() {
        *sums.entry(key(answer.http_status, &answer.word)).or_default() += answer.count;
    }
    sums
}

/// Which sales, for a line of text.
pub(crate) fn name_sales(sales: &[String]) -> String {
    match sales {
        [sale] => format!("sale {sale}"),
        sales => format!("{} sales", sales.len()),
    }
}

/// 0 of nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { approximate(part) / approximate(whole) }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "exact to 2^52, and only shown")]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}
