//! How much memory processes and the kernel use, as /proc says.
//!
//! Of the kernel's share of connections, half of the growth is one end's when both ends are on this machine.

use crate::report::{approximate, share};
use anyhow::{Context, bail};
use serde::Serialize;
use std::{fmt, fs};

const PAGE_LEN: u64 = 4096;

/// One reading, all in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "figures carry their unit, also in the JSON")]
pub(crate) struct MemoryReading {
    /// The processes' resident sets, added up.
    pub(crate) resident_bytes: u64,
    /// The same with each shared page divided among those who share it.
    pub(crate) proportional_bytes: u64,
    /// The kernel's own objects, of the whole machine.
    pub(crate) slab_bytes: u64,
    /// What is under way in TCP sockets, of the whole machine.
    pub(crate) tcp_bytes: u64,
}

/// How memory grew, and what that is for one connection held, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct MemoryReport {
    pub(crate) before: MemoryReading,
    pub(crate) after: MemoryReading,
    pub(crate) resident_per_connection: f64,
    pub(crate) proportional_per_connection: f64,
    /// Half of the growth of the machine's slab and socket memory: one of the two ends on this machine.
    pub(crate) kernel_per_connection: f64,
}

/// Reads for these processes together. An error says which figure cannot be read.
pub(crate) fn read(processes: &[u32]) -> anyhow::Result<MemoryReading> {
    let mut reading = MemoryReading {
        resident_bytes: 0,
        proportional_bytes: 0,
        slab_bytes: field_kib(&file("/proc/meminfo")?, "Slab:").context("/proc/meminfo has no Slab")? * 1024,
        tcp_bytes: tcp_pages(&file("/proc/net/sockstat")?).context("/proc/net/sockstat has no TCP mem")?
            * PAGE_LEN,
    };
    for process in processes {
        let path = format!("/proc/{process}/smaps_rollup");
        let text = file(&path)?;
        let (Some(resident), Some(proportional)) = (field_kib(&text, "Rss:"), field_kib(&text, "Pss:"))
        else {
            bail!("{path} does not tell the memory of process {process}; has it ended?");
        };
        reading.resident_bytes += resident * 1024;
        reading.proportional_bytes += proportional * 1024;
    }
    Ok(reading)
}

impl MemoryReading {
    /// The greater of each figure.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            proportional_bytes: self.proportional_bytes.max(other.proportional_bytes),
            slab_bytes: self.slab_bytes.max(other.slab_bytes),
            tcp_bytes: self.tcp_bytes.max(other.tcp_bytes),
        }
    }
}

impl MemoryReport {
    pub(crate) fn draw(before: MemoryReading, after: MemoryReading, connections: u64) -> Self {
        let each = |before: u64, after: u64| share(after.saturating_sub(before), connections);
        let kernel = |reading: MemoryReading| reading.slab_bytes + reading.tcp_bytes;
        Self {
            before,
            after,
            resident_per_connection: each(before.resident_bytes, after.resident_bytes),
            proportional_per_connection: each(before.proportional_bytes, after.proportional_bytes),
            kernel_per_connection: each(kernel(before), kernel(after)) / 2.0,
        }
    }

    /// One line for people.
    pub(crate) fn write(&self, out: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let mib = |bytes: u64| approximate(bytes) / 1_048_576.0;
        writeln!(
            out,
            "{name:<11} RSS {:.1} to {:.1} MiB, PSS {:.1} to {:.1} MiB; for each socket {:.0} B RSS, {:.0} B PSS, \
             {:.0} B of the kernel",
            mib(self.before.resident_bytes),
            mib(self.after.resident_bytes),
            mib(self.before.proportional_bytes),
            mib(self.after.proportional_bytes),
            self.resident_per_connection,
            self.proportional_per_connection,
            self.kernel_per_connection,
        )
    }
}

fn file(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read {path}; a process of another user needs that user's rights"))
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let rollup =
            "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:    1234 kB\nPss:     567 kB\nPss_Anon: 1 kB\n";
        assert_eq!((field_kib(rollup, "Rss:"), field_kib(rollup, "Pss:")), (Some(1234), Some(567)));
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 1 alloc 6 mem 77\nUDP: inuse 0 mem 3\n";
        assert_eq!(tcp_pages(sockstat), Some(77));
        assert_eq!((field_kib("", "Rss:"), tcp_pages("")), (None, None));
    }

    #[test]
    fn a_process_has_memory_and_one_that_is_not_has_none() {
        let reading = read(&[std::process::id()]).unwrap();
        assert!(reading.resident_bytes >= reading.proportional_bytes && reading.proportional_bytes > 0);
        assert!(read(&[u32::MAX]).is_err());
    }
}
