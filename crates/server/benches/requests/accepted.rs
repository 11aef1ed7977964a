//! Requests of a sale that has enough for everybody, each another person's: how many a second are accepted, which is to
//! say answered after the broker has confirmed them, on two cores with the broker, Redis and the generator.
//!
//! First with nobody who decides, which is the bound of the accepting path, beside a peer that does as little as possible;
//! what was accepted is counted again in the queue. The same with ten sales at once, whose requests are in no
//! batch together, while the peer knows of one. Then with a consumer and its database on the same cores.

use std::slice;
use std::time::{Duration, Instant};

use anyhow::ensure;
use miaosha_testkit::services::{Node, Place};

use crate::generator::{Load, Pace};
use crate::machine::Machine;
use crate::peer::{self, Peer};
use crate::report::{Part, Report, Target};
use crate::spread::Series;
use crate::stage::{Loaded, Stage, base, named};
use crate::usage::{Process, approximate};
use crate::{AcceptedOptions, decisions, queue};

const CONNECTIONS: u32 = 512;
/// The most that a sale may have, and the most that may stand by.
const UNITS: u32 = 1_000_000;
const TARGET_PER_S: f64 = 100_000.0;
/// Of the peer.
const TARGET: f64 = 0.95;
/// At once; the target is for one.
const SALES: [u64; 2] = [1, 10];
/// People who come in a run.
const PEOPLE: u64 = 500_000;
/// With a consumer, whose database is slower than the broker.
const PEOPLE_DECIDED: u64 = 200_000;
const QUICK_PEOPLE: u64 = 10_000;
const DECIDED_WITHIN: Duration = Duration::from_mins(2);
const CLAIMS_INTERVAL: Duration = Duration::from_millis(20);

impl AcceptedOptions {
    fn people_or(&self, usual: u64) -> u64 {
        self.people.unwrap_or(if self.common.quick { QUICK_PEOPLE } else { usual })
    }
}

/// Measures both.
pub(crate) fn measure(options: &AcceptedOptions) -> anyhow::Result<Report> {
    let stage = Stage::set()?;
    let publisher = stage.start("publisher", Place::default())?;
    let mut parts = Vec::new();
    for sales in SALES {
        let mut part = measure_bound(&stage, &publisher, sales, options)?;
        if sales == 1 {
            part.targets = vec![
                Target::at_least("accepted/s", TARGET_PER_S, part.series[0].spread.median),
                Target::at_least("the ratio", TARGET, part.series[2].spread.median).or_before(),
            ];
        }
        parts.push(part);
    }
    let consumer = stage.start("consumer", Place::default())?;
    parts.push(measure_decided(&stage, &publisher, &consumer, options)?);
    Ok(Report { figure: "accepted", machine: Machine::here(), parts })
}

/// Nobody decides; publisher and peer in turn.
fn measure_bound(
    stage: &Stage,
    publisher: &Node,
    sales: u64,
    options: &AcceptedOptions,
) -> anyhow::Result<Part> {
    let people = options.people_or(PEOPLE);
    let uri = stage.services.addresses().rabbitmq;
    let peer = Peer::start(&uri)?;
    let processes = [named("publisher", publisher)?, peer.process()];
    let mut part = Part::of(format!(
        "{people} people a run, each once, {sales} sales, {CONNECTIONS} connections; no consumer"
    ));
    let [mut ours, mut theirs, mut ratios, mut our_cpu, mut their_cpu] = [const { Vec::new() }; 5];
    for run in 0..options.common.runs {
        let open = (0..sales).map(|_| open_sale(stage, publisher)).collect::<anyhow::Result<Vec<_>>>()?;
        let accepted = load(stage, &base(publisher), &open, people, &processes)?;
        // With those who found out that the sales are open.
        let kept = stage.wait_for(queue::take_people(&stage.queue(), &open, people + sales))?;
        ensure!(kept == people + sales, "{people} were accepted, and {kept} are in the queue");
        let by_peer = load(stage, &peer.base, &open, people, &processes)?;
        let kept = stage.wait_for(peer::take_people(&uri))?;
        ensure!(kept == people, "the peer accepted {people}, and {kept} are in its queue");

        part.note_others(accepted.usage.others.max(by_peer.usage.others));
        let (our_rate, their_rate) = (accepted.report.answers_per_s, by_peer.report.answers_per_s);
        eprintln!(
            "requests: accepted, {sales} sales, run {}: {our_rate:.0} and {their_rate:.0}\n{}",
            run + 1,
            accepted.usage
        );
        ours.push(our_rate);
        theirs.push(their_rate);
        ratios.push(our_rate / their_rate);
        our_cpu.push(approximate(people) / accepted.usage.cpu_s("publisher"));
        their_cpu.push(approximate(people) / by_peer.usage.cpu_s("peer"));
    }
    part.series = vec![
        Series::of("publisher", "accepted/s", ours),
        Series::of("bare hyper, same batches", "accepted/s", theirs),
        Series::of("ratio of the two", "", ratios),
        Series::of("publisher", "accepted/CPU-s", our_cpu),
        Series::of("bare hyper", "accepted/CPU-s", their_cpu),
    ];
    Ok(part)
}

