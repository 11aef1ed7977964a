//! `miaosha-load`: the load generator, a process apart from the site that it measures.
//!
//! It depends on none of the site's crates: it knows the site as the outside world does, from the contract.
//! Read next: `cli` (what can be asked), `buy` (how a run goes), `http` (what is on the wire), `report`
//! (what comes out).

mod buy;
mod cli;
mod http;
mod latency;
mod report;
mod tokens;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::Buy(args) => buy::run(&args),
    };
    match outcome {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("miaosha-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
