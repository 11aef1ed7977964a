//! What an idle connection costs: user memory of the process that holds it, for each socket of somebody who is signed in
//! and watches a sale.
//!
//! All servers of a run hold their sockets at the same time, each a process of its own.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::Common;
use crate::generator::{Crowd, MemoryGrowth, Running, Sockets};
use crate::memory;
use crate::peers::{Peer, PeerKind};
use crate::report::Report;
use crate::spread::Spread;
use crate::stage::{Needs, Offer, SOCKETS_PER_PROCESS, Stage};
use crate::usage::approximate;

/// All told: what the process has more than before, divided by its sockets.
const AIM_BYTES: f64 = 1_024.0;
/// To each of three servers at once, which share two cores with the crowds.
const CONNECT_RATE: u32 = 700;
const QUICK_COUNT: u32 = 5_000;
const QUICK_IDLE_S: u64 = 5;

/// Measure the user memory that one idle socket costs, with socketioxide and the socket.io of Node beside it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sockets on each server
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(100..=i64::from(SOCKETS_PER_PROCESS)))]
    count: u32,
    /// How long they are idle, in seconds
    #[arg(long, value_name = "S", default_value_t = 60)]
    idle: u64,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Idle {
    count: u32,
    held_s: u64,
    /// This project's first.
    servers: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    /// Resident, (at the end - before the first socket) / sockets.
    bytes_per_socket: Spread,
    /// Resident before the first socket.
    before_mib: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Idle> {
    let count = options.common.size(options.count, QUICK_COUNT);
    let idle = Duration::from_secs(if options.common.quick { QUICK_IDLE_S } else { options.idle });
    let stage = Stage::set(&Needs { push: 1, people: count, ..Needs::default() })?;
    let peers = if options.no_peers { &[][..] } else { &PeerKind::LIBRARIES };
    let mut runs: Vec<Vec<MemoryGrowth>> = Vec::new();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: idle, run {number}");
        runs.push(run_once(&stage, peers, count, idle)?);
    }
    let servers = (0..=peers.len()).map(|place| {
        let growths = || runs.iter().map(|run| &run[place]);
        let growth = |of: &MemoryGrowth| {
            let grown = approximate(of.after.resident_bytes) - approximate(of.before.resident_bytes);
            grown / f64::from(count)
        };
        let before = |of: &MemoryGrowth| approximate(of.before.resident_bytes) / 1_048_576.0;
        Server {
            name: name(peers, place),
            bytes_per_socket: Spread::of(growths().map(growth)),
            before_mib: Spread::of(growths().map(before)),
        }
    });
    Ok(Idle { count, held_s: idle.as_secs(), servers: servers.collect() })
}

/// How the memory of each server grew, this project's first.
fn run_once(
    stage: &Stage,
    kinds: &[PeerKind],
    count: u32,
    idle: Duration,
) -> anyhow::Result<Vec<MemoryGrowth>> {
    stage.restart_push()?;
    let sales = [stage.plan_sale(&Offer::to_hear_of(Duration::from_hours(1)))?];
    let peers = kinds.iter().map(|kind| Peer::start(*kind)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut servers = vec![(stage.push_urls(), stage.push_processes())];
    servers.extend(peers.iter().map(|peer| (vec![peer.url()], vec![peer.process()])));
    let all: Vec<u32> = servers.iter().flat_map(|(_, processes)| processes).copied().collect();
    memory::wait_for_rest(&all)?;
    let tokens = stage.tokens();
    let start = |(urls, processes): &(Vec<String>, Vec<u32>)| {
        let servers = processes.as_slice();
        Crowd {
            urls,
            pin: false,
            sales: &sales,
            tokens: &tokens,
            count,
            rate: CONNECT_RATE,
            hold: idle,
            servers,
            ask_rate: None,
        }
        .start()
    };
    let running = servers.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
    let growth = |(place, running): (usize, Running<Sockets>)| {
        let growth = running.finish().and_then(|report| {
            report.require_all(count)?;
            report.server_memory.context("a server ended")
        });
        growth.with_context(|| name(kinds, place))
    };
    running.into_iter().enumerate().map(growth).collect()
}

/// Whose server the one at this place is: this project's is the first.
fn name(kinds: &[PeerKind], place: usize) -> &'static str {
    place.checked_sub(1).and_then(|peer| kinds.get(peer)).map_or("miaosha", |kind| kind.name())
}

impl Report for Idle {
    fn reaches_aim(&self) -> bool {
        self.servers[0].bytes_per_socket.median <= AIM_BYTES
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, held_s, servers } = self;
        writeln!(f, "{count} sockets on each server, signed in, watching a sale, idle for {held_s} s")?;
        for Server { name, bytes_per_socket, before_mib } in servers {
            writeln!(f, "{name:<14} {bytes_per_socket:.0} B a socket; {before_mib:.1} MiB without any")?;
        }
        writeln!(f, "aim            at most {AIM_BYTES:.0} B: {}", crate::report::verdict(self))
    }
}
