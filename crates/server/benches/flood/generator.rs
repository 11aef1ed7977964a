//! The flood: `miaosha-load buy`, open loop, in a process of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::FLOOD_CORE;
use crate::stage::Stage;
use crate::usage::Process;

/// It lasts longer than the measurement, so that what it used can be read while it runs.
const LONGER: Duration = Duration::from_secs(2);

/// A flood under way. Ends with this process at the latest.
#[derive(Debug)]
pub(crate) struct Generator {
    child: Child,
    report: PathBuf,
}

/// What the generator says of itself; times in microseconds, from when a request was due.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Flood {
    pub(crate) rate_asked_per_s: f64,
    pub(crate) elapsed_s: f64,
    pub(crate) requests: Requests,
    pub(crate) error_share: f64,
    pub(crate) answers_per_s: f64,
    pub(crate) by_http_status: BTreeMap<u16, u64>,
    pub(crate) by_word: BTreeMap<String, u64>,
    pub(crate) latency: Latency,
    pub(crate) seconds: Vec<Second>,
}

/// One second of the flood.
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

/// From when a request was due to its answer.
#[expect(clippy::struct_field_names, reason = "the unit, and the names in that report")]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Generator {
    /// Begins. `sale` must be open.
    pub(crate) fn start(
        stage: &Stage,
        sale: &str,
        rate: u32,
        connections: u32,
        span: Duration,
    ) -> anyhow::Result<Self> {
        let report = stage.directory().join("flood.json");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &FLOOD_CORE.to_string()]);
        command.arg(binary()?).arg("buy").args(["--url", &stage.base(), "--sale", sale]);
        command.arg("--tokens").arg(stage.tokens()).args(["--rate", &format!("{rate}/s")]);
        command.args(["--connections", &connections.to_string()]);
        command.args(["--duration", &format!("{}s", (span + LONGER).as_secs()), "--repeat", "1000000"]);
        command.arg("--json").arg(&report).stdout(Stdio::null());
        let child = command.spawn().context("cannot start miaosha-load")?;
        Ok(Self { child, report })
    }

    /// The generator.
    pub(crate) fn process(&self) -> Process {
        Process { name: "generator", id: self.child.id() }
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Flood> {
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
        bail!("{} is missing: run `make flood`, which builds it", path.display());
    }
    Ok(path)
}
