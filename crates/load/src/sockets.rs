//! `miaosha-load sockets`: very many sockets that each watch a sale.
//!
//! Here: the parent, from flags to the report. The sockets are held by worker processes.
//! Read next: `fleet` (the processes), `sockets/worker.rs` (one of them), `crowd` (its sockets), `sockets/report.rs`.

mod broadcasts;
mod report;
mod worker;

pub(crate) use worker::{SocketsTask, work};

use crate::cli::SocketsArgs;
use crate::crowd::{CrowdCounts, CrowdMoment};
use crate::fleet::{Fleet, Share, plan_crowds};
use crate::html::write_page;
use crate::memory::{self, MemoryReport};
use crate::progress::Bar;
use crate::report::{EndedBy, Verdict, approximate, create, write_json};
use crate::tokens::Tokens;
use crate::worker::Task;
use anyhow::Context;
use report::{SocketsReport, SocketsSecond};
use std::ops::ControlFlow;
use std::time::Instant;
use worker::{SocketsFigures, SocketsSummary};

/// Runs to the end, prints the summary on stdout and writes the files asked for. An error means that there was
/// no run, or that its results could not be written.
pub(crate) fn run(args: &SocketsArgs) -> anyhow::Result<Verdict> {
    let tokens = args.tokens.as_deref().map(Tokens::read).transpose()?;
    let json_file = args.crowd.json.as_deref().map(create).transpose()?;
    let html_file = args.crowd.html.as_deref().map(create).transpose()?;
    let plans = plan_crowds(&args.crowd, &args.sales, args.count as usize, 0)?;
    let ask_rate_per_s = args.ask_rate.map(|rate| rate / approximate(plans.len() as u64));
    let task = |crowd| Task::Sockets(SocketsTask { crowd, expect: args.expect.clone(), ask_rate_per_s });
    let tasks = plans.into_iter().map(|(share, crowd)| (share, task(crowd))).collect();

    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let report = runtime.block_on(hold(args, tasks, tokens))?;
    print!("{report}");
    if let Some(file) = json_file {
        write_json(file, &report)?;
    }
    if let Some(mut file) = html_file {
        write_page(&mut file, &report.page())?;
    }
    Ok(report.verdict())
}

/// What the parent sees while the workers work.
struct Watch<'a> {
    args: &'a SocketsArgs,
    bar: Bar,
    started: Instant,
    /// Since when all have connected or failed to.
    settled: Option<Instant>,
    seconds: Vec<SocketsSecond>,
}

async fn hold(
    args: &SocketsArgs,
    tasks: Vec<(Share, Task)>,
    tokens: Option<Tokens>,
) -> anyhow::Result<SocketsReport> {
    let mut fleet: Fleet<SocketsFigures, SocketsSummary> = Fleet::start(tasks, tokens.as_ref()).await?;
    // The workers have them now, and a million are hundreds of megabytes.
    drop(tokens);
    let workers = fleet.processes();
    let read_both = || {
        anyhow::Ok((memory::read(&args.crowd.server_pid)?, memory::read(&workers).context("of the workers")?))
    };
    let (server_before, workers_before) = read_both()?;
    let mut after = None;
    let mut watch = Watch {
        args,
        bar: Bar::new(args.count.into(), "connected"),
        started: Instant::now(),
        settled: None,
        seconds: Vec::new(),
    };
    let (summaries, is_interrupted) = fleet
        .drive(|figures, is_interrupted| {
            let flow = watch.look(figures);
            if is_interrupted || flow.is_break() {
                // A server that has gone has no memory to count; what else was seen is still worth telling.
                after = read_both().ok();
            }
            Ok(flow)
        })
        .await?;
    drop(watch.bar);

    let ended_by = EndedBy::tell(is_interrupted, !is_interrupted);
    let mut report =
        SocketsReport::draw(args, workers.len(), summaries, watch.seconds, watch.started.elapsed(), ended_by);
    if let Some((server_after, workers_after)) = after {
        let held = report.counts.held();
        report.generator_memory = Some(MemoryReport::draw(workers_before, workers_after, held));
        if !args.crowd.server_pid.is_empty() {
            report.server_memory = Some(MemoryReport::draw(server_before, server_after, held));
        }
    }
    Ok(report)
}

impl Watch<'_> {
    /// Notes a second, and breaks when the sockets have been held for long enough.
    fn look(&mut self, figures: &[Option<SocketsFigures>]) -> ControlFlow<()> {
        let mut counts = CrowdCounts::default();
        let mut heard = 0;
        for figures in figures.iter().flatten() {
            counts.add(&figures.counts);
            heard += figures.heard;
        }
        self.bar
            .show(counts.connected, format!("{} lost, {heard} receipts of broadcasts", counts.lost_len()));
        let now = Instant::now();
        if counts.settled() >= u64::from(self.args.count) {
            self.settled.get_or_insert(now);
        }
        self.seconds.push(SocketsSecond {
            sockets: CrowdMoment::of((now - self.started).as_secs_f64(), &counts),
            heard,
        });
        match self.settled {
            Some(settled) if now - settled >= self.args.hold => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
