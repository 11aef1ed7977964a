//! What can be asked of the load generator: one variant of `Command` for each subcommand.
//!
//! Every flag's text carries its unit. The parsers of durations, rates and shares are in `cli/units.rs`.

mod crowd;
mod sale;
mod units;

pub(crate) use crowd::CrowdArgs;
pub(crate) use sale::SaleArgs;

use crate::http::Target;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Loads a Miaosha site and says how it did.
#[derive(Debug, Parser)]
#[command(name = "miaosha-load", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Buy(BuyArgs),
    Sockets(SocketsArgs),
    Sale(SaleArgs),
    /// One process of a run, started by the others.
    #[command(hide = true)]
    Worker,
}

/// Send the buy calls of many people, and count the answers.
///
/// Ends by itself: when every token is sent, after --requests, or after --duration plus at most one --timeout.
/// Ctrl-C ends it early, with the summary; a second one at once and without.
/// Exit code: 0 finished, 1 more errors than --max-error-share, 2 wrong usage.
#[derive(Debug, clap::Args)]
#[command(after_help = BUY_EXAMPLES)]
pub(crate) struct BuyArgs {
    /// The site's root, such as `http://127.0.0.1:8080`; plain HTTP only
    #[arg(long, value_name = "URL")]
    pub(crate) url: Target,

    /// The sale's id, decimal digits; repeated, the people are divided among the sales, each always in the same one
    #[arg(long = "sale", value_name = "ID", required = true, value_parser = units::parse_sale_id)]
    pub(crate) sales: Vec<String>,

    /// File of session tokens, one a line, a line a person; `-` reads them from stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) tokens: PathBuf,

    /// The answer to the sale's question; empty if it has none
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) answer: String,

    /// Keep-alive connections, which is also the most requests in flight at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub(crate) connections: u32,

    /// Threads that send, each with its share of the connections
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,

    /// Most requests to send, those sent again not counted [default: every token --repeat times]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,

    /// Open loop: requests a second, by the clock, whatever the site does; latency then counts from the moment
    /// a request was due [default: closed loop, each connection sends as soon as it has its answer]
    #[arg(long, value_name = "R/s", value_parser = units::parse_rate)]
    pub(crate) rate: Option<f64>,

    /// Longest time to go on sending (ms, s, m; at most 60m)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::parse_run_time)]
    pub(crate) duration: Duration,

    /// Times that each token is sent, in rounds: everyone once, then everyone again
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) repeat: u64,

    /// Longest time for one request, connecting included (ms, s, m; at most 5m)
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::parse_timeout)]
    pub(crate) timeout: Duration,

    /// Send again what failed or was answered 429 or 5xx, after Retry-After or a growing pause (50 ms to 2 s),
    /// until it is answered otherwise or the time is up
    #[arg(long)]
    pub(crate) retry: bool,

    /// Exit with 1 if a greater share (0 to 1) of the people's requests ended in an error: none or a 5xx answer
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = units::parse_share)]
    pub(crate) max_error_share: f64,

    /// Write the report as JSON, with the histograms' buckets (microseconds) for each second
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a line for each token: index from 0, last HTTP status, status or code in its body, with tabs between;
    /// 0 as the HTTP status and the kind of error (or `not_sent`) if it was never answered
    #[arg(long, value_name = "FILE")]
    pub(crate) outcomes: Option<PathBuf>,

    /// Write the report as a web page with plots that needs no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Hold many Socket.IO connections that each watch a sale, and tell what they hear.
///
/// Ends by itself: after --hold, counted from when all have connected or failed to. Ctrl-C ends it early, with the
/// summary; a second one at once and without.
/// Exit code: 0 finished, 1 more errors than --max-error-share or not everyone heard --expect, 2 wrong usage.
#[derive(Debug, clap::Args)]
#[command(after_help = SOCKETS_EXAMPLES)]
pub(crate) struct SocketsArgs {
    #[command(flatten)]
    pub(crate) crowd: CrowdArgs,

    /// The sale's id, decimal digits; repeated, the sockets take the sales in turn
    #[arg(long = "sale", value_name = "ID", required = true, value_parser = units::parse_sale_id)]
    pub(crate) sales: Vec<String>,

    /// File of session tokens, one a line; `-` reads them from stdin. Taken in turn: with fewer than sockets, people
    /// have several [default: anonymous sockets]
    #[arg(long, value_name = "FILE|-")]
    pub(crate) tokens: Option<PathBuf>,

    /// Sockets to open
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) count: u32,

    /// How long to hold them once all have connected or failed to (ms, s, m; at most 60m)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = units::parse_run_time)]
    pub(crate) hold: Duration,

    /// Exit with 1 unless every socket held at the end has heard this event, such as `sale`
    #[arg(long, value_name = "EVENT")]
    pub(crate) expect: Option<String>,

    /// Questions that sockets ask a second once all are connected, all processes together: one after the other asks to
    /// watch the sale once more; latency counts from the moment at which a question was due
    #[arg(long, value_name = "R/s", value_parser = units::parse_rate)]
    pub(crate) ask_rate: Option<f64>,
}

const BUY_EXAMPLES: &str = "Examples:
  miaosha token mint --users 1..100000 > tokens.txt
  miaosha-load buy --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt
  miaosha-load buy --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt --rate 5000/s --duration 20s --json buy.json
  miaosha-load buy --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt --retry --outcomes outcomes.tsv --max-error-share 0
  miaosha-load buy --url http://127.0.0.1:8080 --sale 1 --sale 2 --tokens tokens.txt";

const SOCKETS_EXAMPLES: &str = "Examples:
  miaosha-load sockets --url http://127.0.0.1:8080 --sale 1 --count 1000 --hold 10s
  miaosha-load sockets --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt --count 15000 --connect-rate 10000/s --expect sale --server-pid 4711 --html sockets.html
  miaosha-load sockets --url http://127.0.0.1:8080 --push-url http://127.0.0.1:8091 --push-url http://127.0.0.1:8092 --sale 1 --tokens tokens.txt --count 100000 --processes 8 --sources 127.0.0.2..127.0.0.9";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_examples_shown_are_accepted() {
        let lines =
            [BUY_EXAMPLES, SOCKETS_EXAMPLES, sale::EXAMPLES].into_iter().flat_map(str::lines).map(str::trim);
        let calls = lines.filter(|line| line.starts_with("miaosha-load"));
        let parsed: Vec<_> = calls.map(|call| Cli::try_parse_from(call.split(' ')).unwrap()).collect();
        assert_eq!(parsed.len(), 9);
    }
}
