//! A publisher that has little: half a gibibyte and one core, and a crowd that goes on for five minutes at a rate that does
//! not depend on it. What its people feel: how many get no answer, and how long the others wait. Nginx, which answers the same
//! requests with a fixed text, then has the same core and the same crowd, for at most a minute of each run.
//!
//! The other core has the generator, the services and the consumer. The sale has units for a twentieth of the first
//! second's requests and as many places in standby, so that it is as good as sold out after that second;
//! whoever comes again in a later round has a claim, or none.

use std::slice;
use std::time::Duration;

use miaosha_testkit::services::Place;

use crate::control_group::{ControlGroup, Limits};
use crate::generator::{Load, LoadReport, Pace};
use crate::machine::Machine;
use crate::report::{Part, Report, Target};
use crate::spread::{Series, Spread};
use crate::stage::{self, Loaded, Stage, base, named};
use crate::usage::{Usage, approximate, bind_to};
use crate::{MEASURED_CORE, OTHER_CORE, Options, SmallOptions};

const MEMORY_BYTES: u64 = 512 << 20;
const CONNECTIONS: u32 = 256;
const PEOPLE: u64 = 1_000_000;
const QUICK_PEOPLE: u64 = 20_000;
const QUICK_SECONDS: u32 = 3;
const REQUESTS_PER_UNIT: u32 = 20;
/// Nothing of it changes with time.
const PEER_SECONDS_MAX: u32 = 60;

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
    let nginx = stage::start_nginx(Place::on(MEASURED_CORE))?;
    let processes = [named("publisher", &publisher)?, named("consumer", &consumer)?, named("nginx", &nginx)?];

    let [mut ours, mut peers] = [Felt::default(), Felt::default()];
    for _ in 0..runs {
        let units = rate / REQUESTS_PER_UNIT;
        let sale = stage.plan_sale(units, units)?;
        stage.ask_until(&publisher, &sale, "queued")?;
        let peer_seconds = seconds.min(PEER_SECONDS_MAX);
        for (name, base, seconds, felt) in [
            ("publisher", base(&publisher), seconds, &mut ours),
            ("nginx", base(&nginx), peer_seconds, &mut peers),
        ] {
            let load = Load {
                base: &base,
                sales: slice::from_ref(&sale),
                tokens: stage.people.tokens(people)?,
                connections: CONNECTIONS,
                pace: Pace::ByTheClock { rate, span: Duration::from_secs(seconds.into()) },
                core: None,
                report: stage.directory().join("load.json"),
            };
            let Loaded { report, usage } = stage.load(&load, &processes)?;
            part.note_others(usage.others);
            eprintln!("requests: small, {name}, {:?}\n{usage}", report.by_word);
            felt.note(&report, &usage, name);
        }
    }
    let memory = Series::of("publisher, most memory", "MiB", vec![approximate(group.memory_peak()? >> 20)]);
    part.targets = vec![
        Target::below("failures in %", FAILURES_MAX_PERCENT, Spread::of(ours.failures.clone()).median),
        Target::below("p50 in ms", P50_MAX_MS, Spread::of(ours.p50.clone()).median),
    ];
    part.series = ours.series("publisher");
    part.series.push(memory);
    part.series.extend(peers.series("nginx, return 200"));
    Ok(Report { figure: "small", machine: Machine::here(), parts: vec![part] })
}

/// What people felt of a server, by the run.
#[derive(Default)]
struct Felt {
    answers: Vec<f64>,
    /// Not answered, or with a 5xx, in percent.
    failures: Vec<f64>,
    /// Milliseconds, from when a request was due to its answer.
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: Vec<f64>,
    /// Of its core, in percent.
    cpu: Vec<f64>,
}

impl Felt {
    fn note(&mut self, report: &LoadReport, usage: &Usage, process: &str) {
        let requests = &report.requests;
        let due = requests.sent + requests.not_sent;
        let unanswered = due - requests.answered;
        let server_errors: u64 = report.by_http_status.range(500..).map(|(_, count)| count).sum();
        self.answers.push(report.answers_per_s);
        self.failures.push(100.0 * approximate(unanswered + server_errors) / approximate(due));
        self.p50.push(approximate(report.latency.p50_us) / 1e3);
        self.p99.push(approximate(report.latency.p99_us) / 1e3);
        self.max.push(approximate(report.latency.max_us) / 1e3);
        self.cpu.push(usage.processes[process]);
    }

    fn series(self, server: &str) -> Vec<Series> {
        let of = |what: &str, unit, runs| Series::of(format!("{server}, {what}"), unit, runs);
        vec![
            of("answered", "requests/s", self.answers),
            of("failed", "%", self.failures),
            of("p50", "ms", self.p50),
            of("p99", "ms", self.p99),
            of("longest", "ms", self.max),
            of("of its core", "%", self.cpu),
        ]
    }
}
