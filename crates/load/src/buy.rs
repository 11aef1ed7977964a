//! `miaosha-load buy`: many people's buy calls.
//!
//! Here: from flags to threads, and from their tallies to the report. Each thread runs its connections on a
//! runtime of its own and shares nothing with the others but the schedule and a counter.
//! Read next: `buy/schedule.rs` (what is due when), `buy/sender.rs` (one connection's loop), `buy/tally.rs`.

mod answer;
mod call;
mod retry;
mod schedule;
mod sender;
mod tally;

pub(crate) use answer::{Answer, AnswerBook, word_of};
pub(crate) use call::{BuyCalls, buy_call};
pub(crate) use retry::{is_worth_repeating, pause};
pub(crate) use tally::{LastAnswer, SecondTally, Tally};

use crate::cli::BuyArgs;
use crate::html::write_page;
use crate::http::TcpDial;
use crate::progress::Bar;
use crate::report::{BuyReport, EndedBy, Verdict, create, write_json, write_outcomes};
use crate::tokens::Tokens;
use anyhow::{Context, anyhow};
use schedule::Schedule;
use sender::Run;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Runs to the end, prints the summary on stdout and writes the files asked for. An error means that there was
/// no run, or that its results could not be written.
pub(crate) fn run(args: &BuyArgs) -> anyhow::Result<Verdict> {
    let tokens = Tokens::read(&args.tokens)?;
    let address = args.url.resolve().with_context(|| format!("cannot find {}", args.url))?;
    let json_file = args.json.as_deref().map(create).transpose()?;
    let html_file = args.html.as_deref().map(create).transpose()?;
    let outcomes_file = args.outcomes.as_deref().map(create).transpose()?;

    let schedule = Schedule::new(args, tokens.len(), Instant::now());
    let run = Arc::new(Run {
        calls: BuyCalls::new(&args.url, &args.sales, &args.answer),
        tokens,
        schedule,
        timeout: args.timeout,
        retry: args.retry,
        keep_last_answers: outcomes_file.is_some(),
        ended: AtomicU64::new(0),
    });
    let (tally, interrupted) = drive(args, &run, TcpDial { address, source: None })?;

    let elapsed = tally.last_result_at.unwrap_or_default();
    let ended_by =
        EndedBy::tell(interrupted, tally.requests == run.schedule.planned() && tally.unanswered() == 0);
    let report =
        BuyReport::draw(args, &tally, run.schedule.due_within(elapsed, interrupted), elapsed, ended_by);
    print!("{report}");
    if let Some(file) = json_file {
        write_json(file, &report)?;
    }
    if let Some(mut file) = html_file {
        write_page(&mut file, &report.page())?;
    }
    if let Some(mut file) = outcomes_file {
        write_outcomes(&mut file, &tally).and_then(|()| file.flush()).context("cannot write the outcomes")?;
    }
    Ok(report.verdict())
}

/// Sends from all threads until there is nothing more to send or Ctrl-C; the sum of their tallies, and whether
/// it was Ctrl-C.
fn drive(args: &BuyArgs, run: &Arc<Run>, dial: TcpDial) -> anyhow::Result<(Tally, bool)> {
    let (stop, stopped) = watch::channel(());
    let threads = args.threads.min(args.connections);
    let mut handles = Vec::new();
    let mut endings = Vec::new();
    for index in 0..threads {
        let connections = args.connections / threads + u32::from(index < args.connections % threads);
        let (ending, ended) = oneshot::channel::<()>();
        endings.push(ended);
        handles.push(start_thread(Arc::clone(run), dial, connections, stopped.clone(), ending)?);
    }
    let main_runtime = Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let interrupted = main_runtime.block_on(watch_over(run, endings, stop))?;
    let mut tally = Tally::new(run.tokens.len(), run.keep_last_answers);
    for handle in handles {
        tally.add(&handle.join().map_err(|_panic| anyhow!("a sending thread panicked"))??);
    }
    Ok((tally, interrupted))
}

fn start_thread(
    run: Arc<Run>,
    dial: TcpDial,
    connections: u32,
    stopped: watch::Receiver<()>,
    ending: oneshot::Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<Tally>>> {
    let send = move || {
        // Dropped however the thread ends, a panic included; that is the news.
        let _ending = ending;
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        Ok(runtime.block_on(sender::send_all(run, &dial, connections, stopped)))
    };
    std::thread::Builder::new().name("sender".to_owned()).spawn(send).context("cannot start a thread")
}

/// Shows the progress and listens for Ctrl-C until every thread has ended; true if it was pressed.
async fn watch_over(
    run: &Run,
    endings: Vec<oneshot::Receiver<()>>,
    stop: watch::Sender<()>,
) -> anyhow::Result<bool> {
    let bar = Bar::new(run.schedule.planned(), "ended");
    let all_ended = async {
        for ended in endings {
            // An error is the news, as nothing is ever sent.
            let _ = ended.await;
        }
    };
    tokio::pin!(all_ended);
    let mut redraw = tokio::time::interval(Duration::from_millis(200));
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut stop = Some(stop);
    loop {
        tokio::select! {
            () = &mut all_ended => break,
            _ = redraw.tick() => bar.show(run.ended.load(Ordering::Relaxed), String::new()),
            _ = interrupts.recv() => {
                // Without the sender the threads stop; in flight is what they still wait for.
                if stop.take().is_none() {
                    return Err(anyhow!("interrupted twice"));
                }
            }
        }
    }
    Ok(stop.is_none())
}

#[cfg(test)]
mod tests;
