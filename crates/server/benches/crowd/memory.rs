//! What memory there is, and what processes have of it, as /proc tells.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::usage::approximate;

const KIB: u64 = 1024;

/// A process that has not grown or shrunk by more than this for `STILL_FOR` has come to rest.
const STILL_BYTES: u64 = 64 * KIB;
const STILL_FOR: Duration = Duration::from_secs(5);
/// So long a process is given to come to rest.
const RESTLESS_MAX: Duration = Duration::from_mins(1);

/// For reading.
pub(crate) fn gib(bytes: u64) -> f64 {
    approximate(bytes) / approximate(1 << 30)
}

/// A line of /proc/meminfo, in bytes.
pub(crate) fn of_machine(name: &str) -> anyhow::Result<u64> {
    field(&fs::read_to_string("/proc/meminfo")?, name)
}

/// A line of `/proc/PID/smaps_rollup`, such as `Rss` or `Pss`, in bytes.
pub(crate) fn of_process(process: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    field(&text, name)
}

/// An error if the machine has less memory to give than a run will need.
pub(crate) fn require_available(bytes: u64, what: &str) -> anyhow::Result<()> {
    let available = of_machine("MemAvailable")?;
    ensure!(
        available >= bytes,
        "{what} need {:.1} GiB, and {:.1} GiB are free: ask for less",
        gib(bytes),
        gib(available)
    );
    Ok(())
}

/// Says so if the kernel may run short of its memory for TCP, of which a sale of a million was seen to use half a page for each
/// connection: beyond `tcp_mem` it throws packets away, and sockets with them.
pub(crate) fn warn_of_tcp_limit(sockets: u32) {
    let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default();
    let pressure: Option<u64> = limits.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    let needed = u64::from(sockets);
    if pressure.is_some_and(|pages| pages < needed) {
        let [low, high] = [needed * 3 / 4, needed * 3 / 2];
        eprintln!(
            "crowd: TCP has less memory than {sockets} sockets may need; as root, sysctl \
             net.ipv4.tcp_mem='{low} {needed} {high}' gives it more"
        );
    }
}

/// Waits until processes have come to rest after their start: what they give back later would be taken from what is
/// measured.
pub(crate) fn wait_for_rest(processes: &[u32]) -> anyhow::Result<()> {
    let read =
        || processes.iter().map(|process| of_process(*process, "Rss")).collect::<anyhow::Result<Vec<_>>>();
    let began = Instant::now();
    let (mut known, mut since) = (read()?, began);
    while since.elapsed() < STILL_FOR && began.elapsed() < RESTLESS_MAX {
        std::thread::sleep(STILL_FOR / 5);
        let now = read()?;
        let is_still = known.iter().zip(&now).all(|(known, now)| known.abs_diff(*now) <= STILL_BYTES);
        if !is_still {
            (known, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib =
        value.and_then(|value| value.trim().strip_suffix(" kB")).with_context(|| format!("no {name}"))?;
    Ok(kib.parse::<u64>()? * KIB)
}
