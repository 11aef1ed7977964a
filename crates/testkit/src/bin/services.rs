//! Real services on this machine: for a developer to play with, under a whole site, or around one command.
//!
//! `services` prints where they are and runs until interrupted. `services --site BINARY [--port PORT]` runs the whole demo
//! site on them, two processes of the binary for each role behind Nginx, until interrupted. `services -- COMMAND…` runs
//! the command with `TESTKIT_SERVICES` set, and ends with its exit code. What is started is in
//! `miaosha_testkit::services`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context as _;
use miaosha_testkit::services::{Services, Site, SitePlan, VARIABLE};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// The database that a developer finds made.
const DATABASE: &str = "miaosha";

fn main() -> anyhow::Result<ExitCode> {
    let task = Task::of(std::env::args_os().skip(1))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    // Before the start, so that no signal ends this process without the services.
    let mut signals = Signals::catch()?;

    let began = Instant::now();
    let services = Services::start()?;
    eprintln!("services: ready after {:.1} s", began.elapsed().as_secs_f32());
    match task {
        Task::Wait => {
            print_settings(&services)?;
            runtime.block_on(signals.next());
            Ok(ExitCode::SUCCESS)
        }
        Task::Site { binary, port } => {
            let site = start_site(&services, binary, port)?;
            eprintln!(
                "services: the site is ready after {:.1} s; Ctrl-C ends it",
                began.elapsed().as_secs_f32()
            );
            for (name, value) in site.plan.environment() {
                println!("{name}={value}");
            }
            println!("{}", site.base());
            runtime.block_on(signals.next());
            Ok(ExitCode::SUCCESS)
        }
        Task::Run(command) => runtime.block_on(run(&services, &command, &mut signals)),
    }
}

/// What the services are for.
enum Task {
    /// Somebody plays with them.
    Wait,
    /// A whole site.
    Site { binary: PathBuf, port: Option<u16> },
    /// One command.
    Run(Vec<OsString>),
}

impl Task {
    fn of(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Self> {
        const USAGE: &str = "usage: services [--site BINARY [--port PORT] | -- COMMAND…]";
        let Some(first) = arguments.next() else { return Ok(Self::Wait) };
        match first.to_str() {
            Some("--") => Ok(Self::Run(arguments.collect())),
            Some("--site") => {
                let binary = arguments.next().context(USAGE)?.into();
                let port = match arguments.next() {
                    None => None,
                    Some(flag) if flag == "--port" => {
                        let number = arguments.next().context(USAGE)?;
                        Some(number.to_str().and_then(|text| text.parse().ok()).context(USAGE)?)
                    }
                    Some(_) => anyhow::bail!(USAGE),
                };
                Ok(Self::Site { binary, port })
            }
            _ => anyhow::bail!(USAGE),
        }
    }
}

/// Two processes of each role, with the demo's accounts and sales.
fn start_site(services: &Services, binary: PathBuf, port: Option<u16>) -> anyhow::Result<Site> {
    let mut plan = SitePlan::new(binary, services.addresses(), DATABASE);
    plan.is_demo = true;
    plan.front.port = port;
    Site::start(plan)
}

fn print_settings(services: &Services) -> anyhow::Result<()> {
    services.mysql.primary.query(&format!("CREATE DATABASE {DATABASE}"))?;
    let addresses = services.addresses();
    for (name, value) in addresses.settings(DATABASE) {
        println!("{name}={value}");
    }
    println!("{VARIABLE}={}", addresses.to_json());
    eprintln!("services: Ctrl-C ends them");
    Ok(())
}

async fn run(services: &Services, command: &[OsString], signals: &mut Signals) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().context("usage: services [-- COMMAND…]")?;
    // Without its services the command has no purpose: it ends with this process, too.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .args(arguments)
        .env(VARIABLE, services.addresses().to_json())
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child has a positive number")?;
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    let status = loop {
        tokio::select! {
            status = &mut ended => break status.context("waiting for the command")??,
            // A terminal has told the command by itself, and it may want to end in order; a plain `kill` has not.
            received = signals.next() => if received == Signal::TERM {
                let _ = kill_process(pid, Signal::TERM);
            },
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> anyhow::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}
