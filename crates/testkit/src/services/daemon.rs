//! A service process that can be killed and started again on the same port and data.
//!
//! What the single services add is in the modules beside this one.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, bail};
use parking_lot::Mutex;
use rustix::process::Signal;

use super::port::Port;
use super::process::Process;
use super::waiting::wait_until;

/// How long a service may take for an orderly end before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// One process of a service.
pub struct Daemon {
    name: String,
    port: Port,
    log: PathBuf,
    launch: Box<dyn Fn() -> Command + Send + Sync>,
    is_ready: Box<dyn Fn() -> bool + Send + Sync>,
    process: Mutex<Option<Process>>,
}

/// What every service can suffer. All calls block until the state is reached, so an async test makes them on a thread of
/// their own.
pub trait Service {
    /// The process behind it.
    fn daemon(&self) -> &Daemon;

    /// Where it listens, running or not.
    fn address(&self) -> SocketAddr {
        self.daemon().port.address()
    }

    /// The number of its process, if it runs.
    fn process_id(&self) -> Option<u32> {
        self.daemon().process.lock().as_ref().map(Process::id)
    }

    /// Ends it as a crash does (`kill -9`). Nothing if it does not run.
    fn kill(&self) {
        self.daemon().process.lock().take();
    }

    /// Ends it in order; what was accepted is stored. Its exit status; `None` if it did not run, or took so long that it
    /// was killed.
    fn stop(&self) -> Option<ExitStatus> {
        let process = self.daemon().process.lock().take()?;
        process.signal(Signal::TERM);
        process.wait(STOP_PATIENCE)
    }

    /// Starts it again with the data that it had, and waits until it answers. Nothing if it runs.
    fn start_again(&self) -> anyhow::Result<()> {
        self.daemon().start()
    }

    /// The same, and does not wait: for what is not to become ready, or not yet.
    fn launch_again(&self) -> anyhow::Result<()> {
        self.daemon().spawn()
    }

    /// Waits until it ends by itself. Its exit status; `None` if it does not run, or still runs after `patience`.
    fn wait_for_end(&self, patience: Duration) -> Option<ExitStatus> {
        self.daemon().process.lock().as_ref()?.wait(patience)
    }

    /// Stops its clock: connections stay open and nothing answers, as on a machine that hangs.
    fn freeze(&self) {
        self.daemon().signal(Signal::STOP);
    }

    /// Ends [`Service::freeze`].
    fn thaw(&self) {
        self.daemon().signal(Signal::CONT);
    }
}

impl Daemon {
    /// A daemon that does not run yet. `launch` makes its [`super::process::guarded`] command; its output goes to
    /// `DIRECTORY/NAME.log`. It is up when `is_ready` says so.
    pub(crate) fn new(
        name: impl Into<String>,
        port: Port,
        directory: &Path,
        launch: impl Fn() -> Command + Send + Sync + 'static,
        is_ready: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let log = directory.join(format!("{name}.log"));
        let (launch, is_ready) = (Box::new(launch), Box::new(is_ready));
        Self { name, port, log, launch, is_ready, process: Mutex::new(None) }
    }

    /// Starts it and waits until it is ready. Nothing if it runs.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.spawn()?;
        self.wait_until_ready()
    }

    /// Waits until it is ready. An error if it ended instead.
    pub(crate) fn wait_until_ready(&self) -> anyhow::Result<()> {
        wait_until(&format!("{} is ready", self.name), || {
            let is_running = self.process.lock().as_ref().is_some_and(Process::is_running);
            if !is_running {
                bail!("{} ended: {}", self.name, self.last_words());
            }
            Ok((self.is_ready)())
        })
        .with_context(|| self.last_words())
    }

    /// Starts it and does not wait. Nothing if it runs.
    pub(crate) fn spawn(&self) -> anyhow::Result<()> {
        let mut process = self.process.lock();
        if process.as_ref().is_some_and(Process::is_running) {
            return Ok(());
        }
        let log = File::options().append(true).create(true).open(&self.log)?;
        let mut command = (self.launch)();
        command.stdin(std::process::Stdio::null()).stdout(log.try_clone()?).stderr(log);
        *process = Some(Process::spawn(&self.name, command)?);
        Ok(())
    }

    /// Its port.
    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().as_ref() {
            process.signal(signal);
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut lines: Vec<_> = log.lines().rev().take(15).collect();
        lines.reverse();
        lines.join("\n")
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon")
            .field("name", &self.name)
            .field("port", &self.port.number())
            .finish_non_exhaustive()
    }
}
