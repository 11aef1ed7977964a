//! Whether a server that runs out of memory loses anybody: push processes in a memory control group, and more people than
//! it can hold. Those beyond are to be refused with 503, and whoever was taken in is to hear the opening.

use std::fmt;
use std::thread::available_parallelism;

use anyhow::{Context as _, ensure};
use clap::Args;
use miaosha_testkit::services::Place;
use serde::Serialize;

use crate::Common;
use crate::control_group::{ControlGroup, Limits};
use crate::generator::{Counts, Crowd};
use crate::memory::gib;
use crate::opening::{Pace, require_memory};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Offer, SOCKETS_PER_PROCESS, Stage};
use crate::usage::approximate;

/// Enough push processes to use a group up: what its memory holds is a little less than what their files allow.
const PROCESSES_PER_GIB: f64 = 21.0;
const HEAD: &str =
    "    MiB processes    asked     held  refused   failed     lost    heard  killed  used, MiB";
const QUICK_MIB: u32 = 128;

/// Fill memory control groups of several sizes with sockets, and see that nobody is lost at the limit.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Sizes of groups, in MiB
    #[arg(long, value_name = "MIB", value_delimiter = ',', default_values_t = [512, 1024, 2048, 4096], value_parser = clap::value_parser!(u32).range(64..=65_536))]
    sizes: Vec<u32>,
    /// Cores of the push processes, which the crowd and all else use as well; without it all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    cores: Option<u16>,
    #[command(flatten)]
    pace: Pace,
}

/// What all runs gave.
#[derive(Debug, Serialize)]
pub(crate) struct Filled {
    /// Of the push processes; all of the machine's without it.
    cores: Option<u16>,
    sizes: Vec<Size>,
    /// One for each size and run.
    rows: Vec<Row>,
}

/// What fits into groups of one size.
#[derive(Debug, Serialize)]
struct Size {
    limit_mib: u32,
    held: Spread,
    refused: Spread,
    /// Of the limit.
    bytes_per_socket: Spread,
}

#[derive(Debug, Serialize)]
struct Row {
    limit_mib: u32,
    processes: u16,
    /// Who came.
    asked: u32,
    held: u64,
    /// With 503.
    refused: u64,
    /// Otherwise.
    failed: u64,
    /// Taken in, and lost later.
    lost: u64,
    heard_opening: u64,
    used_at_most_gib: f64,
    /// Processes killed for their memory.
    killed: u64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Filled> {
    let there = available_parallelism()?.get();
    ensure!(options.cores.is_none_or(|cores| usize::from(cores) <= there), "there are only {there} cores");
    let sizes = if options.common.quick { &[QUICK_MIB][..] } else { &options.sizes };
    let mut rows = Vec::new();
    for _ in 0..options.common.runs() {
        for limit_mib in sizes {
            eprintln!("crowd: limits, {limit_mib} MiB");
            let row = fill(*limit_mib, options.cores, &options.pace)?;
            // A run takes long, and the next may fail.
            eprint!("{HEAD}\n{row}");
            rows.push(row);
        }
    }
    let sizes = sizes.iter().map(|limit_mib| Size::of(*limit_mib, &rows)).collect();
    Ok(Filled { cores: options.cores, sizes, rows })
}

impl Size {
    fn of(limit_mib: u32, rows: &[Row]) -> Self {
        let of = |figure: fn(&Row) -> f64| {
            Spread::of(rows.iter().filter(|row| row.limit_mib == limit_mib).map(figure))
        };
        Self {
            limit_mib,
            held: of(|row| approximate(row.held)),
            refused: of(|row| approximate(row.refused)),
            bytes_per_socket: of(|row| f64::from(row.limit_mib) * 1_048_576.0 / approximate(row.held.max(1))),
        }
    }
}

fn fill(limit_mib: u32, cores: Option<u16>, pace: &Pace) -> anyhow::Result<Row> {
    let limits = Limits { memory_bytes: Some(u64::from(limit_mib) << 20), ..Limits::default() };
    let group = ControlGroup::new("crowd", limits)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at the most")]
    let processes = (f64::from(limit_mib) / 1024.0 * PROCESSES_PER_GIB).ceil() as u16;
    let asked = u32::from(processes) * SOCKETS_PER_PROCESS;
    require_memory(asked)?;
    let cores = cores.map_or_else(Vec::new, |count| (0..count).collect());
    let push_place = Place { cores, groups: vec![group.entrances()], ..Place::default() };
    let stage = Stage::set(&Needs { push: processes, people: asked, push_place, ..Needs::default() })?;
    let (urls, tokens) = (stage.push_urls(), stage.tokens());
    let sale = stage.plan_sale(&Offer::to_hear_of(pace.until_opening(asked)))?;
    let crowd = Crowd {
        urls: &urls,
        pin: false,
        sales: &[sale],
        tokens: &tokens,
        count: asked,
        rate: pace.rate(),
        hold: pace.hold(asked),
        servers: &[],
        ask_rate: None,
    };
    let report = crowd.hold()?;
    let opening = report.openings().context("nobody heard the opening")?;
    let Counts { connected, refused, failed, lost } = &report.counts;
    let full = refused.get("503").copied().unwrap_or_default();
    let lost = lost.values().sum::<u64>();
    let row = Row {
        limit_mib,
        processes,
        asked,
        held: connected - lost,
        refused: full,
        failed: refused.values().sum::<u64>() - full + failed.values().sum::<u64>(),
        lost,
        heard_opening: opening.heard,
        used_at_most_gib: gib(group.memory_peak()?),
        killed: group.killed()?,
    };
    // Its processes end before the group does.
    drop(stage);
    Ok(row)
}

impl Report for Filled {
    fn reaches_aim(&self) -> bool {
        self.rows.iter().all(|row| {
            row.refused > 0
                && row.failed == 0
                && row.lost == 0
                && row.killed == 0
                && row.heard_opening == row.held
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit_mib, processes, asked, held, refused, failed, lost, heard_opening, .. } = self;
        let used_mib = self.used_at_most_gib * 1_024.0;
        writeln!(
            f,
            "{limit_mib:>7} {processes:>9} {asked:>8} {held:>8} {refused:>8} {failed:>8} {lost:>8} {heard_opening:>8} \
             {:>7} {used_mib:>10.0}",
            self.killed
        )
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cores) = self.cores {
            writeln!(f, "cores of the push processes: {cores}")?;
        }
        writeln!(f, "{HEAD}")?;
        self.rows.iter().try_for_each(|row| write!(f, "{row}"))?;
        for Size { limit_mib, held, refused, bytes_per_socket } in &self.sizes {
            writeln!(
                f,
                "{limit_mib} MiB: holds {held:.0}, refuses {refused:.0}; {bytes_per_socket:.0} B for each"
            )?;
        }
        writeln!(
            f,
            "aim            who is beyond the limit is refused with 503, nobody is lost: {}",
            verdict(self)
        )
    }
}
