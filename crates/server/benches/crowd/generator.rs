//! The crowd: `miaosha-load`, in processes of its own, and what its report says.

use std::fs::File;
use std::io::BufReader;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// Sockets that one source address gives ports to; it has about 28,000.
const SOCKETS_PER_SOURCE: u32 = 10_000;

/// Sockets to hold.
#[derive(Debug, Clone)]
pub(crate) struct Crowd<'a> {
    pub(crate) urls: &'a [String],
    /// The sockets watch these in turn.
    pub(crate) sales: &'a [String],
    /// Whether each process is bound to a core, as the servers are.
    pub(crate) pin: bool,
    /// Each socket signs in with one of its own.
    pub(crate) tokens: &'a Path,
    pub(crate) count: u32,
    /// Connects a second.
    pub(crate) rate: u32,
    /// From when all have connected or failed to.
    pub(crate) hold: Duration,
    /// Whose memory is counted.
    pub(crate) servers: &'a [u32],
    /// Questions a second, once all have connected.
    pub(crate) ask_rate: Option<u32>,
}

/// A run of the generator. Ends with this process at the latest.
pub(crate) struct Running<R> {
    child: Child,
    report: PathBuf,
    _directory: TempDir,
    _kind: std::marker::PhantomData<R>,
}

/// What the generator says of sockets.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sockets {
    pub(crate) started_us: Option<i64>,
    pub(crate) connected_us: Option<i64>,
    pub(crate) counts: Counts,
    pub(crate) connect_rate_per_s: f64,
    pub(crate) broadcasts: Vec<Broadcast>,
    pub(crate) server_memory: Option<MemoryGrowth>,
    #[serde(default)]
    pub(crate) questions_by_second: Vec<QuestionsSecond>,
}

/// What became of connections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) connected: u64,
    /// By HTTP status.
    pub(crate) refused: std::collections::BTreeMap<String, u64>,
    pub(crate) failed: std::collections::BTreeMap<String, u64>,
    pub(crate) lost: std::collections::BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

/// An event that many heard.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Broadcast {
    name: String,
    heard: u64,
    /// From the first receipt.
    since_first: Latency,
    /// From the moment at which the sale opens to the first receipt, of an opening.
    first_after_start_us: Option<i64>,
}

/// That sales opened, as all sockets heard it, each of its own. Times are from the moment at which they did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Openings {
    pub(crate) heard: u64,
    pub(crate) first_us: i64,
    pub(crate) last_us: i64,
}

/// The memory of the servers together, before the first connection and at the end.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct MemoryGrowth {
    pub(crate) before: MemoryReading,
    pub(crate) after: MemoryReading,
}

#[expect(clippy::struct_field_names, reason = "the unit, and the names in that report")]
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct MemoryReading {
    pub(crate) resident_bytes: u64,
    pub(crate) proportional_bytes: u64,
    pub(crate) slab_bytes: u64,
    pub(crate) tcp_bytes: u64,
}

/// Questions that were due in one second.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct QuestionsSecond {
    pub(crate) unix_s: i64,
    pub(crate) answered: Latency,
    pub(crate) unanswered: u64,
}

impl Crowd<'_> {
    /// Begins to connect.
    pub(crate) fn start(&self) -> anyhow::Result<Running<Sockets>> {
        let mut arguments = vec!["sockets".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--url", self.urls.first().context("nowhere to connect to")?.clone());
        self.urls.iter().for_each(|url| add("--push-url", url.clone()));
        self.sales.iter().for_each(|sale| add("--sale", sale.clone()));
        add("--tokens", self.tokens.display().to_string());
        add("--count", self.count.to_string());
        add("--connect-rate", format!("{}/s", self.rate));
        add("--connect-timeout", "60s".to_owned());
        add("--hold", format!("{}ms", self.hold.as_millis()));
        for server in self.servers {
            add("--server-pid", server.to_string());
        }
        if let Some(rate) = self.ask_rate {
            add("--ask-rate", format!("{rate}/s"));
        }
        if self.count > SOCKETS_PER_SOURCE {
            add("--sources", sources(self.count));
        }
        if self.pin {
            arguments.push("--pin".to_owned());
        }
        start(&arguments, 0)
    }

    /// To the end.
    pub(crate) fn hold(&self) -> anyhow::Result<Sockets> {
        self.start()?.finish()
    }
}

