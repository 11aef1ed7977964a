//! A whole sale: people connect, hear the opening, buy, and are told, with generator, site and services on one machine.
//!
//! Each person has a socket and a session token of its own; the buy calls share a number of keep-alive connections. Sockets
//! go to the push processes and calls to the publisher directly, without Nginx. There is a unit for one in a hundred, and
//! half as many places to stand by.

use std::collections::BTreeMap;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Common;
use crate::generator::{self, Counts, Latency, Running};
use crate::opening::{Pace, require_memory};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{ANSWER, Needs, Offer, Stage};
use crate::usage::{Process, Reading, Usage, approximate};

/// For a million people; smaller sales are to be as fast.
const AIM_S: f64 = 60.0;
const QUICK_PEOPLE: u32 = 5_000;
/// For the processes of the generator to have their tokens.
const TOKENS_PER_S: u32 = 100_000;
const GIVE_UP_S: u32 = 180;
const HOLD: Duration = Duration::from_mins(30);
/// Of the crowd and the push processes. On cores that all share, telling everybody would otherwise take what deciding needs.
const NICE_OF_TELLING: u8 = 10;
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Take very many people through a whole sale, and say how long it takes until the last is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// People, each with a socket
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    people: u32,
    /// Keep-alive connections for the buy calls
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    connections: u32,
    /// A new connection for every buy call, at most --connections at once
    #[arg(long)]
    new_connections: bool,
    /// The sale has a question, which everybody answers with the buy call
    #[arg(long)]
    question: bool,
    #[command(flatten)]
    pace: Pace,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Sales {
    people: u32,
    connections: u32,
    new_connections: bool,
    question: bool,
    stock: u32,
    standby: u32,
    push_processes: usize,
    /// From the opening until the last heard of it, was answered, was told.
    heard_s: Spread,
    answered_s: Spread,
    told_s: Spread,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    /// Units that somebody has beyond the stock.
    oversold: u64,
    recount: Value,
    report: SaleReport,
    /// From the opening to the end.
    usage: Option<Usage>,
}

/// What the generator says of the sale; times from the opening, but for calls.
#[derive(Debug, Serialize, Deserialize)]
struct SaleReport {
    people: u64,
    untold: u64,
    counts: Counts,
    /// What people were told first, and how.
    outcomes: BTreeMap<String, u64>,
    told_by: BTreeMap<String, u64>,
    answers: BTreeMap<String, u64>,
    look_ups: BTreeMap<String, u64>,
    opening_heard: Latency,
    answered: Latency,
    told: Latency,
    call: Latency,
    by_second: BTreeMap<String, Vec<u64>>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Sales> {
    let people = options.common.size(options.people, QUICK_PEOPLE);
    require_memory(people)?;
    let mut needs = Needs::of(people)?;
    needs.push_place.nice = NICE_OF_TELLING;
    let stage = Stage::set(&needs)?;
    let (stock, standby) = (people / 100, people / 200);
    let mut runs = Vec::new();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: sale, run {number}");
        runs.push(sell(&stage, options, people, stock, standby)?);
    }
    let seconds = |of: fn(&SaleReport) -> &Latency| {
        Spread::of(runs.iter().map(|run| approximate(of(&run.report).max_us) / 1e6))
    };
    Ok(Sales {
        people,
        connections: options.connections,
        new_connections: options.new_connections,
        question: options.question,
        stock,
        standby,
        push_processes: stage.push_processes().len(),
        heard_s: seconds(|report| &report.opening_heard),
        answered_s: seconds(|report| &report.answered),
        told_s: seconds(|report| &report.told),
        runs,
    })
}

