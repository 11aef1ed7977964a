//! The machine that figures are of.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    /// The default of new TCP connections; it has a part in what each message costs.
    congestion_control: String,
    /// How the measured program was built: `quick` or `release`.
    profile: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 =
            memory.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or_default();
        let binary = Path::new(env!("CARGO_BIN_EXE_miaosha"));
        let profile = binary.parent().and_then(Path::file_name).unwrap_or_default();
        // Not what this thread may use, which may be bound to a core.
        let cpuinfo = read("/proc/cpuinfo");
        Self {
            processor: field(&cpuinfo, "model name").unwrap_or_default(),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: memory_kib.div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control").trim().to_owned(),
            profile: profile.to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, kernel, congestion_control, profile } = self;
        write!(
            f,
            "{processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}, TCP {congestion_control}, profile {profile}"
        )
    }
}