/// Everybody gets a unit while they come.
fn measure_decided(
    stage: &Stage,
    publisher: &Node,
    consumer: &Node,
    options: &AcceptedOptions,
) -> anyhow::Result<Part> {
    let people = options.people_or(PEOPLE_DECIDED);
    let processes = [named("publisher", publisher)?, named("consumer", consumer)?];
    let mut part = Part::of(format!(
        "{people} people a run, each once, {CONNECTIONS} connections; a consumer decides meanwhile, and all get a unit"
    ));
    let [mut accepted, mut decided] = [const { Vec::new() }; 2];
    for run in 0..options.common.runs {
        let before = decisions::count(consumer)?;
        let sale = open_sale(stage, publisher)?;
        let began = Instant::now();
        let loaded = load(stage, &base(publisher), slice::from_ref(&sale), people, &processes)?;
        decisions::wait_for(consumer, before + people + 1, DECIDED_WITHIN)?;
        wait_for_claims(stage, &sale, people + 1)?;
        let took_s = began.elapsed().as_secs_f64();
        stage.require_claims(&sale, people + 1)?;

        part.note_others(loaded.usage.others);
        let (rate, decided_rate) = (loaded.report.answers_per_s, approximate(people) / took_s);
        eprintln!(
            "requests: decided meanwhile, run {}: {rate:.0} and {decided_rate:.0}\n{}",
            run + 1,
            loaded.usage
        );
        accepted.push(rate);
        decided.push(decided_rate);
    }
    part.series = vec![
        Series::of("publisher", "accepted/s", accepted),
        Series::of("from the first request to the last claim", "claims/s", decided),
    ];
    Ok(part)
}

fn open_sale(stage: &Stage, publisher: &Node) -> anyhow::Result<String> {
    let sale = stage.plan_sale(UNITS, UNITS)?;
    stage.ask_until(publisher, &sale, "queued")?;
    Ok(sale)
}

fn load(
    stage: &Stage,
    base: &str,
    sales: &[String],
    people: u64,
    processes: &[Process],
) -> anyhow::Result<Loaded> {
    let load = Load {
        base,
        sales,
        tokens: stage.people.tokens(people)?,
        connections: CONNECTIONS,
        pace: Pace::AsAnswered { requests: people },
        core: None,
        report: stage.directory().join("load.json"),
    };
    let loaded = stage.load(&load, processes)?;
    loaded.report.require_all("queued")?;
    Ok(loaded)
}

/// Waits for what repeated decisions may have hidden, which is nothing as a rule.
fn wait_for_claims(stage: &Stage, sale: &str, people: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + DECIDED_WITHIN;
    loop {
        let claims: u64 =
            stage.rows(&format!("SELECT next_seq - 1 FROM sales WHERE id = {sale}"))?.trim().parse()?;
        if claims >= people {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "only {claims} of {people} people have a claim");
        std::thread::sleep(CLAIMS_INTERVAL);
    }
}
