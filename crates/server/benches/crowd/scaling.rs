//! How push processes scale outwards: one to eight of them, each held to a tenth of a core, so that all of them together
//! are less than the core that they run on. The crowd, which grows with them, and all else are on the other core.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use miaosha_testkit::services::Place;
use serde::Serialize;

use crate::Common;
use crate::control_group::{ControlGroup, Limits};
use crate::generator::Crowd;
use crate::opening::{Pace, all_heard};
use crate::report::{Report, verdict};
use crate::spread::Spread;
use crate::stage::{Needs, Stage};
use crate::usage::bind_to;

const MEASURED_CORE: u16 = 0;
const OTHER_CORE: u16 = 1;
const INSTANCES: [u16; 4] = [1, 2, 4, 8];
const CORE_THOUSANDTHS: u32 = 100;
const SOCKETS_OF_EACH: u32 = 2_500;
const QUICK_SOCKETS_OF_EACH: u32 = 500;
/// A tenth of a core was seen to take in at least so many.
const CONNECT_RATE_OF_EACH: u32 = 1_000;
const KNOWN_AFTER: Duration = Duration::from_secs(2);
/// Of as many times one process' figure as there are processes.
const AIM_SHARE: f64 = 0.8;

/// Measure how many times as fast several push processes tell their sockets the opening as one does.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// A line for each number of processes.
#[derive(Debug, Serialize)]
pub(crate) struct Scaling {
    sockets_of_each: u32,
    core_thousandths: u32,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    processes: u16,
    /// Sockets that heard the opening, over the time from the opening until the last had.
    told_per_s: Spread,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Scaling> {
    bind_to(OTHER_CORE)?;
    let sockets_of_each = options.common.size(SOCKETS_OF_EACH, QUICK_SOCKETS_OF_EACH);
    let rows = INSTANCES.map(|processes| measure(processes, sockets_of_each, options.common.runs()));
    let rows = rows.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(Scaling { sockets_of_each, core_thousandths: CORE_THOUSANDTHS, rows })
}

fn measure(processes: u16, sockets_of_each: u32, runs: u32) -> anyhow::Result<Row> {
    let limits = Limits { core_thousandths: Some(CORE_THOUSANDTHS), ..Limits::default() };
    let groups = (0..processes).map(|number| ControlGroup::new(&format!("{number}"), limits));
    let groups = groups.collect::<anyhow::Result<Vec<_>>>()?;
    let entrances = groups.iter().map(ControlGroup::entrances).collect();
    let push_place = Place { groups: entrances, ..Place::on(MEASURED_CORE) };
    let people = sockets_of_each * u32::from(processes);
    let stage = Stage::set(&Needs { push: processes, people, push_place })?;
    let (urls, tokens) = (stage.push_urls(), stage.tokens());
    let pace = Pace::of(CONNECT_RATE_OF_EACH * u32::from(processes));
    let mut told_per_s = Vec::new();
    for number in 1..=runs {
        eprintln!("crowd: scaling, {processes} push processes, run {number}");
        let sale = stage.plan_sale(1, 1, pace.until_opening(people), Duration::from_mins(10))?;
        // They read of it within a second, but not when so small a share of a core is busy with newcomers.
        sleep(KNOWN_AFTER);
        let crowd = Crowd {
            urls: &urls,
            pin: false,
            sale: &sale,
            tokens: &tokens,
            count: people,
            rate: pace.rate(),
            hold: pace.hold(people),
            servers: &[],
            ask_rate: None,
        };
        let sockets = crowd.hold()?;
        told_per_s.push(f64::from(people) / all_heard(&sockets, people)?.opening_us() * 1e6);
    }
    // Its processes end before their groups do.
    drop(stage);
    Ok(Row { processes, told_per_s: Spread::of(told_per_s) })
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
        let Self { sockets_of_each, core_thousandths, rows } = self;
        writeln!(
            f,
            "push processes of {core_thousandths} thousandths of a core, {sockets_of_each} sockets on each"
        )?;
        for row in rows {
            let Row { processes, told_per_s } = row;
            writeln!(
                f,
                "{processes} processes    told {told_per_s:.0} a second, {:.1} x one",
                self.times(row)
            )?;
        }
        writeln!(f, "aim            each told {AIM_SHARE} x as many as that many alone: {}", verdict(self))
    }
}
