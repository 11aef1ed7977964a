//! How push processes scale: upwards, one of them with a core and with two, of which the second is also the crowd's; and
//! outwards, one to eight of them, each held to a tenth of a core, so that all of them together are less than the core that they
//! run on. The crowd and all else are on the other core.
//!
//! The same crowd is spread over however many there are. What a core needs to tell a socket was seen to grow with the number of
//! sockets that it tells, whether they belong to one process or to eight (docs/BENCHMARKS.md has the figures); with a crowd that
//! grows with the processes, this would hide how they add up.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use miaosha_testkit::services::Place;
use serde::Serialize;

use crate::Common;
use crate::control_group::{ControlGroup, Limits};
use crate::generator::{Crowd, Sockets};
use crate::opening::{Pace, all_heard};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Offer, Stage};
use crate::usage::bind_to;

const MEASURED_CORE: u16 = 0;
const OTHER_CORE: u16 = 1;
const INSTANCES: [u16; 4] = [1, 2, 4, 8];
/// So many that telling them takes eight processes many of a group's accounting periods, and that one has room for them.
const SOCKETS: u32 = 16_000;
const QUICK_SOCKETS: u32 = 500;
/// A tenth of a core was seen to take in at least so many.
const CONNECT_RATE_OF_EACH: u32 = 1_000;
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// So few that a push process has room for all those on their way, which come as fast as they can.
const SOCKETS_OF_CORES: u32 = 15_000;
/// More than two cores were seen to take in, with a crowd on one of them.
const CONNECT_RATE_OF_CORES: u32 = 30_000;
/// Of as many times one process' figure as there are processes.
const AIM_SHARE: f64 = 0.8;

/// Measure how fast a push process takes sockets in and tells them the opening with one core and with two, and how many times
/// as fast several tell it as one does.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
    /// So many sockets on each of the processes, instead of the same crowd spread over however many there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=18_500))]
    each: Option<u32>,
    /// What each process may use, in thousandths of a core
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    share: u32,
}

/// A line for each number of cores, and one for each number of processes.
#[derive(Debug, Serialize)]
pub(crate) struct Scaling {
    sockets_of_cores: u32,
    cores: Vec<CoresRow>,
    core_thousandths: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct CoresRow {
    cores: u16,
    /// Sockets that signed in and watched the sale, from the first one's start until the last had.
    taken_in_per_s: Spread,
    /// Sockets that heard the opening, over the time from the opening until the last had.
    told_per_s: Spread,
}

#[derive(Debug, Serialize)]
struct Row {
    processes: u16,
    /// Of all of them together.
    sockets: u32,
    /// As of the cores.
    told_per_s: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Scaling> {
    bind_to(OTHER_CORE)?;
    let sockets_of_cores = options.common.size(SOCKETS_OF_CORES, QUICK_SOCKETS);
    let cores = [1, 2].map(|cores| measure_cores(cores, sockets_of_cores, options.common.runs()));
    let cores = cores.into_iter().collect::<anyhow::Result<_>>()?;
    let rows = INSTANCES.map(|processes| {
        let sockets = options.each.map(|each| each * u32::from(processes));
        let sockets = sockets.unwrap_or(options.common.size(SOCKETS, QUICK_SOCKETS));
        measure(processes, sockets, options)
    });
    let rows = rows.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(Scaling { sockets_of_cores, cores, core_thousandths: options.share, rows })
}

fn measure_cores(cores: u16, people: u32, runs: u32) -> anyhow::Result<CoresRow> {
    let push_place =
        Place { cores: [MEASURED_CORE, OTHER_CORE][..cores.into()].to_vec(), ..Place::default() };
    let stage = Stage::set(&Needs { push: 1, push_threads: Some(cores), people, push_place })?;
    let pace = Pace::of(CONNECT_RATE_OF_CORES);
    let (mut taken_in_per_s, mut told_per_s) = (Vec::new(), Vec::new());
    for number in 1..=runs {
        eprintln!("crowd: scaling, one push process with {cores} of the cores, run {number}");
        let sockets = hear_opening(&stage, &pace, people)?;
        taken_in_per_s.push(sockets.connect_rate_per_s);
        told_per_s.push(told(&sockets, people)?);
    }
    Ok(CoresRow { cores, taken_in_per_s: Spread::of(taken_in_per_s), told_per_s: Spread::of(told_per_s) })
}

fn measure(processes: u16, people: u32, options: &Options) -> anyhow::Result<Row> {
    let limits = Limits { core_thousandths: Some(options.share), ..Limits::default() };
    let groups = (0..processes).map(|number| ControlGroup::new(&format!("{number}"), limits));
    let groups = groups.collect::<anyhow::Result<Vec<_>>>()?;
    let entrances = groups.iter().map(ControlGroup::entrances).collect();
    let push_place = Place { groups: entrances, ..Place::on(MEASURED_CORE) };
    let stage = Stage::set(&Needs { push: processes, people, push_place, ..Needs::default() })?;
    let pace = Pace::of(CONNECT_RATE_OF_EACH * u32::from(processes));
    let mut told_per_s = Vec::new();
    for number in 1..=options.common.runs() {
        eprintln!("crowd: scaling, {processes} push processes, run {number}");
        told_per_s.push(told(&hear_opening(&stage, &pace, people)?, people)?);
    }
    // Its processes end before their groups do.
    drop(stage);
    Ok(Row { processes, sockets: people, told_per_s: Spread::of(told_per_s) })
}

/// The crowd connects, and hears the opening of a sale.
fn hear_opening(stage: &Stage, pace: &Pace, people: u32) -> anyhow::Result<Sockets> {
    let sale = stage.plan_sale(&Offer::to_hear_of(pace.until_opening(people)))?;
    // They read of it within a second, but not when so small a share of a core is busy with newcomers.
    sleep(KNOWN_AFTER);
    let crowd = Crowd {
        urls: &stage.push_urls(),
        pin: false,
        sales: &[sale],
        tokens: &stage.tokens(),
        count: people,
        rate: pace.rate(),
        hold: pace.hold(people),
        servers: &[],
        ask_rate: None,
    };
    crowd.hold()
}

/// Sockets told a second.
fn told(sockets: &Sockets, people: u32) -> anyhow::Result<f64> {
    Ok(f64::from(people) / all_heard(sockets, people)?.last_us() * 1e6)
}

impl Scaling {
    /// How many times as many as one process tells.
    fn times(&self, row: &Row) -> f64 {
        row.told_per_s.median / self.rows.first().map_or(f64::NAN, |one| one.told_per_s.median)
    }
}

impl Report for Scaling {
    fn reaches_aim(&self) -> bool {
        self.rows.iter().all(|row| self.times(row) >= AIM_SHARE * f64::from(row.processes))
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sockets_of_cores, cores, core_thousandths, rows } = self;
        writeln!(f, "one push process, {sockets_of_cores} sockets, the crowd on the second core")?;
        for CoresRow { cores, taken_in_per_s, told_per_s } in cores {
            writeln!(
                f,
                "{cores} of the cores     took in {taken_in_per_s:.0} a second, told {told_per_s:.0} a second"
            )?;
        }
        writeln!(f, "push processes of {core_thousandths} thousandths of a core")?;
        for row in rows {
            let Row { processes, sockets, told_per_s } = row;
            writeln!(
                f,
                "{processes} processes    {sockets} sockets, told {told_per_s:.0} a second, {:.1} x one",
                self.times(row)
            )?;
        }
        writeln!(f, "aim            each told {AIM_SHARE} x as many as that many alone: {}", verdict(self))
    }
}
