//! What do very many people on sockets cost, and how fast do they hear? `make crowd` answers it; benchmarks, not tests.
//!
//! A subcommand for each question. All run the real binary in a fleet on real services (`stage`), against the load
//! generator's own processes (`generator`); those with peers run other people's servers in the same run (`peers`). Read next:
//! the file of a subcommand; `report` says how figures come out.

#[path = "../support/control_group.rs"]
mod control_group;
mod generator;
mod held;
mod idle;
mod limits;
#[path = "../support/machine.rs"]
mod machine;
mod memory;
mod opening;
mod peers;
mod report;
mod sale;
mod scaling;
#[path = "../support/spread.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod spread;
mod stage;
mod start;
mod storm;
#[path = "../support/usage.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod usage;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::report::Output;

/// The allocator of the binary, so that the peer in Rust has the same.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure a site's processes and sockets: what a process costs before anybody comes and what an idle socket does, how soon
/// all hear an opening, how many fit, whether newcomers disturb those who are there, what several small servers do, and how
/// long a whole sale takes.
///
/// Exit code: 0 the aim was reached, 1 it was not, 2 nothing could be measured.
#[derive(Debug, Parser)]
#[command(name = "crowd", after_help = EXAMPLES)]
struct Options {
    #[command(subcommand)]
    command: Command,
    /// What cargo says to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Start(start::Options),
    Idle(idle::Options),
    Opening(opening::Options),
    Held(held::Options),
    Storm(storm::Options),
    Limits(limits::Options),
    Scaling(scaling::Options),
    Sale(sale::Options),
    /// What others are compared with, started by them.
    #[command(hide = true, subcommand)]
    Peer(PeerServer),
}

#[derive(Debug, Subcommand)]
enum PeerServer {
    Socketioxide,
    Bare,
}

/// What every subcommand takes.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Runs; figures are the median, with the least and the greatest
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// A look within a minute or two: one run of a few sockets. Its figures mean little
    #[arg(long)]
    quick: bool,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

impl Common {
    fn runs(&self) -> u32 {
        if self.quick { 1 } else { self.runs }
    }

    /// A size asked for, or the small one of a quick look.
    fn size(&self, asked: u32, quick: u32) -> u32 {
        if self.quick { asked.min(quick) } else { asked }
    }
}

const EXAMPLES: &str = "Examples:
  make crowd CROWD='idle --quick'
  make crowd CROWD=\"opening --count 15000 --json $PWD/opening.json\"
  make crowd CROWD='held --count 300000 --runs 1'
  make crowd CROWD='sale --people 100000 --runs 1'";

fn main() -> ExitCode {
    match run(&Options::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("crowd: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the aim was reached.
fn run(command: &Command) -> anyhow::Result<bool> {
    match command {
        Command::Start(options) => with_output(&options.common, || start::run(options)),
        Command::Idle(options) => with_output(&options.common, || idle::run(options)),
        Command::Opening(options) => with_output(&options.common, || opening::run(options)),
        Command::Held(options) => with_output(&options.common, || held::run(options)),
        Command::Storm(options) => with_output(&options.common, || storm::run(options)),
        Command::Limits(options) => with_output(&options.common, || limits::run(options)),
        Command::Scaling(options) => with_output(&options.common, || scaling::run(options)),
        Command::Sale(options) => with_output(&options.common, || sale::run(options)),
        Command::Peer(PeerServer::Socketioxide) => peers::socketioxide::serve().map(|()| true),
        Command::Peer(PeerServer::Bare) => peers::bare::serve().map(|()| true),
    }
}

fn with_output<R: report::Report>(
    common: &Common,
    measure: impl FnOnce() -> anyhow::Result<R>,
) -> anyhow::Result<bool> {
    // Opened first: a path that cannot be written to must not cost a run.
    let output = Output::open(common.json.as_deref())?;
    let report = measure()?;
    output.write(common, &report)?;
    Ok(report.reaches_aim())
}
