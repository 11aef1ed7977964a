//! The binary `miaosha`: reads what is asked for, and hands it on.
//!
//! `cli` says what can be asked, `config` what can be set, `wiring` picks the adapters, `serve` runs a site, `commands`
//! and `site` ask one.

mod cli;
mod commands;
mod config;
mod demo;
mod lifecycle;
mod opening;
mod roles;
mod secrets;
mod serve;
mod site;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::task::LocalSet;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::{Backend, Config, Flags};
use crate::site::Site;

/// jemalloc gives memory back after a crowd has gone; glibc keeps it in its arenas.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("miaosha: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let listen = match &cli.command {
        Command::Serve(arguments) => arguments.listen,
        _ => None,
    };
    let flags = Flags { file: cli.global.config, data_dir: cli.global.data_dir, listen };
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("miaosha: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let as_json = cli.global.json;
    match cli.command {
        Command::Serve(arguments) => serve::serve(&config, &arguments),
        Command::Config(ConfigCommand::Check) => wiring::check(&config).map(|()| ExitCode::SUCCESS),
        Command::Config(ConfigCommand::Print) if as_json => {
            println!("{}", serde_json::to_string(&config)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Print) => {
            print!("{}", toml::to_string(&config)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate => migrate(&config),
        Command::Recover(arguments) if arguments.dead_letters => replay_dead_letters(&config, as_json),
        Command::Recover(_) => ask(&config, async |site| commands::recover(site, as_json).await),
        Command::User(command) => ask(&config, async |site| commands::user(site, &command, as_json).await),
        Command::Sale(command) => ask(&config, async |site| commands::sale(site, &command, as_json).await),
        Command::Token(command) => ask(&config, async |site| commands::token(site, &command, as_json).await),
    }
}

/// Brings the schema up to date; opening embedded data does.
fn migrate(config: &Config) -> anyhow::Result<ExitCode> {
    match config.backend {
        Backend::Embedded => ask(config, async |_site| Ok(ExitCode::SUCCESS)),
        Backend::Distributed => {
            telemetry::init_logs(&config.log)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(wiring::migrate(config))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Sends dead letters on. Asks nothing but RabbitMQ, so it works whatever else is away.
fn replay_dead_letters(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    if config.backend == Backend::Embedded {
        eprintln!("miaosha: embedded storage has no dead-letter queue: leave --dead-letters out");
        return Ok(ExitCode::from(2));
    }
    telemetry::init_logs(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    commands::replayed(runtime.block_on(wiring::replay_dead_letters(config))?, as_json)
}

/// Reaches the site, asks, and gives it free again. Opening embedded data brings its schema up to date.
fn ask(
    config: &Config,
    question: impl AsyncFnOnce(&mut Site) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut site = Site::reach(config).await?;
        let code = question(&mut site).await;
        site.close().await;
        code
    })
}
