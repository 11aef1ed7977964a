//! Requests of a sale that is full, which is what nearly all of a crowd's requests are: how many of them the publisher
//! answers in a second of processor time, beside Nginx, which answers the same bytes with a fixed text.
//!
//! Both on one core, in turn; the generator and all else on the other. Each request has its person's own token, whose
//! signature the publisher checks and Nginx does not.

use miaosha_testkit::services::{Nginx, Place};

use crate::generator::{Load, Pace};
use crate::machine::Machine;
use crate::report::{Part, Report, Target};
use crate::spread::Series;
use crate::stage::{Loaded, Stage, base, named};
use crate::usage::{Process, approximate, bind_to};
use crate::{MEASURED_CORE, OTHER_CORE, Options};

const CONNECTIONS: u32 = 64;
const STOCK: u32 = 100;
/// Of Nginx.
const TARGET: f64 = 0.85;
/// People who come, and requests in a run; with fewer people than requests, in rounds.
const CROWDS: [(u64, u64); 3] = [(20_000, 400_000), (100_000, 400_000), (1_000_000, 1_000_000)];
const QUICK_CROWDS: [(u64, u64); 3] = [(2_000, 20_000), (10_000, 20_000), (20_000, 20_000)];

/// Measures all crowds.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    bind_to(OTHER_CORE)?;
    let stage = Stage::set()?;
    let consumer = stage.start("consumer", Place::default())?;
    let publisher = stage.start("publisher", Place::on(MEASURED_CORE))?;
    let nginx = Nginx::start_answering(r#"{"status":"sold_out"}"#, Place::on(MEASURED_CORE))?;
    let sale = stage.plan_sale(STOCK, STOCK)?;
    stage.ask_until(&publisher, &sale, "sold_out")?;

    let processes = [named("publisher", &publisher)?, named("nginx", &nginx)?, named("consumer", &consumer)?];
    let sides =
        [Side { name: "publisher", base: base(&publisher) }, Side { name: "nginx", base: base(&nginx) }];
    let crowds = if options.quick { QUICK_CROWDS } else { CROWDS };
    let parts = crowds.iter().map(|(people, requests)| {
        let crowd =
            Crowd { stage: &stage, processes: &processes, sale: &sale, people: *people, requests: *requests };
        crowd.measure(&sides, options.runs)
    });
    let parts = parts.collect::<anyhow::Result<_>>()?;
    Ok(Report { figure: "refused", machine: Machine::here(), parts })
}

/// Who answers.
struct Side {
    name: &'static str,
    base: String,
}

struct Crowd<'a> {
    stage: &'a Stage,
    processes: &'a [Process],
    sale: &'a str,
    people: u64,
    requests: u64,
}

impl Crowd<'_> {
    fn measure(&self, sides: &[Side; 2], runs: u32) -> anyhow::Result<Part> {
        let Self { people, requests, .. } = self;
        let mut part = Part::of(format!(
            "{people} people, {requests} requests a run, {CONNECTIONS} connections, closed loop"
        ));
        let [mut publisher, mut nginx, mut ratios, mut answers] = [const { Vec::new() }; 4];
        for run in 0..runs {
            let [ours, theirs] = [self.run(&sides[0], &mut part)?, self.run(&sides[1], &mut part)?];
            eprintln!(
                "requests: refused, {people} people, run {}: {:.0} and {:.0}",
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
            sale: self.sale,
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
