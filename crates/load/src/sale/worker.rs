//! One process of `miaosha-load sale`: the sockets of its people in one thread, their calls in another.

use super::clerk::{self, Calls};
use super::ears::{self, Heard, Listening};
use super::office::Office;
use super::tally::SaleTally;
use crate::clock::Clock;
use crate::crowd::{CrowdCounts, CrowdPlan};
use crate::fleet::{FIGURES_STEP, Orders, Said, say};
use crate::tokens::Tokens;
use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How late something that is due may be done.
const TICK: Duration = Duration::from_millis(20);

/// What a process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SaleTask {
    pub(crate) crowd: CrowdPlan,
    pub(super) sale: String,
    pub(super) calls: Calls,
    pub(super) connections: usize,
    /// When the sale opens, in microseconds since the Unix epoch.
    pub(super) opening_us: i64,
    /// Of those who get a unit, so many of a thousand pay.
    pub(super) payers_per_mille: usize,
}

/// How far a process is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SaleFigures {
    pub(super) counts: CrowdCounts,
    pub(super) told: u64,
    /// People who are not told, whose payment is under way, or who have not heard of the opening.
    pub(super) unsettled: u64,
}

/// What a process has seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SaleSummary {
    pub(super) counts: CrowdCounts,
    pub(super) tally: SaleTally,
}

/// Works until the parent says stop.
pub(crate) fn work(task: SaleTask, tokens: Option<Tokens>, orders: Orders) -> anyhow::Result<()> {
    let tokens = Arc::new(tokens.context("people need tokens")?);
    say::<SaleFigures, SaleSummary>(&Said::Ready)?;
    orders.wait_for_go()?;
    let opening = Clock::start().instant(task.opening_us).context("the opening is too far away")?;
    let is_stopped = orders.watch_for_stop()?;
    let first = task.crowd.first_member;
    let pays = |person: usize| is_payer(first + person, task.payers_per_mille);
    let office = Rc::new(RefCell::new(Office::new(task.crowd.members_len, pays, opening)));
    let sources = task.crowd.sources.clone();
    let Listening { thread, news, counts } =
        ears::listen(task.crowd, task.sale, Arc::clone(&tokens), Arc::clone(&is_stopped))?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let calls = Rc::new(task.calls);
        let mut clerks = JoinSet::new();
        for number in first..first + task.connections {
            let source = number.checked_rem(sources.len()).map(|turn| sources[turn]);
            let (office, calls, tokens) = (Rc::clone(&office), Rc::clone(&calls), Arc::clone(&tokens));
            clerks.spawn_local(clerk::work(office, calls, source, tokens));
        }
        let served = serve(&office, news, &mut clerks, &counts, &is_stopped).await;
        clerks.shutdown().await;
        served
    })?;
    thread.join().map_err(|_panic| anyhow!("the sockets' thread panicked"))??;
    let office = Rc::into_inner(office).expect("every clerk has let go of it").into_inner();
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    say::<SaleFigures, _>(&Said::Summary(SaleSummary { counts, tally: office.into_tally() }))
}

async fn serve(
    office: &RefCell<Office>,
    mut news: mpsc::UnboundedReceiver<Vec<Heard>>,
    clerks: &mut JoinSet<()>,
    counts: &Mutex<CrowdCounts>,
    is_stopped: &AtomicBool,
) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_figures = Instant::now() + FIGURES_STEP;
    loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Some(heard) => heard.into_iter().for_each(|heard| office.borrow_mut().hear(heard)),
                None if is_stopped.load(Ordering::Relaxed) => return Ok(()),
                None => bail!("the sockets' thread ended before its time"),
            },
            // They go on for ever, so it is a panic.
            Some(Err(ended)) = clerks.join_next() => std::panic::resume_unwind(ended.into_panic()),
            _ = ticks.tick() => {
                let now = Instant::now();
                office.borrow_mut().tick(now);
                if is_stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if now >= next_figures {
                    next_figures = now + FIGURES_STEP;
                    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let office = office.borrow();
                    let (told, unsettled) = (office.tally.told_len(), office.unsettled());
                    say::<_, SaleSummary>(&Said::Figures(SaleFigures { counts, told, unsettled }))?;
                }
            }
        }
    }
}

/// Spreads those who pay evenly over everyone, the same in each run.
fn is_payer(number: usize, payers_per_mille: usize) -> bool {
    // The multiplier has no factor in common with 1000, so all remainders come, each once in a thousand.
    number % 1000 * 617 % 1000 < payers_per_mille
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_thousand_people_so_many_pay() {
        for share in [0, 1, 250, 999, 1000] {
            for start in [0, 1, 777] {
                let payers = (start..start + 1000).filter(|number| is_payer(*number, share)).count();
                assert_eq!(payers, share);
            }
        }
    }
}
