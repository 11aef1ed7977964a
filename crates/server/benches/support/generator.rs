//! The load: `miaosha-load buy`, in a process of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::usage::Process;

/// What is sent.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    /// Where the site is.
    pub(crate) base: &'a str,
    /// Must be open; people are divided among them.
    pub(crate) sales: &'a [String],
    /// Session tokens, one a line; used in rounds.
    pub(crate) tokens: PathBuf,
    /// Also the most requests in flight.
    pub(crate) connections: u32,
    pub(crate) pace: Pace,
    /// The core that it is bound to; that of the starting thread if `None`.
    pub(crate) core: Option<u16>,
    /// Where the generator writes its report.
    pub(crate) report: PathBuf,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Open loop: so many a second, whatever the site does.
    ByTheClock { rate: u32, span: Duration },
    /// Closed loop: so many in all, each as soon as its connection has the answer to the last.
    AsAnswered { requests: u64 },
}

/// A load under way. Ends with this process at the latest.
#[derive(Debug)]
pub(crate) struct Generator {
    child: Child,
    report: PathBuf,
}

/// What the generator says of itself; times in microseconds, in an open loop from when a request was due.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    pub(crate) rate_asked_per_s: Option<f64>,
    pub(crate) elapsed_s: f64,
    pub(crate) requests: Requests,
    pub(crate) error_share: f64,
    pub(crate) answers_per_s: f64,
    pub(crate) by_http_status: BTreeMap<u16, u64>,
    pub(crate) by_word: BTreeMap<String, u64>,
    pub(crate) latency: Latency,
    pub(crate) seconds: Vec<Second>,
}

/// One second of the load.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) latency: Latency,
}

/// How many requests came to what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Due, and not sent.
    pub(crate) not_sent: u64,
}

/// From when a request was due or sent to its answer.
#[expect(clippy::struct_field_names, reason = "the unit, and the names in that report")]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// Far above what a closed loop needs.
const CLOSED_LOOP_MAX: Duration = Duration::from_mins(10);

impl Generator {
    /// Begins.
    pub(crate) fn start(load: &Load<'_>) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(core) = load.core {
            command.args(["taskset", "--cpu-list", &core.to_string()]);
        }
        command.arg(binary()?).arg("buy").args(["--url", load.base]);
        command.args(load.sales.iter().flat_map(|sale| ["--sale", sale]));
        command.arg("--tokens").arg(&load.tokens).args(["--connections", &load.connections.to_string()]);
        let span = match load.pace {
            Pace::ByTheClock { rate, span } => {
                command.args(["--rate", &format!("{rate}/s")]);
                span
            }
            Pace::AsAnswered { requests } => {
                command.args(["--requests", &requests.to_string()]);
                CLOSED_LOOP_MAX
            }
        };
        command.args(["--duration", &format!("{}s", span.as_secs()), "--repeat", "1000000"]);
        command.arg("--json").arg(&load.report).stdout(Stdio::null());
        let child = command.spawn().context("cannot start miaosha-load")?;
        Ok(Self { child, report: load.report.clone() })
    }

    /// The generator.
    pub(crate) fn process(&self) -> Process {
        Process { name: "generator", id: self.child.id() }
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> anyhow::Result<LoadReport> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("miaosha-load failed: {status}");
        }
        let file = BufReader::new(File::open(&self.report)?);
        serde_json::from_reader(file).context("the report of miaosha-load")
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Only after an error is it still there.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The generator beside the site's binary.
fn binary() -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_miaosha")).with_file_name("miaosha-load");
    if !path.exists() {
        bail!("{} is missing: run `make bench` or `make flood`, which build it", path.display());
    }
    Ok(path)
}
