//! How far people overtake each other between the click and their place in line: with micro-batches, two publishers, a few
//! connections to the broker and two consumers, who comes first is not always served first.
//!
//! People come by the clock, to one publisher after the other. Somebody *overtakes* if he has the lower `seq` although he
//! asked only after the other had been answered `queued`: about those two there is no doubt who came first. `seq` is what
//! standby is served by.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::join_all;
use miaosha_testkit::services::{Node, Place};

use crate::http::Http;
use crate::machine::Machine;
use crate::report::{Part, Report};
use crate::spread::Series;
use crate::stage::{Stage, base, named};
use crate::usage::{Reading, approximate};
use crate::{Options, decisions, people};

const PUBLISHERS: usize = 2;
const CONSUMERS: usize = 2;
const RATE_PER_S: u32 = 2_000;
const PEOPLE: u64 = 10_000;
const QUICK_PEOPLE: u64 = 1_000;
const DECIDED_WITHIN: Duration = Duration::from_mins(1);

/// When somebody asked, and when he was answered, since the first asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Visit {
    asked: Duration,
    answered: Duration,
}

/// How far the order of `seq` is from that of coming.
#[derive(Debug, PartialEq, Eq)]
struct Overtaking {
    /// Who was overtaken by anybody.
    overtaken: u64,
    /// The longest time by which somebody had been answered before one who overtook him asked.
    longest: Duration,
}

/// Measures both.
pub(crate) fn measure(options: &Options) -> anyhow::Result<Report> {
    let people = if options.quick { QUICK_PEOPLE } else { PEOPLE };
    let stage = Stage::set()?;
    let start = |role: &'static str, count: usize| -> anyhow::Result<Vec<Node>> {
        (0..count).map(|_| stage.start(role, Place::default())).collect()
    };
    let (publishers, consumers) = (start("publisher", PUBLISHERS)?, start("consumer", CONSUMERS)?);
    let mut part = Part::of(format!(
        "{people} people come to {PUBLISHERS} publishers, {RATE_PER_S} a second; {CONSUMERS} consumers; all get a place"
    ));
    let [mut overtaken, mut longest, mut answers] = [const { Vec::new() }; 3];
    for _ in 0..options.runs {
        let visits = come(&stage, &publishers, &consumers, people, &mut part)?;
        let overtaking = Overtaking::among(&visits);
        overtaken.push(100.0 * approximate(overtaking.overtaken) / approximate(people));
        longest.push(ms(overtaking.longest));
        let took = visits.iter().map(|visit| visit.answered.saturating_sub(visit.asked));
        answers.push(ms(took.max().unwrap_or_default()));
    }
    part.series = vec![
        Series::of("people whom somebody overtook", "%", overtaken),
        Series::of("by at most", "ms", longest),
        Series::of("the slowest answer", "ms", answers),
    ];
    Ok(Report { figure: "order", machine: Machine::here(), parts: vec![part] })
}

/// Everybody's visit, in the order of `seq`.
fn come(
    stage: &Stage,
    publishers: &[Node],
    consumers: &[Node],
    people: u64,
    part: &mut Part,
) -> anyhow::Result<Vec<Visit>> {
    let size = u32::try_from(people)?;
    let sale = stage.plan_sale(size, size)?;
    for publisher in publishers {
        stage.ask_until(publisher, &sale, "queued")?;
    }
    let decided = || consumers.iter().map(decisions::count).sum::<anyhow::Result<u64>>();
    wait_until(|| Ok(seqs(stage, &sale)?.len() == PUBLISHERS))?;
    let before_people = decided()?;

    let mut processes = stage.processes();
    for publisher in publishers {
        processes.push(named("publisher", publisher)?);
    }
    for consumer in consumers {
        processes.push(named("consumer", consumer)?);
    }
    let before = Reading::take(&processes)?;
    let sites: Vec<Http> = publishers.iter().map(|publisher| Http::of(base(publisher))).collect();
    let tokens: Vec<String> = (0..people).map(|number| stage.people.token(number)).collect();
    let visits = stage.wait_for(async {
        let began = Instant::now();
        let visits = tokens.iter().zip(sites.iter().cycle()).zip(0_u32..).map(|((token, site), number)| {
            let sale = &sale;
            async move {
                let due = Duration::from_secs(1) * number / RATE_PER_S;
                tokio::time::sleep_until((began + due).into()).await;
                let asked = began.elapsed();
                let answer = site.buy(sale, token).await;
                ensure!(answer.status == 202, "somebody is not queued: {answer:?}");
                Ok(Visit { asked, answered: began.elapsed() })
            }
        });
        join_all(visits).await.into_iter().collect::<anyhow::Result<Vec<Visit>>>()
    })?;
    part.note_others(Reading::take(&processes)?.since(&before).others);
    wait_until(|| Ok(decided()? == before_people + people))?;

    let numbers: HashMap<u64, u64> = (0..people).map(|number| (people::id(number).get(), number)).collect();
    let in_order = seqs(stage, &sale)?;
    // The first are those who found out that the sale is open.
    let visits = in_order[PUBLISHERS..].iter().map(|id| {
        let number = numbers.get(id).context("a claim of somebody who did not come")?;
        Ok(visits[usize::try_from(*number)?])
    });
    visits.collect()
}

/// Who has a claim, in the order of `seq`.
fn seqs(stage: &Stage, sale: &str) -> anyhow::Result<Vec<u64>> {
    let rows = stage.rows(&format!("SELECT user FROM claims WHERE sale = {sale} ORDER BY seq"))?;
    rows.lines().map(|id| Ok(id.parse()?)).collect()
}

fn wait_until(mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + DECIDED_WITHIN;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "not everybody was decided within {DECIDED_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Overtaking {
    /// Of visits in the order of `seq`.
    fn among(visits: &[Visit]) -> Self {
        let (mut last_asked, mut overtaking) =
            (Duration::ZERO, Self { overtaken: 0, longest: Duration::ZERO });
        for visit in visits {
            // By the last to ask of all who are served before.
            let by = last_asked.saturating_sub(visit.answered);
            overtaking.overtaken += u64::from(!by.is_zero());
            overtaking.longest = overtaking.longest.max(by);
            last_asked = last_asked.max(visit.asked);
        }
        overtaking
    }
}
