//! `miaosha-load sale`: whole journeys of many people through one sale.
//!
//! Here: the parent, from flags to the report. The people live in worker processes.
//! Read next: `sale/journey.rs` (one person), `sale/office.rs` (the people of a process), `sale/worker.rs` (a process).

mod clerk;
mod ears;
mod journey;
mod office;
mod report;
mod tally;
mod worker;

pub(crate) use worker::{SaleTask, work};

use crate::buy::buy_call;
use crate::cli::SaleArgs;
use crate::clock::{Clock, parse_moment};
use crate::crowd::{CrowdCounts, CrowdMoment};
use crate::fleet::{Fleet, MEMBERS_MAX, Share, plan_crowds, shares};
use crate::html::write_page;
use crate::http::{Client, SignedCall, TcpDial};
use crate::memory::{self, MemoryReport};
use crate::progress::Bar;
use crate::report::{EndedBy, Verdict, create, write_json};
use crate::tokens::Tokens;
use crate::worker::Task;
use anyhow::{Context, anyhow, bail};
use clerk::Calls;
use report::SaleReport;
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Instant;
use worker::{SaleFigures, SaleSummary};

/// Runs to the end, prints the summary on stdout and writes the files asked for. An error means that there was
/// no run, or that its results could not be written.
pub(crate) fn run(args: &SaleArgs) -> anyhow::Result<Verdict> {
    let tokens = Tokens::read(&args.tokens)?;
    let people = args.people.map_or(tokens.len(), |people| people as usize);
    if people > tokens.len() {
        bail!("there are {} tokens for {people} people", tokens.len());
    }
    let json_file = args.crowd.json.as_deref().map(create).transpose()?;
    let html_file = args.crowd.html.as_deref().map(create).transpose()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let report = runtime.block_on(go_through(args, people, tokens))?;
    print!("{report}");
    if let Some(file) = json_file {
        write_json(file, &report)?;
    }
    if let Some(mut file) = html_file {
        write_page(&mut file, &report.page())?;
    }
    Ok(report.verdict())
}

/// The sale as its page tells it.
#[derive(Debug)]
struct Opening {
    opens_us: i64,
    /// The site's clock less this machine's, as far as one answer can tell.
    clock_ahead_us: i64,
}

async fn go_through(args: &SaleArgs, people: usize, tokens: Tokens) -> anyhow::Result<SaleReport> {
    let clock = Clock::start();
    let general = args.general_url.as_ref().unwrap_or(&args.crowd.url);
    let resolve = |url: &crate::http::Target| url.resolve().with_context(|| format!("cannot find {url}"));
    let (buy_address, general_address) = (resolve(&args.crowd.url)?, resolve(general)?);
    let opening = look_at_sale(args, general, general_address, tokens.get(0), &clock).await?;

    let calls = Calls {
        buy_address,
        buy: buy_call(&args.crowd.url, &args.sale, &args.answer),
        general_address: args.general_url.is_some().then_some(general_address),
        look_up: SignedCall::get(general, &format!("/api/v1/sales/{}/claim", args.sale)),
        check_out: SignedCall::post(general, "/api/v1/checkout", &check_out_body()),
        has_new_connections: args.new_connections,
        timeout: args.timeout,
    };
    let tasks = plan_tasks(args, people, &calls, opening.opens_us)?;
    let mut fleet: Fleet<SaleFigures, SaleSummary> = Fleet::start(tasks, Some(&tokens)).await?;
    // The workers have them now, and a million are hundreds of megabytes.
    drop(tokens);
    let server_before = memory::read(&args.crowd.server_pid)?;
    let mut server_at_most = server_before;
    let mut watch = Watch::new(args, people, &clock, opening.opens_us);
    let (summaries, is_interrupted) = fleet
        .drive(|figures, _| {
            // A server may be gone for a while, and the sale goes on.
            if let Ok(reading) = memory::read(&args.crowd.server_pid) {
                server_at_most = server_at_most.max(reading);
            }
            Ok(watch.look(figures))
        })
        .await?;
    drop(watch.bar);

    let ended_by = EndedBy::tell(is_interrupted, watch.settled.is_some());
    let mut report =
        SaleReport::draw(args, fleet.len(), &opening, &summaries, watch.sockets_by_second, ended_by);
    if !args.crowd.server_pid.is_empty() {
        report.server_memory =
            Some(MemoryReport::draw(server_before, server_at_most, report.counts.connected));
    }
    Ok(report)
}

