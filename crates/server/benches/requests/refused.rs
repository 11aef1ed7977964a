//! Requests of sales that are full, which is what nearly all of a crowd's requests are: how many of them the publisher
//! answers in a second of processor time, beside Nginx, which answers the same bytes with a fixed text.
//!
//! Of one sale and crowds of several sizes, and of many sales at once. Both on one core, in turn; the generator and all else on the other. Each request has its person's own token, whose
//! signature the publisher checks and Nginx does not.

use miaosha_testkit::services::{Node, Place};

use crate::generator::{Load, Pace};
use crate::machine::Machine;
use crate::report::{Part, Report, Target};
use crate::spread::Series;
use crate::stage::{self, Loaded, Stage, base, named};
use crate::usage::{Process, approximate, bind_to};
use crate::{MEASURED_CORE, OTHER_CORE, Options};

const CONNECTIONS: u32 = 64;
/// Units of all sales together, and as many places in standby.
const STOCK: u32 = 100;
/// Of Nginx.
const TARGET: f64 = 0.85;
/// Sales, people who are divided among them, and requests in a run; with fewer people than requests, in rounds.
const CROWDS: [(u32, u64, u64); 5] = [
    (1, 20_000, 400_000),
    (1, 100_000, 400_000),
    (1, 1_000_000, 1_000_000),
    (10, 100_000, 400_000),
    (100, 100_000, 400_000),
];
const QUICK_CROWDS: [(u32, u64, u64); 4] =
    [(1, 2_000, 20_000), (1, 20_000, 20_000), (10, 2_000, 20_000), (100, 2_000, 20_000)];

/// Measures all crowds.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    bind_to(OTHER_CORE)?;
    let stage = Stage::set()?;
    let consumer = stage.start("consumer", Place::default())?;
    let publisher = stage.start("publisher", Place::on(MEASURED_CORE))?;
    let nginx = stage::start_nginx(Place::on(MEASURED_CORE))?;

    let processes = [named("publisher", &publisher)?, named("nginx", &nginx)?, named("consumer", &consumer)?];
    let sides =
        [Side { name: "publisher", base: base(&publisher) }, Side { name: "nginx", base: base(&nginx) }];
    let crowds = if options.quick { &QUICK_CROWDS[..] } else { &CROWDS };
    let mut sales = Vec::new();
    let mut parts = Vec::new();
    for &(sales_len, people, requests) in crowds {
        if sales.len() != sales_len as usize {
            sales = full_sales(&stage, &publisher, sales_len)?;
        }
        let crowd = Crowd { stage: &stage, processes: &processes, sales: &sales, people, requests };
        parts.push(crowd.measure(&sides, options.runs)?);
    }
    Ok(Report { figure: "refused", machine: Machine::here(), parts })
}

/// So many sales, of which `publisher` knows that they are full.
fn full_sales(stage: &Stage, publisher: &Node, len: u32) -> anyhow::Result<Vec<String>> {
    let stock = STOCK / len;
    let sales: Vec<String> =
        (0..len).map(|_| stage.plan_sale(stock, stock)).collect::<anyhow::Result<_>>()?;
    sales.iter().try_for_each(|sale| stage.ask_until(publisher, sale, "sold_out"))?;
    Ok(sales)
}

/// Who answers.
struct Side {
    name: &'static str,
    base: String,
}

struct Crowd<'a> {
    stage: &'a Stage,
    processes: &'a [Process],
    sales: &'a [String],
    people: u64,
    requests: u64,
}

impl Crowd<'_> {
    fn measure(&self, sides: &[Side; 2], runs: u32) -> anyhow::Result<Part> {
        let Self { sales, people, requests, .. } = self;
        let mut part = Part::of(format!(
            "{people} people, {} sales, {requests} requests a run, {CONNECTIONS} connections, closed loop",
            sales.len()
        ));
        let [mut publisher, mut nginx, mut ratios, mut answers] = [const { Vec::new() }; 4];
        for run in 0..runs {
            let [ours, theirs] = [self.run(&sides[0], &mut part)?, self.run(&sides[1], &mut part)?];
            eprintln!(
                "requests: refused, {people} people, {} sales, run {}: {:.0} and {:.0}",
                sales.len(),
                run + 1,
                ours.0,
                theirs.0
            );
            publisher.push(ours.0);
            answers.push(ours.1);
            nginx.push(theirs.0);
            ratios.push(ours.0 / theirs.0);
        }
        let ratio = Series::of("ratio of the two", "", ratios);
        part.targets.push(Target::at_least("the ratio is", TARGET, ratio.spread.median));
        part.series = vec![
            Series::of("publisher", "requests/CPU-s", publisher),
            Series::of("nginx, return 200", "requests/CPU-s", nginx),
            ratio,
            Series::of("publisher, as fast as asked", "requests/s", answers),
        ];
        Ok(part)
    }

    /// Requests in a second of processor time, and in a second.
    fn run(&self, side: &Side, part: &mut Part) -> anyhow::Result<(f64, f64)> {
        let load = Load {
            base: &side.base,
            sales: self.sales,
            tokens: self.stage.people.tokens(self.people)?,
            connections: CONNECTIONS,
            pace: Pace::AsAnswered { requests: self.requests },
            core: None,
            report: self.stage.directory().join("load.json"),
        };
        let Loaded { report, usage } = self.stage.load(&load, self.processes)?;
        report.require_all("sold_out")?;
        part.note_others(usage.others);
        Ok((approximate(self.requests) / usage.cpu_s(side.name), report.answers_per_s))
    }
}
