//! A publisher that has little: half a gibibyte and one core, and a crowd that goes on for five minutes at a rate that does
//! not depend on it. What its people feel: how many get no answer, and how long the others wait.
//!
//! The other core has the generator, the services and the consumer. The sale has units for a twentieth of the first
//! second's requests and as many places in standby, so that it is as good as sold out after that second;
//! whoever comes again in a later round has a claim, or none.

use std::time::Duration;

use miaosha_testkit::services::Place;

use crate::control_group::{ControlGroup, Limits};
use crate::generator::{Load, Pace};
use crate::machine::Machine;
use crate::report::{Part, Report, Target};
use crate::spread::Series;
use crate::stage::{Loaded, Stage, base, named};
use crate::usage::{approximate, bind_to};
use crate::{MEASURED_CORE, OTHER_CORE, Options, SmallOptions};

const MEMORY_BYTES: u64 = 512 << 20;
const CONNECTIONS: u32 = 256;
const PEOPLE: u64 = 1_000_000;
const QUICK_PEOPLE: u64 = 20_000;
const QUICK_SECONDS: u32 = 3;
const REQUESTS_PER_UNIT: u32 = 20;

const FAILURES_MAX_PERCENT: f64 = 1.0;
const P50_MAX_MS: f64 = 1_000.0;

/// Measures it; an error where control groups cannot be made.
pub(crate) fn measure(options: &SmallOptions) -> anyhow::Result<Report> {
    let SmallOptions { common: Options { runs, quick, .. }, rate, seconds } = *options;
    let seconds = if quick { QUICK_SECONDS } else { seconds };
    let people = if quick { QUICK_PEOPLE } else { PEOPLE };
    let mut part = Part::of(format!(
        "one core, 512 MiB: {rate} requests/s for {seconds} s, {people} people in rounds, {CONNECTIONS} connections"
    ));
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), ..Limits::default() };
    // Made before the publisher, so that it is removed after it.
    let group = ControlGroup::new("small", limits)?;
    bind_to(OTHER_CORE)?;
    let stage = Stage::set()?;
    let consumer = stage.start("consumer", Place::default())?;
    let place = Place { groups: vec![group.entrances()], ..Place::on(MEASURED_CORE) };
    let publisher = stage.start("publisher", place)?;
    let processes = [named("publisher", &publisher)?, named("consumer", &consumer)?];

    let [mut answers, mut failures, mut p50, mut p99, mut max, mut cpu] = [const { Vec::new() }; 6];
    for _ in 0..runs {
        let units = rate / REQUESTS_PER_UNIT;
        let sale = stage.plan_sale(units, units)?;
        stage.ask_until(&publisher, &sale, "queued")?;
        let load = Load {
            base: &base(&publisher),
            sale: &sale,
            tokens: stage.people.tokens(people)?,
            connections: CONNECTIONS,
            pace: Pace::ByTheClock { rate, span: Duration::from_secs(seconds.into()) },
            core: None,
            report: stage.directory().join("load.json"),
        };
        let Loaded { report, usage } = stage.load(&load, &processes)?;
        part.note_others(usage.others);
        eprintln!("requests: small, {:?}\n{usage}", report.by_word);
        let requests = &report.requests;
        let due = requests.sent + requests.not_sent;
        let unanswered = due - requests.answered;
        let server_errors: u64 = report.by_http_status.range(500..).map(|(_, count)| count).sum();
        answers.push(report.answers_per_s);
        failures.push(100.0 * approximate(unanswered + server_errors) / approximate(due));
        p50.push(approximate(report.latency.p50_us) / 1e3);
        p99.push(approximate(report.latency.p99_us) / 1e3);
        max.push(approximate(report.latency.max_us) / 1e3);
        cpu.push(usage.processes["publisher"]);
    }
    part.series = vec![
        Series::of("answered", "requests/s", answers),
        Series::of("not answered, or with a 5xx", "%", failures),
        Series::of("from due to answered, p50", "ms", p50),
        Series::of("p99", "ms", p99),
        Series::of("longest", "ms", max),
        Series::of("publisher", "% of its core", cpu),
        Series::of("publisher, most memory", "MiB", vec![approximate(group.memory_peak()? >> 20)]),
    ];
    part.targets = vec![
        Target::below("failures in %", FAILURES_MAX_PERCENT, part.series[1].spread.median),
        Target::below("p50 in ms", P50_MAX_MS, part.series[2].spread.median),
    ];
    Ok(Report { figure: "small", machine: Machine::here(), parts: vec![part] })
}
