//! The command line: what can be asked for, and nothing of how it is done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;

/// Sells a small stock to very many people: exactly the stock, in fair order, and everyone is told.
#[derive(Debug, Parser)]
#[command(name = "miaosha", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// A TOML file; the environment (`MIAOSHA_SECTION__KEY`) and flags win over it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the data is; made if it is missing.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the site.
    #[command(after_help = "Example:\n  miaosha serve --listen 127.0.0.1:8080 --demo")]
    Serve(ServeArgs),
    /// Bring the database's schema up to date.
    #[command(after_help = "Example:\n  miaosha migrate --data-dir /var/lib/miaosha")]
    Migrate,
    /// Rebuild by hand what a site rebuilds by itself: gates and every node's knowledge of each sale.
    #[command(after_help = "Example:\n  miaosha recover --config miaosha.toml")]
    Recover(RecoverArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Sales.
    #[command(subcommand)]
    Sale(SaleCommand),
    /// Session tokens for load tests.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// What a process does. Without `--roles`, everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The buy API.
    Publisher,
    /// Socket.IO.
    Push,
    /// Decides, expires, promotes.
    Consumer,
    /// Everything else over HTTP.
    General,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// What this process does, separated by commas; everything by default. On embedded storage one process does
    /// everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) roles: Vec<Role>,
    /// Address and port.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Make a demo user, an administrator, and a sale that opens 30 seconds later and comes round again.
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Instead, send every message that waits in RabbitMQ's dead-letter queue back where it belongs; what cannot be read
    /// stays.
    #[arg(long)]
    pub(crate) dead_letters: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration and say nothing if it is right.
    #[command(after_help = "Example:\n  miaosha config check --config miaosha.toml")]
    Check,
    /// Print the configuration that is in force.
    #[command(after_help = "Example:\n  MIAOSHA_NODE=2 miaosha config print")]
    Print,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account; its password is printed once.
    #[command(after_help = "Example:\n  miaosha user create --email ann@example.com --role admin")]
    Create {
        #[arg(long)]
        email: String,
        /// What the person may do besides buying.
        #[arg(long, value_enum)]
        role: Option<StaffRole>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StaffRole {
    /// Everything.
    Admin,
    /// Plans sales.
    Editor,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SaleCommand {
    /// Plan a sale; prints one JSON object.
    #[command(
        after_help = "Example:\n  miaosha sale create --title Console --stock 100 --starts-in 30s --price 199.00 \\\n    --question \"Who makes it?\" --choices \"Sony;Microsoft\" --answer Sony"
    )]
    Create(Box<SaleCreateArgs>),
    /// List sales, newest first.
    #[command(after_help = "Example:\n  miaosha sale list --json")]
    List,
    /// Show a sale.
    #[command(after_help = "Example:\n  miaosha sale show 123456789")]
    Show { id: String },
    /// Stop requests for a while; deadlines go on.
    #[command(after_help = "Example:\n  miaosha sale pause 123456789")]
    Pause { id: String },
    /// Take requests again.
    #[command(after_help = "Example:\n  miaosha sale resume 123456789")]
    Resume { id: String },
    /// Add units.
    #[command(after_help = "Example:\n  miaosha sale add-stock 123456789 50")]
    AddStock { id: String, units: u32 },
    /// End requests and standby at once; reservations run out their hold.
    #[command(after_help = "Example:\n  miaosha sale close 123456789")]
    Close { id: String },
    /// Recount a sale against its invariants; exit 1 if one is broken.
    #[command(after_help = "Example:\n  miaosha sale verify 123456789 --json")]
    Verify { id: String },
}

#[derive(Debug, Args)]
pub(crate) struct SaleCreateArgs {
    /// The product's name.
    #[arg(long)]
    pub(crate) title: String,
    /// Units for sale.
    #[arg(long)]
    pub(crate) stock: u32,
    /// Opens this long from now (such as `5s` or `1h 30m`).
    #[arg(long, value_parser = span, required_unless_present = "starts_at", conflicts_with = "starts_at")]
    pub(crate) starts_in: Option<Duration>,
    /// Opens at this moment (RFC 3339).
    #[arg(long, value_parser = moment)]
    pub(crate) starts_at: Option<jiff::Timestamp>,
    /// How long a reservation waits for its payment.
    #[arg(long, value_parser = span, default_value = "10m")]
    pub(crate) hold: Duration,
    /// How long requests are taken.
    #[arg(long, value_parser = span, default_value = "15m")]
    pub(crate) lasts: Duration,
    /// How many people may stand by; as many as the stock by default.
    #[arg(long)]
    pub(crate) standby: Option<u32>,
    /// How many people may be under way at once, to bound a flood.
    #[arg(long)]
    pub(crate) max_people: Option<u64>,
    /// The price of a unit.
    #[arg(long, default_value = "0.00")]
    pub(crate) price: String,
    /// The currency (ISO 4217).
    #[arg(long, default_value = "USD")]
    pub(crate) currency: String,
    /// A question to answer before buying.
    #[arg(long, requires = "choices", requires = "answer")]
    pub(crate) question: Option<String>,
    /// What may be answered, separated by semicolons.
    #[arg(long, requires = "question", value_delimiter = ';')]
    pub(crate) choices: Vec<String>,
    /// The right choice.
    #[arg(long, requires = "question")]
    pub(crate) answer: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Print a session token for each of these load-test users, one a line; makes users that are missing. Needs
    /// `[dev] token_mint = true`.
    #[command(
        after_help = "Example:\n  MIAOSHA_DEV__TOKEN_MINT=true miaosha token mint --users 1..1000 > tokens"
    )]
    Mint {
        /// The first and the last user, such as `1..100000`.
        #[arg(long, value_parser = user_range)]
        users: UserRange,
        /// How long the tokens last.
        #[arg(long, value_parser = span, default_value = "1h")]
        ttl: Duration,
    },
}

/// The first and the last number of a range of load-test users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

const USERS_MAX: u64 = 10_000_000;

fn user_range(text: &str) -> Result<UserRange, String> {
    let say = || format!("give the first and the last user, such as 1..1000, up to {USERS_MAX}");
    let (first, last) = text.split_once("..").ok_or_else(say)?;
    let (first, last) = (first.parse().map_err(|_| say())?, last.parse().map_err(|_| say())?);
    if first < 1 || first > last || last > USERS_MAX { Err(say()) } else { Ok(UserRange { first, last }) }
}

fn span(text: &str) -> Result<Duration, String> {
    let say = || format!("`{text}` is no time span: give one such as 500ms, 5s, 10m or 1h 30m");
    let span: SignedDuration = text.parse().map_err(|_| say())?;
    Duration::try_from(span).map_err(|_| say())
}

fn moment(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is no moment: give one such as 2030-01-31T14:00:00Z"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example:"), "{} has none", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn spans_and_ranges_are_read_or_refused() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("10m"), Ok(Duration::from_mins(10)));
        assert!(span("-5s").is_err() && span("soon").is_err() && span("5").is_err());
        assert_eq!(user_range("1..3"), Ok(UserRange { first: 1, last: 3 }));
        assert!(user_range("3..1").is_err() && user_range("0..1").is_err() && user_range("1-3").is_err());
    }
}
