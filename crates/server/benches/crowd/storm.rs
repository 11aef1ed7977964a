//! Whether newcomers disturb those who are there: 100,000 connect within ten seconds, and meanwhile sockets that are
//! connected ask questions, by the clock.
//!
//! A question is to watch the sale once more, of somebody signed in: it goes through the whole server and is acknowledged.
//! Its time counts from the moment at which it was due. Those who ask and those who storm are different processes.
//!
//! The peers have the same crowd and the same storm on as many processes as this site has push processes. What they do not
//! take in, or lose, is what they are compared by, and no error.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;

use crate::Common;
use crate::generator::{Crowd, QuestionsSecond, Sockets};
use crate::opening::{PEER_CONNECT_RATE_MAX, require_memory};
use crate::peers::{Peer, PeerKind};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Offer, Stage};
use crate::usage::approximate;

const CONNECT_RATE: u32 = 2_000;
/// Before the storm, and what the storm is compared with.
const CALM: Duration = Duration::from_secs(10);
/// How late the last of the storm may be.
const LATE: Duration = Duration::from_secs(1);
/// Nobody who is connected may wait for so long.
const STARVED_MS: f64 = 1_000.0;

/// Connect very many sockets within ten seconds, and measure how long sockets that are connected wait for answers.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sockets that are connected before, and ask
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(100..=18_500))]
    connected: u32,
    /// Sockets that come
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=500_000))]
    newcomers: u32,
    /// Within so many seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60))]
    within: u32,
    /// Questions a second, of all who are connected before together
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    ask_rate: u32,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Storm {
    connected: u32,
    newcomers: u32,
    within_s: u32,
    processes: usize,
    /// This project's first.
    servers: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    /// From the first newcomer to the last who connected, each watching the sale.
    took_s: Spread,
    /// Refused or failed.
    not_connected: Spread,
    before: Waits,
    during: Waits,
    /// Questions without an answer, in all runs; and connected sockets lost.
    unanswered: u64,
    lost: u64,
}

/// How long questions waited: the median and the worst of all questions, and by the second the 99th of a hundred.
#[expect(clippy::struct_field_names, reason = "the unit")]
#[derive(Debug, Serialize)]
struct Waits {
    median_ms: Spread,
    /// Of each second the p99; of these the greatest.
    worst_p99_ms: Spread,
    max_ms: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Storm> {
    let newcomers = options.common.size(options.newcomers, 5_000);
    let connected = options.common.size(options.connected, 2_000);
    let within_s = if options.common.quick { 1 } else { options.within };
    let all = connected + newcomers;
    require_memory(all)?;
    let stage = Stage::set(&Needs::of(all)?)?;
    let kinds = if options.no_peers { &[][..] } else { &PeerKind::LIBRARIES };
    let processes = stage.push_processes().len();
    let size = Size { connected, newcomers, rate: newcomers / within_s, ask_rate: options.ask_rate };
    let names = std::iter::once("miaosha").chain(kinds.iter().map(|kind| kind.name()));
    let mut servers: Vec<(&str, Vec<Run>)> = names.map(|name| (name, Vec::new())).collect();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: storm, run {number}");
        servers[0].1.push(storm_ours(&stage, &size)?);
        for (kind, (_, runs)) in kinds.iter().zip(&mut servers[1..]) {
            runs.push(storm_peers(&stage, *kind, processes, &size).with_context(|| kind.name())?);
        }
    }
    let servers = servers.into_iter().map(|(name, runs)| Server::of(name, &runs)).collect();
    Ok(Storm { connected, newcomers, within_s, processes, servers })
}

impl Server {
    fn of(name: &'static str, runs: &[Run]) -> Self {
        let of = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
        let waits = |of_run: fn(&Run) -> &[QuestionsSecond]| {
            let figure = |figure: fn(&[QuestionsSecond]) -> f64| {
                Spread::of(runs.iter().map(|run| figure(of_run(run))))
            };
            Waits { median_ms: figure(median_ms), worst_p99_ms: figure(worst_p99_ms), max_ms: figure(max_ms) }
        };
        let questions = runs.iter().flat_map(|run| run.before.iter().chain(&run.during));
        Self {
            name,
            took_s: of(|run| run.took_s),
            not_connected: of(|run| run.not_connected),
            before: waits(|run| &run.before),
            during: waits(|run| &run.during),
            unanswered: questions.map(|of| of.unanswered).sum(),
            lost: runs.iter().map(|run| run.lost).sum(),
        }
    }
}

/// How many, and how fast.
struct Size {
    connected: u32,
    newcomers: u32,
    /// Newcomers a second.
    rate: u32,
    ask_rate: u32,
}

struct Run {
    /// Before the storm.
    connected: u64,
    took_s: f64,
    not_connected: f64,
    lost: u64,
    before: Vec<QuestionsSecond>,
    during: Vec<QuestionsSecond>,
}

fn storm_ours(stage: &Stage, size: &Size) -> anyhow::Result<Run> {
    let sale = stage.plan_sale(&Offer::to_hear_of(Duration::from_hours(1)))?;
    let run = storm(stage, &stage.push_urls(), stage.is_pinned(), sale, CONNECT_RATE, size)?;
    ensure!(run.connected == u64::from(size.connected), "not all connected before the storm");
    Ok(run)
}

