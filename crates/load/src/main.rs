//! `miaosha-load`: the load generator, a process apart from the site that it measures.
//!
//! It depends on none of the site's crates: it knows the site as the outside world does, from the contract.
//! Read next: `cli` (what can be asked), `buy`, `sockets` and `sale` (how a run goes), `http` and `crowd` (what is on
//! the wire), `html` (what comes out, besides text and JSON).

mod buy;
mod cli;
mod clock;
mod crowd;
mod fleet;
mod html;
mod http;
mod latency;
mod memory;
mod progress;
mod report;
mod sale;
mod sockets;
mod source;
mod tokens;
mod worker;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::Buy(args) => buy::run(&args),
        cli::Command::Sockets(args) => sockets::run(&args),
        cli::Command::Sale(args) => sale::run(&args),
        cli::Command::Worker => worker::run(),
    };
    match outcome {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            eprintln!("miaosha-load: {error:#}");
            ExitCode::from(2)
        }
    }
}