impl Sockets {
    /// The openings of all sales, if anybody heard of one.
    pub(crate) fn openings(&self) -> Option<Openings> {
        let sales = self.broadcasts.iter().filter(|broadcast| broadcast.name == "sale");
        let each = sales.filter_map(|broadcast| {
            let first_us = broadcast.first_after_start_us?;
            let last_us = first_us + i64::try_from(broadcast.since_first.max_us).unwrap_or(i64::MAX);
            Some(Openings { heard: broadcast.heard, first_us, last_us })
        });
        each.reduce(|all, one| Openings {
            heard: all.heard + one.heard,
            first_us: all.first_us.min(one.first_us),
            last_us: all.last_us.max(one.last_us),
        })
    }

    /// An error unless all of `count` connected and stayed.
    pub(crate) fn require_all(&self, count: u32) -> anyhow::Result<()> {
        let Counts { connected, refused, failed, lost } = &self.counts;
        ensure!(
            *connected == u64::from(count) && lost.is_empty(),
            "of {count} sockets {connected} connected; refused {refused:?}, failed {failed:?}, lost {lost:?}"
        );
        Ok(())
    }
}

impl Openings {
    #[expect(clippy::cast_precision_loss, reason = "seconds, in microseconds")]
    pub(crate) fn first_ms(&self) -> f64 {
        self.first_us as f64 / 1_000.0
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds, in microseconds")]
    pub(crate) fn last_us(&self) -> f64 {
        self.last_us as f64
    }
}

impl<R: DeserializeOwned> Running<R> {
    /// Its processes: the parent, and those that hold the crowd.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        let children = children.unwrap_or_default();
        std::iter::once(parent).chain(children.split(' ').filter_map(|id| id.parse().ok())).collect()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> anyhow::Result<R> {
        let status = self.child.wait()?;
        // 1 says that somebody was lost or not told, which is for whoever asked to judge.
        ensure!(matches!(status.code(), Some(0 | 1)), "miaosha-load failed: {status}");
        let file = BufReader::new(File::open(&self.report)?);
        serde_json::from_reader(file).context("the report of miaosha-load")
    }
}

impl<R> Drop for Running<R> {
    fn drop(&mut self) {
        // Only after an error is it still there.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Starts the generator with these arguments and a file for its report, at this `nice` value.
pub(crate) fn start<R: DeserializeOwned>(arguments: &[String], nice: u8) -> anyhow::Result<Running<R>> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("report.json");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "nice", "-n", &nice.to_string()]);
    command.arg(binary()?).args(arguments);
    command.arg("--json").arg(&report).stdout(Stdio::null());
    let child = command.spawn().context("cannot start miaosha-load")?;
    Ok(Running { child, report, _directory: directory, _kind: std::marker::PhantomData })
}

/// Enough addresses of this machine to connect from, other ones each time: for a minute the ports of a crowd that has gone
/// are taken, and where few are free the kernel looks long for each.
pub(crate) fn sources(sockets: u32) -> String {
    /// Far more than a program has crowds, and far from the services' own address.
    static NEXT: AtomicU32 = AtomicU32::new(Ipv4Addr::new(127, 1, 0, 1).to_bits());
    let count = sockets.div_ceil(SOCKETS_PER_SOURCE);
    let first = NEXT.fetch_add(count, Ordering::Relaxed);
    let [first, last] = [first, first + count - 1].map(Ipv4Addr::from_bits);
    format!("{first}..{last}")
}

/// The generator beside the site's binary.
fn binary() -> anyhow::Result<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_miaosha")).with_file_name("miaosha-load");
    if !path.exists() {
        bail!("{} is missing: run `make crowd`, which builds it", path.display());
    }
    Ok(path)
}