fn storm_peers(stage: &Stage, kind: PeerKind, processes: usize, size: &Size) -> anyhow::Result<Run> {
    let peers: Vec<Peer> = (0..processes).map(|_| Peer::start(kind)).collect::<anyhow::Result<_>>()?;
    let urls: Vec<String> = peers.iter().map(Peer::url).collect();
    storm(stage, &urls, false, "1".to_owned(), PEER_CONNECT_RATE_MAX, size)
}

/// People of `stage` storm the servers at `urls`, after others connected at `calm_rate`.
fn storm(
    stage: &Stage,
    urls: &[String],
    pin: bool,
    sale: String,
    calm_rate: u32,
    size: &Size,
) -> anyhow::Result<Run> {
    let Size { connected, newcomers, rate, ask_rate } = *size;
    let tokens = stage.tokens();
    let newcomers_tokens = stage.directory().join("newcomers");
    let all = fs::read_to_string(&tokens)?;
    let start = all.match_indices('\n').nth(connected as usize - 1).context("too few tokens")?.0 + 1;
    fs::write(&newcomers_tokens, &all[start..])?;
    drop(all);

    let connecting = Duration::from_secs((connected / calm_rate).into());
    let coming = Duration::from_secs_f64(f64::from(newcomers) / f64::from(rate));
    let crowd = Crowd {
        urls,
        pin,
        sales: &[sale],
        tokens: &tokens,
        count: connected,
        rate: calm_rate,
        hold: CALM * 3 + coming * 2,
        servers: &[],
        ask_rate: Some(ask_rate),
    };
    let comers = Crowd {
        tokens: &newcomers_tokens,
        count: newcomers,
        rate,
        hold: Duration::from_secs(1),
        ask_rate: None,
        ..crowd.clone()
    };
    let running = crowd.start()?;
    std::thread::sleep(connecting + CALM + CALM / 2);
    let newcomers_report = comers.hold()?;
    let report: Sockets = running.finish()?;

    let began_us = newcomers_report.started_us.context("no newcomer")?;
    let ended_us = newcomers_report.connected_us.context("no newcomer connected")?;
    let second = |at_us: i64| at_us.div_euclid(1_000_000);
    let between = |from: i64, to: i64| -> Vec<QuestionsSecond> {
        let seconds = report.questions_by_second.iter();
        seconds.filter(|of| (from..=to).contains(&of.unix_s)).cloned().collect()
    };
    let calm_s = i64::try_from(CALM.as_secs())?;
    let before = between(second(began_us) - calm_s, second(began_us) - 1);
    let during = between(second(began_us), second(ended_us));
    ensure!(!before.is_empty() && !during.is_empty(), "there were no questions to compare");
    Ok(Run {
        connected: report.counts.connected,
        took_s: Duration::from_micros(ended_us.abs_diff(began_us)).as_secs_f64(),
        not_connected: f64::from(newcomers) - approximate(newcomers_report.counts.connected),
        lost: report.counts.lost.values().sum(),
        before,
        during,
    })
}

fn ms(time_us: u64) -> f64 {
    approximate(time_us) / 1_000.0
}

/// The median second's median.
fn median_ms(seconds: &[QuestionsSecond]) -> f64 {
    Spread::of(seconds.iter().map(|of| ms(of.answered.p50_us))).median
}

fn worst_p99_ms(seconds: &[QuestionsSecond]) -> f64 {
    seconds.iter().map(|of| ms(of.answered.p99_us)).fold(0.0, f64::max)
}

fn max_ms(seconds: &[QuestionsSecond]) -> f64 {
    seconds.iter().map(|of| ms(of.answered.max_us)).fold(0.0, f64::max)
}

impl Report for Storm {
    fn reaches_aim(&self) -> bool {
        let within = f64::from(self.within_s) + LATE.as_secs_f64();
        let Server { took_s, not_connected, during, unanswered, lost, .. } = &self.servers[0];
        took_s.median <= within
            && not_connected.max <= 0.0
            && *unanswered == 0
            && *lost == 0
            && during.max_ms.median < STARVED_MS
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connected, newcomers, within_s, processes, servers } = self;
        writeln!(
            f,
            "{newcomers} sockets come within {within_s} s to {processes} processes that hold {connected}, which ask questions"
        )?;
        servers.iter().try_for_each(|server| write!(f, "{server}"))?;
        let within = f64::from(*within_s) + LATE.as_secs_f64();
        writeln!(
            f,
            "aim            all there after {within:.0} s, nobody waits for {STARVED_MS:.0} ms: {}",
            verdict(self)
        )
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, took_s, not_connected, before, during, unanswered, lost } = self;
        writeln!(f, "{name:<14} all there after {took_s:.1} s; not connected: {not_connected:.0}")?;
        for (name, Waits { median_ms, worst_p99_ms, max_ms }) in [("  before", before), ("  during", during)]
        {
            writeln!(
                f,
                "{name:<14} an answer takes {median_ms:.2} ms, p99 of the worst second {worst_p99_ms:.1}, at most \
                 {max_ms:.1}"
            )?;
        }
        writeln!(f, "  connected    {unanswered} questions without an answer, {lost} sockets lost")
    }
}
