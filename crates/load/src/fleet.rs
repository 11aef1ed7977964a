//! A run in several processes: one may open only so many files, and a million sockets need fifty of them.
//!
//! The parent starts itself again as `worker`, writes the task, the tokens and `go` to its standard input, and reads
//! a JSON line a second from its standard output; an end of the input stops the worker, so none outlives the parent.
//! Read next: `fleet/share.rs` (who gets which part), `fleet/worker.rs` (the other end).

mod share;
mod worker;

pub(crate) use share::{MEMBERS_MAX, Share, bind_to, plan_crowds, shares};
pub(crate) use worker::{Orders, receive, say};

use crate::tokens::Tokens;
use anyhow::{Context, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often the workers tell their figures, and the parent looks at them.
pub(crate) const FIGURES_STEP: Duration = Duration::from_secs(1);
/// Lines that wait to be read; a worker that is ahead waits.
const LINES_MAX: usize = 256;
const GO: &str = "go";

/// One line of a worker: figures `F` each second, the summary `S` last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said<F, S> {
    /// The task and the tokens have come.
    Ready,
    Figures(F),
    Summary(S),
}

/// The first line to a worker; so many lines with a token each follow.
#[derive(Debug, Serialize, Deserialize)]
struct Briefing<T> {
    task: T,
    tokens_len: usize,
}

/// The worker processes of a run. They are killed when it is dropped.
pub(crate) struct Fleet<F, S> {
    workers: Vec<Worker>,
    lines: mpsc::Receiver<anyhow::Result<(usize, Said<F, S>)>>,
    /// One reads the lines of one worker; they end by themselves, with the workers.
    readers: JoinSet<()>,
}

struct Worker {
    process: Child,
    /// None once it was told to stop.
    orders: Option<BufWriter<ChildStdin>>,
}

impl<F, S> Fleet<F, S>
where
    F: DeserializeOwned + Send + 'static,
    S: DeserializeOwned + Send + 'static,
{
    /// Starts a worker for each task and waits until all are ready. Each gets the tokens of its share, which begin
    /// anew when they are used up.
    pub(crate) async fn start<T: Serialize>(
        tasks: Vec<(Share, T)>,
        tokens: Option<&Tokens>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let mut fleet = Self { workers: Vec::new(), lines, readers: JoinSet::new() };
        for (index, (share, task)) in tasks.into_iter().enumerate() {
            let mut process = Command::new(&program)
                .arg("worker")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                // Ctrl-C goes to the parent alone, which stops the workers and hears their summaries.
                .process_group(0)
                .kill_on_drop(true)
                .spawn()
                .context("cannot start a worker process")?;
            let stdout = process.stdout.take().expect("it is piped");
            let mut orders = BufWriter::new(process.stdin.take().expect("it is piped"));
            fleet.readers.spawn(read_lines(index, stdout, sender.clone()));
            brief(&mut orders, share, &task, tokens).await.context("a worker process ended at once")?;
            fleet.workers.push(Worker { process, orders: Some(orders) });
        }
        drop(sender);
        for _ in 0..fleet.workers.len() {
            let Some((_, Said::Ready)) = fleet.next().await? else {
                return Err(anyhow!("a worker process was not ready"));
            };
        }
        Ok(fleet)
    }

    /// How many processes there are, or were.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The ids of the worker processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.workers.iter().filter_map(|worker| worker.process.id()).collect()
    }

    /// Lets the workers begin, and stops them when `steer` breaks or at Ctrl-C. It is called each second with the
    /// newest figures of those that told any, and once at Ctrl-C, with true. The workers' summaries, and whether it
    /// was Ctrl-C; a second one is an error.
    pub(crate) async fn drive(
        &mut self,
        mut steer: impl FnMut(&[Option<F>], bool) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<(Vec<S>, bool)> {
        for worker in &mut self.workers {
            let Some(orders) = &mut worker.orders else { continue };
            orders.write_all(format!("{GO}\n").as_bytes()).await.context("a worker process has ended")?;
            orders.flush().await.context("a worker process has ended")?;
        }
        let mut figures: Vec<Option<F>> = self.workers.iter().map(|_| None).collect();
        let mut summaries = Vec::new();
        let mut is_interrupted = false;
        let mut is_stopped = false;
        let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        let mut ticks = interval(FIGURES_STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                line = self.next() => match line? {
                    Some((worker, Said::Figures(newest))) => figures[worker] = Some(newest),
                    Some((_, Said::Summary(summary))) => summaries.push(summary),
                    Some((_, Said::Ready)) => {}
                    None => break,
                },
                _ = ticks.tick(), if !is_stopped => {
                    is_stopped = steer(&figures, false)?.is_break();
                }
                _ = interrupts.recv() => {
                    if is_interrupted {
                        return Err(anyhow!("interrupted twice"));
                    }
                    if !is_stopped {
                        let _ = steer(&figures, true)?;
                    }
                    (is_interrupted, is_stopped) = (true, true);
                }
            }
            if is_stopped {
                self.stop();
            }
        }
        for worker in &mut self.workers {
            worker.process.wait().await.context("cannot wait for a worker process")?;
        }
        Ok((summaries, is_interrupted))
    }

    /// None when all workers have ended as they should.
    async fn next(&mut self) -> anyhow::Result<Option<(usize, Said<F, S>)>> {
        self.lines.recv().await.transpose()
    }

    fn stop(&mut self) {
        for worker in &mut self.workers {
            worker.orders = None;
        }
    }
}

async fn brief(
    orders: &mut BufWriter<ChildStdin>,
    share: Share,
    task: &impl Serialize,
    tokens: Option<&Tokens>,
) -> anyhow::Result<()> {
    let tokens_len = if tokens.is_some() { share.len } else { 0 };
    let briefing = serde_json::to_string(&Briefing { task, tokens_len })?;
    orders.write_all(briefing.as_bytes()).await?;
    orders.write_all(b"\n").await?;
    if let Some(tokens) = tokens {
        for member in share.first..share.first + share.len {
            orders.write_all(tokens.get(member % tokens.len()).as_bytes()).await?;
            orders.write_all(b"\n").await?;
        }
    }
    Ok(orders.flush().await?)
}

async fn read_lines<F: DeserializeOwned, S: DeserializeOwned>(
    worker: usize,
    stdout: ChildStdout,
    sender: mpsc::Sender<anyhow::Result<(usize, Said<F, S>)>>,
) {
    let mut lines = BufReader::new(stdout).lines();
    let mut is_done = false;
    while let Ok(Some(line)) = lines.next_line().await {
        let said = serde_json::from_str(&line).context("a worker process said what is not known");
        is_done |= matches!(said, Ok(Said::Summary(_)));
        if sender.send(said.map(|said| (worker, said))).await.is_err() {
            return;
        }
    }
    if !is_done {
        // The parent may have ended meanwhile, and then does not care.
        let _ = sender.send(Err(anyhow!("a worker process ended before its time"))).await;
    }
}
