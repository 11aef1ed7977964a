//! Is the rest of the site usable while its buy route is flooded? `make flood` answers it; a benchmark, not a test.
//!
//! The whole fleet runs behind Nginx on two cores of this machine. Core 0 has what the flood goes through: the generator,
//! Nginx, a publisher. Core 1 has all else, and the probes that measure from outside. The probes run first alone, then
//! under the flood. Read next: `stage` (the site and its people), `probe` (what is measured), `report`. What all
//! benchmarks share is in `../support`.

mod figures;
#[path = "../support/generator.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod generator;
#[path = "../../tests/support/http.rs"]
#[expect(dead_code, reason = "tests use the rest of it")]
#[expect(clippy::unwrap_used, reason = "its users are tests, and this")]
mod http;
mod probe;
mod report;
#[path = "../support/sales.rs"]
mod sales;
mod stage;
#[path = "../support/usage.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod usage;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::slice;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;

use crate::generator::{Generator, Load, Pace};
use crate::probe::sample;
use crate::report::{Flooded, Idle, Report, Run};
use crate::stage::Stage;
use crate::usage::Reading;

/// What the flood goes through.
const FLOOD_CORE: u16 = 0;
/// All else.
const SITE_CORE: u16 = 1;

/// How much longer than the measurement the flood lasts.
const LONGER: Duration = Duration::from_secs(2);

/// Rates of `--ladder`, a second.
const LADDER_PER_S: [u32; 14] = [
    1_000, 2_500, 5_000, 7_500, 10_000, 12_500, 15_000, 17_500, 20_000, 25_000, 30_000, 40_000, 50_000,
    60_000,
];

/// Flood the buy route of a whole site with requests of a sale that is sold out, and compare what the sale list, a
/// checkout and a sign-in take with what they take on the idle site.
///
/// Exit code: 0 the rate asked for was kept and all three stayed within twice their idle p99, 1 not so, 2 wrong usage or
/// no site.
#[derive(Debug, Parser)]
#[command(name = "flood", after_help = EXAMPLES)]
struct Options {
    /// Buy requests a second, by the clock
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How long the idle site and then the flooded one are measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=600))]
    seconds: u32,
    /// Go on with further rates: upwards until it no longer holds, or downwards until it does
    #[arg(long)]
    ladder: bool,
    /// People who flood, each again and again in rounds
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(10_000..=1_000_000))]
    people: u64,
    /// Connections of the generator, which is also the most requests in flight
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    connections: u32,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const EXAMPLES: &str = "Examples:
  make flood
  make flood FLOOD=\"--ladder --json $PWD/flood.json\"
  make flood FLOOD='--rate 5000 --seconds 10'";

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flood: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether it holds at the rate asked for.
fn run(options: &Options) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    ensure!(cores >= 2, "this needs two cores, and may use {cores}");
    // Opened first: a path that cannot be written to must not cost a run.
    let json = match &options.json {
        Some(path) => {
            Some(File::create(path).with_context(|| format!("cannot write to {}", path.display()))?)
        }
        None => None,
    };
    // Before any thread and any service starts: all that is not bound elsewhere inherits it.
    usage::bind_to(SITE_CORE).context("cannot bind to a core")?;

    let mut stage = Stage::set(options.people)?;
    let mut report = Report { span_s: options.seconds, runs: Vec::new() };
    let holds = measure(options, &mut stage, &mut report, options.rate)?;
    if options.ladder {
        for rate in further_rates(options.rate, holds) {
            if measure(options, &mut stage, &mut report, rate)? != holds {
                break;
            }
        }
        println!("{}", report.summary());
    }
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &report).context("cannot write the JSON report")?;
    }
    Ok(holds)
}

/// Measures the idle site, floods it, and prints how both went. Whether it held.
fn measure(options: &Options, stage: &mut Stage, report: &mut Report, rate: u32) -> anyhow::Result<bool> {
    let span = Duration::from_secs(options.seconds.into());
    // Anew for each rate: what is compared lies side by side.
    let idle = measure_idle(stage, span)?;
    print!("{idle}");
    let flooded = measure_flooded(options, stage, rate)?;
    print!("{flooded}");
    let run = Run::new(rate, idle, flooded);
    println!("{}", run.verdict());
    let holds = run.holds();
    report.runs.push(run);
    Ok(holds)
}

fn measure_idle(stage: &mut Stage, span: Duration) -> anyhow::Result<Idle> {
    let plans = stage.plan_probes(span)?;
    let before = Reading::take(&stage.processes(None))?;
    let probes = sample(&stage.base(), &plans)?;
    let usage = Reading::take(&stage.processes(None))?.since(&before);
    Ok(Idle { probes, usage })
}

fn measure_flooded(options: &Options, stage: &mut Stage, rate: u32) -> anyhow::Result<Flooded> {
    let span = Duration::from_secs(options.seconds.into());
    let plans = stage.plan_probes(span)?;
    let sale = stage.open_sale_for_the_flood(rate)?;
    let complaints_before = stage.complaints()?.len();
    let generator = Generator::start(&Load {
        base: &stage.base(),
        sales: slice::from_ref(&sale),
        tokens: stage.tokens(),
        connections: options.connections,
        // Longer than the measurement, so that what it used can be read while it runs.
        pace: Pace::ByTheClock { rate, span: span + LONGER },
        core: Some(FLOOD_CORE),
        report: stage.directory().join("flood.json"),
    })?;
    let before = Reading::take(&stage.processes(Some(generator.process())))?;
    let probes = sample(&stage.base(), &plans)?;
    // While the generator still runs: what it used is gone with it.
    let usage = Reading::take(&stage.processes(Some(generator.process())))?.since(&before);
    let flood = generator.finish()?;
    stage.verify(&sale)?;
    let complaints = stage.complaints()?.split_off(complaints_before);
    Ok(Flooded { flood, probes, usage, complaints })
}

/// The rates after the first: higher ones if it held, lower ones if not.
fn further_rates(first: u32, held: bool) -> Vec<u32> {
    if held {
        LADDER_PER_S.into_iter().filter(|rate| *rate > first).collect()
    } else {
        LADDER_PER_S.into_iter().rev().filter(|rate| *rate < first).collect()
    }
}
