//! Control groups of Linux, which bound the memory and the processor time of a process. Speaks both versions of their
//! interface. Wants to be root, or to be given a hierarchy by whoever is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

const ROOT: &str = "/sys/fs/cgroup";
/// Processor time is given out anew after each, so that a process which has used its share does not wait for long.
const PERIOD_US: u32 = 10_000;
/// After a process has ended, until its group lets itself be removed.
const EMPTIED_WITHIN: Duration = Duration::from_secs(5);

/// What the processes of a group may use together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// Memory, that of the kernel for their sockets and files included.
    pub(crate) memory_bytes: Option<u64>,
    /// Processor time, as a share of one core in thousandths.
    pub(crate) core_thousandths: Option<u32>,
}

/// A group, which is removed when dropped. Its processes must have ended by then.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    directories: Vec<PathBuf>,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A directory for each kind of limit.
    One,
    /// One directory for all.
    Two,
}

impl ControlGroup {
    /// Makes a group with these limits. An error says what this machine lacks for it.
    pub(crate) fn new(name: &str, limits: Limits) -> anyhow::Result<Self> {
        let root = Path::new(ROOT);
        let version = if root.join("cgroup.controllers").exists() { Version::Two } else { Version::One };
        let name = format!("miaosha-bench-{}-{name}", std::process::id());
        let mut group = Self { directories: Vec::new(), version };
        match version {
            Version::One => {
                for (kind, is_wanted) in
                    [("memory", limits.memory_bytes.is_some()), ("cpu", limits.core_thousandths.is_some())]
                {
                    if is_wanted {
                        group.add(&root.join(kind), &name)?;
                    }
                }
            }
            Version::Two => {
                let hand_down = fs::write(root.join("cgroup.subtree_control"), "+memory +cpu");
                hand_down
                    .context("the root of control groups does not hand memory and processor time down")?;
                group.add(root, &name)?;
            }
        }
        group.limit(limits)?;
        Ok(group)
    }

    /// The files through which a process joins.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        self.directories.iter().map(|directory| directory.join("cgroup.procs")).collect()
    }

    /// The most memory that was used at once, in bytes.
    pub(crate) fn memory_peak(&self) -> anyhow::Result<u64> {
        let text = self.read(self.name("memory.max_usage_in_bytes", "memory.peak"))?;
        Ok(text.trim().parse()?)
    }

    /// How many of its processes were killed for their memory.
    pub(crate) fn killed(&self) -> anyhow::Result<u64> {
        let text = self.read(self.name("memory.oom_control", "memory.events"))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(count.context("the group does not tell whether it killed")?.trim().parse()?)
    }

    fn add(&mut self, parent: &Path, name: &str) -> anyhow::Result<()> {
        let directory = parent.join(name);
        fs::create_dir(&directory).with_context(|| {
            format!("cannot make the control group {} (it takes root)", directory.display())
        })?;
        self.directories.push(directory);
        Ok(())
    }

    fn limit(&self, Limits { memory_bytes, core_thousandths }: Limits) -> anyhow::Result<()> {
        if let Some(bytes) = memory_bytes {
            self.write(self.name("memory.limit_in_bytes", "memory.max"), &bytes.to_string())?;
        }
        if let Some(thousandths) = core_thousandths {
            let quota_us = PERIOD_US * thousandths / 1_000;
            match self.version {
                Version::One => {
                    self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                    self.write("cpu.cfs_quota_us", &quota_us.to_string())?;
                }
                Version::Two => self.write("cpu.max", &format!("{quota_us} {PERIOD_US}"))?,
            }
        }
        Ok(())
    }

    fn name(&self, one: &'static str, two: &'static str) -> &'static str {
        if self.version == Version::One { one } else { two }
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.file(name)?;
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.file(name)?;
        fs::write(&path, text).with_context(|| format!("cannot write {text} to {}", path.display()))
    }

    fn file(&self, name: &str) -> anyhow::Result<PathBuf> {
        let found = self.directories.iter().map(|directory| directory.join(name)).find(|path| path.exists());
        found.with_context(|| format!("this machine's control groups have no {name}"))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let deadline = Instant::now() + EMPTIED_WITHIN;
        for directory in &self.directories {
            while let Err(error) = fs::remove_dir(directory) {
                if Instant::now() > deadline {
                    eprintln!("the control group {} is left over: {error}", directory.display());
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
