//! How many sockets fit: what all push processes together have in memory, and the kernel for them, while they hold a crowd
//! of which every one hears the opening.
//!
//! Of the kernel's memory, half of the growth is the servers': the other end of each connection is on the same machine.

use std::fmt;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::Common;
use crate::generator::{Crowd, MemoryGrowth, MemoryReading, Sockets};
use crate::memory::{gib, wait_for_rest};
use crate::opening::{Pace, all_heard, require_memory};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Offer, Stage};
use crate::usage::approximate;

/// 300,000 sockets on 2 GiB.
const AIM_BYTES_PER_SOCKET: f64 = 2_147_483_648.0 / 300_000.0;
const QUICK_COUNT: u32 = 20_000;

/// Hold very many sockets at once, and say how much memory the servers need for it, the kernel's share included.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sockets
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    count: u32,
    #[command(flatten)]
    pace: Pace,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Held {
    count: u32,
    processes: usize,
    /// All told.
    gib: Spread,
    /// The processes' own, shared pages divided among those who share them.
    processes_gib: Spread,
    /// Of that, what the processes had before the first socket.
    processes_before_gib: Spread,
    /// The kernel's, for the servers' ends.
    kernel_gib: Spread,
    /// From the opening until the last had heard, divided by the sockets.
    opening_us_per_socket: Spread,
    connects_per_s: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Held> {
    let count = options.common.size(options.count, QUICK_COUNT);
    require_memory(count)?;
    let stage = Stage::set(&Needs::of(count)?)?;
    let mut runs = Vec::new();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: held, run {number}");
        if number > 1 {
            stage.restart_push()?;
        }
        runs.push(hold(&stage, &options.pace, count)?);
    }
    let of = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
    Ok(Held {
        count,
        processes: stage.push_processes().len(),
        gib: of(|run| run.processes_gib() + run.kernel_gib()),
        processes_gib: of(Run::processes_gib),
        processes_before_gib: of(|run| gib(run.memory.before.proportional_bytes)),
        kernel_gib: of(Run::kernel_gib),
        opening_us_per_socket: Spread::of(runs.iter().map(|run| run.opening_us / f64::from(count))),
        connects_per_s: of(|run| run.sockets.connect_rate_per_s),
    })
}

struct Run {
    sockets: Sockets,
    memory: MemoryGrowth,
    opening_us: f64,
}

impl Run {
    fn processes_gib(&self) -> f64 {
        gib(self.memory.after.proportional_bytes)
    }

    fn kernel_gib(&self) -> f64 {
        let kernel = |reading: MemoryReading| reading.slab_bytes + reading.tcp_bytes;
        gib(kernel(self.memory.after).saturating_sub(kernel(self.memory.before))) / 2.0
    }
}

fn hold(stage: &Stage, pace: &Pace, count: u32) -> anyhow::Result<Run> {
    let (urls, servers, tokens) = (stage.push_urls(), stage.push_processes(), stage.tokens());
    wait_for_rest(&servers)?;
    let sale = stage.plan_sale(&Offer::to_hear_of(pace.until_opening(count)))?;
    let crowd = Crowd {
        urls: &urls,
        pin: stage.is_pinned(),
        sales: &[sale],
        tokens: &tokens,
        count,
        rate: pace.rate(),
        hold: pace.hold(count),
        servers: &servers,
        ask_rate: None,
    };
    let sockets = crowd.hold()?;
    let opening_us = all_heard(&sockets, count)?.last_us();
    let memory = sockets.server_memory.clone().context("a push process has ended")?;
    Ok(Run { sockets, memory, opening_us })
}

impl Held {
    fn aim_gib(&self) -> f64 {
        AIM_BYTES_PER_SOCKET * f64::from(self.count) / approximate(1 << 30)
    }
}

impl Report for Held {
    fn reaches_aim(&self) -> bool {
        self.gib.median <= self.aim_gib()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, processes, gib, processes_gib, processes_before_gib, kernel_gib, .. } = self;
        writeln!(f, "{count} sockets held by {processes} push processes, all of which heard the opening")?;
        writeln!(f, "memory         {gib:.2} GiB")?;
        writeln!(
            f,
            "  processes    {processes_gib:.2} GiB; {processes_before_gib:.2} GiB before the first socket"
        )?;
        writeln!(f, "  kernel       {kernel_gib:.2} GiB")?;
        writeln!(f, "opening        {:.2} us a socket", self.opening_us_per_socket)?;
        writeln!(f, "connected      {:.0} a second", self.connects_per_s)?;
        writeln!(f, "aim            at most {:.2} GiB: {}", self.aim_gib(), verdict(self))
    }
}
