//! What visitors do meanwhile, measured from outside through Nginx, by the clock: a time counts from the moment at which
//! its call was due, so that a site that stands still is charged with all who came meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::Method;
use serde::Serialize;
use serde_json::Value;

use crate::figures::Figures;
use crate::http::Http;

/// Threads of each probe, each with a connection of its own. When all wait for answers, the next call is late, which is
/// counted.
const WORKERS: usize = 8;

/// One call, and what it must be answered with.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<Value>,
    pub(crate) expected: u16,
}

/// The calls of one kind, in the order in which they are made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) interval: Duration,
    /// When the first is due, so that the kinds do not all come in the same moment.
    pub(crate) offset: Duration,
    pub(crate) calls: Vec<Call>,
}

/// What the calls of one kind came to.
#[derive(Debug, Serialize)]
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    /// Of all calls, those that failed as well.
    pub(crate) times: Figures,
    /// Each of them in milliseconds, in the order in which the calls were due.
    pub(crate) series_ms: Vec<f64>,
    /// Calls that were not answered as they must be.
    pub(crate) failed: usize,
    /// What the first of them was answered with.
    pub(crate) first_failure: Option<String>,
}

/// Makes all calls and waits for their answers, each plan for itself. An error is no failed call but a machine that cannot
/// measure.
pub(crate) fn sample(base: &str, plans: &[Plan]) -> anyhow::Result<Vec<Probe>> {
    let nexts: Vec<_> = plans.iter().map(|_| AtomicUsize::new(0)).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let mut probes = Vec::new();
        for (plan, next) in plans.iter().zip(&nexts) {
            let workers: Vec<_> =
                (0..WORKERS).map(|_| scope.spawn(|| Worker { plan, next, start }.work(base))).collect();
            probes.push((plan.name, workers));
        }
        probes
            .into_iter()
            .map(|(name, workers)| {
                let mut all = Seen::default();
                for worker in workers {
                    all.add(worker.join().expect("a panic here is a bug of the benchmark")?);
                }
                Ok(all.into_probe(name))
            })
            .collect()
    })
}

struct Worker<'a> {
    plan: &'a Plan,
    next: &'a AtomicUsize,
    start: Instant,
}

#[derive(Default)]
struct Seen {
    /// With the number of the call.
    times: Vec<(usize, Duration)>,
    failed: usize,
    first_failure: Option<String>,
}

impl Worker<'_> {
    fn work(&self, base: &str) -> anyhow::Result<Seen> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("a runtime for a probe")?;
        let http = Http::of(base.to_owned());
        let mut seen = Seen::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = self.plan.calls.get(number) else { return Ok(seen) };
            let intervals = u32::try_from(number).context("so many calls")?;
            let due = self.start + self.plan.offset + self.plan.interval * intervals;
            // Not the runtime's timer, which knows only whole milliseconds.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = runtime.block_on(http.try_call(
                call.method.clone(),
                call.path,
                call.token.as_deref(),
                call.body.clone(),
            ));
            seen.times.push((number, due.elapsed()));
            match answer {
                Ok(answer) if answer.status == call.expected => {}
                Ok(answer) => seen.fail(format!("{} {}", answer.status, answer.body)),
                Err(error) => seen.fail(format!("{error:#}")),
            }
        }
    }
}

impl Seen {
    fn fail(&mut self, how: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(how);
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    fn into_probe(mut self, name: &'static str) -> Probe {
        self.times.sort_unstable();
        let times: Vec<Duration> = self.times.into_iter().map(|(_, time)| time).collect();
        Probe {
            name,
            series_ms: times.iter().map(|time| time.as_secs_f64() * 1e3).collect(),
            times: Figures::of(times),
            failed: self.failed,
            first_failure: self.first_failure,
        }
    }
}