fn sell(stage: &Stage, options: &Options, people: u32, stock: u32, standby: u32) -> anyhow::Result<Run> {
    let opens_in = options.pace.until_opening(people) + Duration::from_secs((people / TOKENS_PER_S).into());
    let planned_at = Instant::now();
    let sale = stage.plan_sale(&Offer { stock, standby, opens_in, hold: HOLD, asks: options.question })?;
    let mut arguments = vec!["sale".to_owned()];
    let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    add("--sale", sale.clone());
    add("--url", stage.publisher_url()?);
    add("--general-url", stage.general_url()?);
    for url in stage.push_urls() {
        add("--push-url", url);
    }
    add("--tokens", stage.tokens().display().to_string());
    add("--people", people.to_string());
    add("--connections", options.connections.to_string());
    add("--connect-rate", format!("{}/s", options.pace.rate()));
    add("--connect-timeout", "60s".to_owned());
    add("--sources", generator::sources(people));
    add("--pay", "0".to_owned());
    add("--give-up", format!("{GIVE_UP_S}s"));
    if options.question {
        add("--answer", ANSWER.to_owned());
    }
    if stage.is_pinned() {
        arguments.push("--pin".to_owned());
    }
    if options.new_connections {
        arguments.push("--new-connections".to_owned());
    }
    let mut running: Running<SaleReport> = generator::start(&arguments, NICE_OF_TELLING)?;
    sleep((planned_at + opens_in).saturating_duration_since(Instant::now()));
    let usage = usage_until_the_end(stage, &mut running);
    let report = running.finish()?;
    let recount = stage.verify(&sale)?;
    let units = |name: &str| recount[name].as_u64().with_context(|| format!("no {name} in the recount"));
    let taken = units("reserved")? + units("paying")? + units("paid")?;
    Ok(Run { oversold: taken.saturating_sub(stock.into()), recount, report, usage })
}

/// What everything used from now until the generator ends; nothing if that was at once.
fn usage_until_the_end(stage: &Stage, running: &mut Running<SaleReport>) -> Option<Usage> {
    let of_crowd = running.processes().into_iter().map(|id| Process { name: "crowd", id });
    let of_site = stage.processes().into_iter().map(|(name, id)| Process { name, id });
    let processes: Vec<Process> = of_crowd.chain(of_site).collect();
    let before = Reading::take(&processes).ok()?;
    let mut last = None;
    while running.is_running() {
        sleep(SAMPLE_EVERY);
        // The last time they may be gone.
        last = Reading::take(&processes).ok().or(last);
    }
    Some(last?.since(&before))
}

impl Run {
    fn is_good(&self) -> bool {
        let SaleReport { people, untold, counts, .. } = &self.report;
        self.oversold == 0
            && *untold == 0
            && self.recount["ok"] == true
            && counts.connected == *people
            && counts.lost.is_empty()
    }
}

impl Report for Sales {
    fn reaches_aim(&self) -> bool {
        self.told_s.median <= AIM_S && self.runs.iter().all(Run::is_good)
    }
}

impl fmt::Display for Sales {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { people, connections, stock, standby, push_processes, .. } = self;
        writeln!(
            f,
            "{people} people on {push_processes} push processes buy over {connections} connections{}: {stock} units, \
             {standby} stand by{}",
            if self.new_connections { " at once, a new one for each" } else { "" },
            if self.question { "; they answer a question" } else { "" }
        )?;
        writeln!(f, "all heard      {:.2} s after the opening", self.heard_s)?;
        writeln!(f, "all answered   {:.2} s", self.answered_s)?;
        writeln!(f, "all told       {:.2} s", self.told_s)?;
        for run in &self.runs {
            write!(f, "{run}")?;
        }
        writeln!(
            f,
            "aim            all told within {AIM_S:.0} s, 0 oversold, a sound recount: {}",
            verdict(self)
        )
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SaleReport { people, untold, counts, outcomes, told_by, answers, look_ups, call, .. } =
            &self.report;
        writeln!(
            f,
            "run            {} of {people} connected, {untold} untold, {} oversold, recount {}",
            counts.connected,
            self.oversold,
            if self.recount["ok"] == true { "sound" } else { "BROKEN" }
        )?;
        let ms = |time_us: u64| approximate(time_us) / 1e3;
        writeln!(f, "  a buy call   p50 {:.1} ms, p99 {:.1} ms", ms(call.p50_us), ms(call.p99_us))?;
        for (name, counts) in
            [("told", outcomes), ("by", told_by), ("answers", answers), ("look-ups", look_ups)]
        {
            let words: Vec<_> = counts.iter().map(|(word, count)| format!("{word} {count}")).collect();
            writeln!(f, "  {name:<13}{}", words.join(", "))?;
        }
        let Some(usage) = &self.usage else { return Ok(()) };
        let shares = usage.processes.iter().map(|(name, share)| format!("{name} {share:.0}"));
        writeln!(
            f,
            "  of a core    {} %, others {:.0} %; cores busy {:.0?} %",
            shares.collect::<Vec<_>>().join(", "),
            usage.others,
            usage.cores_busy
        )
    }
}
