//! People decided by one consumer: how many for each second of its processor time, and how many a second with the gate and
//! the database on the same two cores.
//!
//! The queue is filled while the consumer stands still, so that it decides as fast as it can and the clock stops with the
//! last decision. Two cases: a crowd after a few units, whom the gate refuses but for a few, and one in which everybody
//! gets a unit, so that each person is a claim and an event in the database. The second is measured with two replicas on the
//! same cores, which write everything once more, and without any.

use std::time::{Duration, Instant};

use miaosha_testkit::services::{Node, Place, Service as _};

use crate::machine::Machine;
use crate::report::{Part, Report, Target};
use crate::spread::Series;
use crate::stage::{Stage, named};
use crate::usage::{Reading, approximate};
use crate::{Options, decisions, queue};

/// About what one publisher collects in its two milliseconds when a crowd comes.
const BATCH_LEN: u64 = 256;
const BATCH_LEN_MAX: u64 = 1_024;
/// Sales whose claims are recounted after a run, if it had more; each takes a third of a second.
const RECOUNTED_MAX: usize = 10;
const DECIDED_WITHIN: Duration = Duration::from_mins(3);

const REFUSED_PER_CPU_S: f64 = 200_000.0;
const CLAIMS_PER_S: f64 = 40_000.0;

/// A crowd, and what there is for it.
struct Crowd {
    people: u64,
    sales: usize,
    batch_len: u64,
    /// In each sale, and as many may stand by.
    stock: u32,
}

/// Measures both cases, and how they change with batches and sales.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set()?;
    let consumer = stage.start("consumer", Place::default())?;
    // An eighth is still divided by every number of sales and batches below.
    let size = |people: u64| if options.quick { people / 8 } else { people };
    let refused = |sales, batch_len| Crowd { people: size(1_638_400), sales, batch_len, stock: 50 };
    let winning = |sales, batch_len| Crowd { people: size(204_800), sales, batch_len, stock: 1_000_000 };
    let mut parts = Vec::new();
    for (sales, batch_len) in [(1, BATCH_LEN), (1, BATCH_LEN_MAX), (10, BATCH_LEN), (100, BATCH_LEN)] {
        let mut part = refused(sales, batch_len).measure(&stage, &consumer, options)?;
        let target = Target::at_least("decisions/CPU-s", REFUSED_PER_CPU_S, part.series[0].spread.median);
        part.targets.push(target);
        parts.push(part);
    }
    for replicas in ["two replicas", "no replica"] {
        if replicas == "no replica" {
            for replica in &stage.services.mysql.replicas {
                replica.stop();
            }
        }
        for (sales, batch_len) in [(1, BATCH_LEN), (1, BATCH_LEN_MAX), (10, BATCH_LEN), (100, BATCH_LEN)] {
            let mut part = winning(sales, batch_len).measure(&stage, &consumer, options)?;
            part.what = format!("{}; {replicas}", part.what);
            part.targets.push(Target::at_least("claims/s", CLAIMS_PER_S, part.series[1].spread.median));
            parts.push(part);
        }
    }
    Ok(Report { figure: "decided", machine: Machine::here(), parts })
}

impl Crowd {
    fn measure(&self, stage: &Stage, consumer: &Node, options: &Options) -> anyhow::Result<Part> {
        let Self { people, sales, batch_len, stock } = self;
        let outcome = if u64::from(*stock) < *people { "nearly all refused" } else { "all win" };
        let mut part =
            Part::of(format!("{outcome}: {people} people a run, {sales} sales, batches of {batch_len}"));
        let [mut per_cpu_s, mut per_s] = [const { Vec::new() }; 2];
        for run in 0..options.runs {
            let sales = (0..*sales).map(|_| stage.plan_sale(*stock, *stock));
            let sales: Vec<String> = sales.collect::<anyhow::Result<_>>()?;
            let made = decisions::count(consumer)?;
            consumer.freeze();
            let filled = stage.wait_for(queue::put_people(&stage.queue(), &sales, *people, *batch_len));
            let processes = [&[named("consumer", consumer)?][..], &stage.processes()].concat();
            let before = Reading::take(&processes)?;
            let began = Instant::now();
            consumer.thaw();
            filled?;
            decisions::wait_for(consumer, made + people, DECIDED_WITHIN)?;
            let took_s = began.elapsed().as_secs_f64();
            let usage = Reading::take(&processes)?.since(&before);
            // Reserved, or standing by.
            let claims_of_each = (2 * u64::from(*stock)).min(people / sales.len() as u64);
            for sale in sales.iter().step_by(sales.len().div_ceil(RECOUNTED_MAX)) {
                stage.require_claims(sale, claims_of_each)?;
            }

            part.note_others(usage.others);
            per_cpu_s.push(approximate(*people) / usage.cpu_s("consumer"));
            per_s.push(approximate(*people) / took_s);
            eprintln!(
                "requests: {outcome}, run {}: {:.0}/s\n{usage}",
                run + 1,
                approximate(*people) / took_s
            );
        }
        part.series = vec![
            Series::of("consumer", "people/CPU-s", per_cpu_s),
            Series::of("consumer, gate, broker, database", "people/s", per_s),
        ];
        Ok(part)
    }
}
