//! How many buy requests a machine bears, on the way from the buy route to the decision: the figures of `make bench` that
//! are about requests. Benchmarks, not tests: no figure fails a run.
//!
//! Each figure is a subcommand with its own stage of real services, and is measured several times beside what it is
//! compared with. Read next: `stage` (what runs where), then the figures: `refused`, `accepted`, `decided`, `order`, `small`,
//! `scaling`. What all benchmarks share is in `../support`.

mod accepted;
#[path = "../support/control_group.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod control_group;
mod decided;
mod decisions;
#[path = "../support/generator.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod generator;
#[path = "../../tests/support/http.rs"]
#[expect(dead_code, reason = "tests use the rest of it")]
#[expect(clippy::unwrap_used, reason = "its users are tests, and this")]
mod http;
#[path = "../support/machine.rs"]
mod machine;
mod order;
mod peer;
mod people;
mod queue;
mod refused;
mod report;
#[path = "../support/sales.rs"]
mod sales;
mod scaling;
mod small;
#[path = "../support/spread.rs"]
mod spread;
mod stage;
#[path = "../support/usage.rs"]
mod usage;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Args, Parser, Subcommand};

use crate::report::{Part, Report};

/// The allocator of the binary, so that the peer in Rust has the same.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is measured, where that has a core of its own.
const MEASURED_CORE: u16 = 0;
/// Then all else.
const OTHER_CORE: u16 = 1;

/// Measure how many buy requests this machine bears.
///
/// Exit code: 0 every aim was reached in the median, 1 one was not, 2 wrong usage, or nothing could be measured.
#[derive(Debug, Parser)]
#[command(name = "requests", after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    figure: Figure,
    /// What cargo says to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Figure {
    /// Requests of a sale that is full, for each CPU-second of the publisher, beside Nginx that answers the same requests
    /// without looking at them
    Refused(Options),
    /// Requests accepted a second when there is enough for everybody, beside a bare server that hands over the same batches
    Accepted(AcceptedOptions),
    /// People decided by a consumer, for each of its CPU-seconds and a second: nearly all refused, and all winning
    Decided(Options),
    /// How far people overtake each other on their way into the line
    Order(Options),
    /// A publisher of one core and 512 MiB, under a crowd that goes on for minutes
    Small(SmallOptions),
    /// Publishers that are given more, and more publishers
    Scaling(Options),
    /// What `accepted` is measured by
    #[command(hide = true)]
    Peer {
        /// The broker
        #[arg(long)]
        uri: String,
    },
}

/// What every figure takes.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each thing is measured; told are the median, the least and the most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Small counts: whether it works, not how fast
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What `accepted` takes.
#[derive(Debug, Args)]
pub(crate) struct AcceptedOptions {
    #[command(flatten)]
    pub(crate) common: Options,
    /// People who come in a run, each once; without it 500,000, and 200,000 where a consumer decides meanwhile
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(100..1_000_000))]
    pub(crate) people: Option<u64>,
}

/// What `small` takes.
#[derive(Debug, Args)]
pub(crate) struct SmallOptions {
    #[command(flatten)]
    pub(crate) common: Options,
    /// Requests a second, by the clock
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    pub(crate) rate: u32,
    /// How long a run lasts
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..=3_000))]
    pub(crate) seconds: u32,
}

const EXAMPLES: &str = "Examples:
  make bench
  cargo bench --profile quick -p miaosha --bench requests -- refused --runs 3 --json $PWD/refused.json";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let measured = match &cli.figure {
        Figure::Refused(options) => reported(options.json.as_deref(), || refused::measure(options)),
        Figure::Accepted(options) => reported(options.common.json.as_deref(), || accepted::measure(options)),
        Figure::Decided(options) => reported(options.json.as_deref(), || decided::measure(options)),
        Figure::Order(options) => reported(options.json.as_deref(), || order::measure(options)),
        Figure::Small(options) => reported(options.common.json.as_deref(), || small::measure(options)),
        Figure::Scaling(options) => reported(options.json.as_deref(), || scaling::measure(options)),
        Figure::Peer { uri } => peer::run(uri).map(|()| true),
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("requests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Measures, and writes the report as asked for. Whether every aim was reached.
fn reported(json: Option<&Path>, measure: impl FnOnce() -> anyhow::Result<Report>) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    ensure!(cores >= 2, "this needs two cores, and may use {cores}");
    // Opened first: a path that cannot be written to must not cost a run.
    let open =
        |path: &Path| File::create(path).with_context(|| format!("cannot write to {}", path.display()));
    let json = json.map(open).transpose()?;
    let report = measure()?;
    print!("{report}");
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &report).context("cannot write the JSON report")?;
    }
    Ok(report.parts.iter().all(Part::reaches_aims))
}