/// The page of the sale, which must not have opened.
async fn look_at_sale(
    args: &SaleArgs,
    general: &crate::http::Target,
    address: SocketAddr,
    token: &str,
    clock: &Clock,
) -> anyhow::Result<Opening> {
    #[derive(Deserialize)]
    struct Page {
        state: String,
        starts_at: String,
        server_time: String,
    }
    let mut request = Vec::new();
    SignedCall::get(general, &format!("/api/v1/sales/{}", args.sale)).write(token, &mut request);
    let asked = Instant::now();
    let answer = Client::new(TcpDial { address, source: None }).exchange(&request, args.timeout).await;
    let answer = answer.map_err(|failure| anyhow!("{general} does not answer: {}", failure.kind.name()))?;
    if answer.http_status != 200 {
        bail!("{general} answers {} when asked for sale {}", answer.http_status, args.sale);
    }
    let page: Page =
        serde_json::from_slice(&answer.body).context("the sale's page is not as the contract says")?;
    let moments = parse_moment(&page.starts_at).zip(parse_moment(&page.server_time));
    let (opens_us, site_us) = moments.context("the sale's page has times that are none")?;
    if page.state != "scheduled" {
        bail!(
            "the sale is {}: plan one that opens later (`miaosha sale create … --starts-in 1m`)",
            page.state
        );
    }
    Ok(Opening { opens_us, clock_ahead_us: site_us - clock.unix_us(asked + asked.elapsed() / 2) })
}

fn check_out_body() -> serde_json::Value {
    serde_json::json!({
        "payment": { "method": "sandbox", "card": "4242424242424242" },
        "shipping": { "name": "A buyer", "phone": "000", "address": "Nowhere 1" },
    })
}

fn plan_tasks(
    args: &SaleArgs,
    people: usize,
    calls: &Calls,
    opening_us: i64,
) -> anyhow::Result<Vec<(Share, Task)>> {
    let connections = args.connections as usize;
    // Which process has how many connections is known only with the processes; the general site's come on top.
    let kinds = 1 + usize::from(calls.general_address.is_some());
    let processes_at_least =
        args.crowd.processes.map_or(people.div_ceil(MEMBERS_MAX), |processes| processes as usize);
    let plans = plan_crowds(
        &args.crowd,
        std::slice::from_ref(&args.sale),
        people,
        connections.div_ceil(processes_at_least) * kinds,
    )?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
    let payers_per_mille = (args.pay * 1000.0).round() as usize;
    let connections = shares(connections.max(plans.len()), plans.len());
    let task = |((share, crowd), connections): (_, Share)| {
        let (calls, connections) = (calls.clone(), connections.len);
        let sale = args.sale.clone();
        let task = SaleTask { crowd, sale, calls, connections, opening_us, payers_per_mille };
        (share, Task::Sale(Box::new(task)))
    };
    Ok(plans.into_iter().zip(connections).map(task).collect())
}

/// What the parent sees while the workers work.
struct Watch<'a> {
    args: &'a SaleArgs,
    people: u64,
    bar: Bar,
    opening: Option<Instant>,
    /// Since when all are told and have paid.
    settled: Option<Instant>,
    sockets_by_second: Vec<CrowdMoment>,
}

impl<'a> Watch<'a> {
    fn new(args: &'a SaleArgs, people: usize, clock: &Clock, opens_us: i64) -> Self {
        let people = people as u64;
        Self {
            args,
            people,
            bar: Bar::new(people, "told"),
            opening: clock.instant(opens_us),
            settled: None,
            sockets_by_second: Vec::new(),
        }
    }

    /// Notes the sockets, and breaks when all is done, or has taken too long.
    fn look(&mut self, figures: &[Option<SaleFigures>]) -> ControlFlow<()> {
        let mut counts = CrowdCounts::default();
        let (mut told, mut unsettled) = (0, 0);
        for figures in figures.iter().flatten() {
            counts.add(&figures.counts);
            told += figures.told;
            unsettled += figures.unsettled;
        }
        let now = Instant::now();
        if let Some(opening) = self.opening {
            let since_opening_s = {
                let (since, until) =
                    (now.saturating_duration_since(opening), opening.saturating_duration_since(now));
                since.as_secs_f64() - until.as_secs_f64()
            };
            self.sockets_by_second.push(CrowdMoment::of(since_opening_s, &counts));
        }
        let opens_in = self.opening.map_or_else(Default::default, |at| at.saturating_duration_since(now));
        self.bar.show(told, format!("{} sockets, opens in {} s", counts.held(), opens_in.as_secs()));
        if told == self.people && unsettled == 0 {
            self.settled.get_or_insert(now);
        }
        let follow = self.args.follow.unwrap_or_default();
        let is_done = self.settled.is_some_and(|settled| now - settled >= follow);
        let is_late = self.opening.is_some_and(|opening| now > opening + self.args.give_up);
        if is_done || is_late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
