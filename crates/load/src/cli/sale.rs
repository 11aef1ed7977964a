//! The flags of `sale`.

use super::{CrowdArgs, units};
use crate::http::Target;
use std::path::PathBuf;
use std::time::Duration;

/// Take many people through a whole sale: connect, wait, buy, hear the outcome; some winners pay, some do not.
///
/// The sale must lie ahead. Everyone connects a socket, and buys on hearing that the sale is open (without a socket, by
/// the clock). Who was accepted waits for the outcome on the socket and looks up after five seconds. Ends when everyone
/// has been told and every payment has ended, at the latest after --give-up. Ctrl-C ends it early, with the summary; a
/// second one at once and without.
/// Exit code: 0 all were told, 1 somebody was not or more errors than --max-error-share, 2 wrong usage.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SaleArgs {
    #[command(flatten)]
    pub(crate) crowd: CrowdArgs,

    /// The sale's id, decimal digits
    #[arg(long, value_name = "ID", value_parser = units::parse_sale_id)]
    pub(crate) sale: String,

    /// File of session tokens, one a line, a line a person; `-` reads them from stdin
    #[arg(long, value_name = "FILE|-")]
    pub(crate) tokens: PathBuf,

    /// How many of them take part [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) people: Option<u32>,

    /// The answer to the sale's question; empty if it has none
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) answer: String,

    /// Where look-ups and check-outs go, if not where the buy calls go
    #[arg(long, value_name = "URL")]
    pub(crate) general_url: Option<Target>,

    /// Keep-alive connections for the buy calls, all processes together
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=4000))]
    pub(crate) connections: u32,

    /// Open a new connection for every buy call instead, with at most --connections open at once
    #[arg(long)]
    pub(crate) new_connections: bool,

    /// Share (0 to 1) of the winners who pay; the others let their reservation expire
    #[arg(long, value_name = "SHARE", default_value_t = 0.8, value_parser = units::parse_share)]
    pub(crate) pay: f64,

    /// Longest time for one call, connecting included (ms, s, m; at most 5m)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::parse_timeout)]
    pub(crate) timeout: Duration,

    /// Go on listening for so long when all is told and paid, for expiries and promotions (ms, s, m; at most 60m)
    #[arg(long, value_name = "TIME", value_parser = units::parse_run_time)]
    pub(crate) follow: Option<Duration>,

    /// End this long after the opening, told or not (ms, s, m; at most 60m)
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = units::parse_run_time)]
    pub(crate) give_up: Duration,
}

pub(super) const EXAMPLES: &str = "Examples:
  miaosha token mint --users 1..10000 > tokens.txt
  miaosha sale create --title Console --stock 100 --starts-in 1m --hold 10s
  miaosha-load sale --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt --connect-rate 2000/s --html sale.html
  miaosha-load sale --url http://127.0.0.1:8080 --sale 1 --tokens tokens.txt --connections 2000 --pay 0.5 --follow 15s";
