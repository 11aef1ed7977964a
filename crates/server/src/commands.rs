//! The commands that ask a site for something: what they call, and how the answer is shown.
//!
//! stdout carries the answer and nothing else. Exit 0: good. 1: the thing asked about is bad. 2: wrong usage.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use hyper::{Method, StatusCode};
use indicatif::ProgressBar;
use miaosha_distributed::rabbitmq::Replayed;
use serde_json::{Value, json};

use crate::cli::{SaleCommand, SaleCreateArgs, StaffRole, TokenCommand, UserCommand, UserRange};
use crate::site::{Answer, Site};

/// Tokens asked for in one call.
const TOKENS_PAGE: u64 = 1_000;

/// Runs a `sale` command.
pub(crate) async fn sale(site: &mut Site, command: &SaleCommand, as_json: bool) -> anyhow::Result<ExitCode> {
    let of = |id: &str, verb: &str| format!("/api/v1/admin/sales/{id}{verb}");
    let answer = match command {
        SaleCommand::Create(arguments) => {
            let answer = site.call(Method::POST, "/api/v1/admin/sales", Some(plan(arguments))).await?;
            return show(&answer, true, |body| format!("{body}\n"));
        }
        SaleCommand::List => return list_sales(site, as_json).await,
        SaleCommand::Verify { id } => {
            let answer = site.call(Method::GET, &of(id, "/verify"), None).await?;
            show(&answer, as_json, recount)?;
            let is_clean = answer.status.is_success() && answer.body["ok"] == true;
            for broken in answer.body["broken"].as_array().into_iter().flatten() {
                eprintln!("{} is broken: {}", text(broken, "invariant"), text(broken, "detail"));
            }
            return Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        SaleCommand::Show { id } => site.call(Method::GET, &of(id, ""), None).await?,
        SaleCommand::Pause { id } => site.call(Method::POST, &of(id, "/pause"), None).await?,
        SaleCommand::Resume { id } => site.call(Method::POST, &of(id, "/resume"), None).await?,
        SaleCommand::Close { id } => site.call(Method::POST, &of(id, "/close"), None).await?,
        SaleCommand::AddStock { id, units } => {
            site.call(Method::POST, &of(id, "/add-stock"), Some(json!({ "units": units }))).await?
        }
    };
    show(&answer, as_json, pairs)
}

/// Runs `recover`.
pub(crate) async fn recover(site: &mut Site, as_json: bool) -> anyhow::Result<ExitCode> {
    let answer = site.call(Method::POST, "/api/v1/admin/recover", None).await?;
    show(&answer, as_json, |body| {
        let sales = body["sales"].as_array().into_iter().flatten();
        sales.filter_map(Value::as_str).fold(String::new(), |text, sale| text + sale + "\n")
    })
}

/// Shows what `recover --dead-letters` came to.
pub(crate) fn replayed(replayed: Replayed, as_json: bool) -> anyhow::Result<ExitCode> {
    let Replayed { batches, wake_ups, undecodable } = replayed;
    let body = json!({ "batches": batches, "wake_ups": wake_ups, "undecodable": undecodable });
    show(&Answer { status: StatusCode::OK, body }, as_json, pairs)
}

/// Runs a `user` command.
pub(crate) async fn user(site: &mut Site, command: &UserCommand, as_json: bool) -> anyhow::Result<ExitCode> {
    let UserCommand::Create { email, role } = command;
    let role = match role {
        Some(StaffRole::Admin) => "admin",
        Some(StaffRole::Editor) => "editor",
        None => "buyer",
    };
    let body = json!({ "email": email, "role": role });
    let answer = site.call(Method::POST, "/api/v1/admin/users", Some(body)).await?;
    show(&answer, as_json, pairs)
}

/// Runs a `token` command.
pub(crate) async fn token(
    site: &mut Site,
    command: &TokenCommand,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let TokenCommand::Mint { users: UserRange { first, last }, ttl } = command;
    let is_watched = std::io::stderr().is_terminal();
    let progress = if is_watched { ProgressBar::new(last - first + 1) } else { ProgressBar::hidden() };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut next = *first;
    while next <= *last {
        let page_last = (*last).min(next + TOKENS_PAGE - 1);
        let body = json!({ "first": next, "last": page_last, "ttl_seconds": ttl.as_secs_f64() });
        let answer = site.call(Method::POST, "/api/v1/admin/tokens", Some(body)).await?;
        if !answer.status.is_success() {
            return show(&answer, as_json, pairs);
        }
        for token in answer.body["tokens"].as_array().context("the site sent no tokens")? {
            if as_json {
                writeln!(out, "{token}")?;
            } else {
                writeln!(out, "{}", token.as_str().unwrap_or_default())?;
            }
        }
        progress.inc(page_last - next + 1);
        next = page_last + 1;
    }
    out.flush()?;
    progress.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

async fn list_sales(site: &mut Site, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
        let answer = site.call(Method::GET, &format!("/api/v1/admin/sales{query}"), None).await?;
        if !answer.status.is_success() {
            return show(&answer, as_json, pairs);
        }
        items.extend(answer.body["items"].as_array().cloned().unwrap_or_default());
        after = answer.body["next"].as_str().map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    let answer = Answer { status: StatusCode::OK, body: json!({ "items": items }) };
    show(&answer, as_json, |body| {
        let rows = body["items"].as_array().into_iter().flatten();
        rows.fold(String::new(), |mut table, sale| {
            let (id, state, starts_at) = (text(sale, "id"), text(sale, "state"), text(sale, "starts_at"));
            // Writing to a String cannot fail.
            let _infallible = writeln!(table, "{id}  {state:9}  {starts_at}  {}", text(sale, "title"));
            table
        })
    })
}

fn plan(arguments: &SaleCreateArgs) -> Value {
    let mut plan = json!({
        "title": arguments.title,
        "stock": arguments.stock,
        "hold_seconds": arguments.hold.as_secs_f64(),
        "lasts_seconds": arguments.lasts.as_secs_f64(),
        "price": arguments.price,
        "currency": arguments.currency,
    });
    let optional = [
        ("starts_in_seconds", arguments.starts_in.map(|span| json!(span.as_secs_f64()))),
        ("starts_at", arguments.starts_at.map(|moment| json!(moment.to_string()))),
        ("standby", arguments.standby.map(Value::from)),
        ("max_people", arguments.max_people.map(Value::from)),
        ("question", arguments.question.as_deref().map(Value::from)),
        ("choices", arguments.question.is_some().then(|| json!(arguments.choices))),
        ("answer", arguments.answer.as_deref().map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            plan[name] = value;
        }
    }
    plan
}

/// Prints an answer; a refusal goes to stderr and says what to do.
fn show(answer: &Answer, as_json: bool, plain: impl Fn(&Value) -> String) -> anyhow::Result<ExitCode> {
    if answer.status.is_success() {
        let text = if as_json { format!("{}\n", answer.body) } else { plain(&answer.body) };
        std::io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("miaosha: {} ({})", text(&answer.body, "detail"), text(&answer.body, "code"));
    let is_usage = matches!(answer.status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST);
    Ok(if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE })
}

/// What a recount found, one `name: value` a line, in the order of the contract.
fn recount(body: &Value) -> String {
    const NAMES: [&str; 11] = [
        "sale", "stock", "free", "reserved", "paying", "paid", "refunded", "standby", "rejected", "orders",
        "refunds",
    ];
    NAMES.into_iter().fold(String::new(), |mut lines, name| {
        let value = body[name].as_str().map_or_else(|| body[name].to_string(), str::to_owned);
        // Writing to a String cannot fail.
        let _infallible = writeln!(lines, "{name}: {value}");
        lines
    })
}

/// One `name: value` a line.
fn pairs(body: &Value) -> String {
    let fields = body.as_object().into_iter().flatten();
    fields.fold(String::new(), |mut lines, (name, value)| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a String cannot fail.
        let _infallible = writeln!(lines, "{name}: {shown}");
        lines
    })
}

fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_default()
}
