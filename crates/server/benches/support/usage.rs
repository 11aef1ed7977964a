//! Who uses which core: processor time from /proc, user and system together.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::time::Instant;

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::Serialize;

/// What /proc counts processor time in, on every Linux that is not built otherwise.
const TICKS_PER_S: f64 = 100.0;

/// Binds the calling thread, and all threads and processes that it starts from now on, to one core.
pub(crate) fn bind_to(core: u16) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core.into());
    Ok(sched_setaffinity(None, &cores)?)
}

/// A process, by the name that it is reported under; several may share one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) name: &'static str,
    pub(crate) id: u32,
}

/// What was used up to a moment.
#[derive(Debug)]
pub(crate) struct Reading {
    at: Instant,
    processes: BTreeMap<&'static str, u64>,
    /// By those that this process had started and that have ended.
    ended: u64,
    cores: Vec<Core>,
}

/// What was used between two moments. All shares are of one core, in percent.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) elapsed_s: f64,
    pub(crate) processes: BTreeMap<&'static str, f64>,
    /// By processes that ended meanwhile, from their beginning.
    pub(crate) ended: f64,
    /// By other processes than ours, and by the kernel's own threads. On a quiet machine a few percent.
    pub(crate) others: f64,
    /// Of each core, by whomever.
    pub(crate) cores_busy: Vec<f64>,
    /// Of each core, what the machine below gave to others.
    pub(crate) cores_stolen: Vec<f64>,
    /// The load of the last minute, as `uptime` shows it.
    pub(crate) load: f64,
}

#[derive(Debug, Clone, Copy)]
struct Core {
    total: u64,
    idle: u64,
    stolen: u64,
}

impl Reading {
    /// Reads now. An error if a process is gone.
    pub(crate) fn take(processes: &[Process]) -> anyhow::Result<Self> {
        let mut used = BTreeMap::new();
        for Process { name, id } in processes {
            let ticks = process_ticks(*id).with_context(|| format!("what {name} has used; has it ended?"))?;
            *used.entry(*name).or_default() += ticks;
        }
        let ended = ended_ticks().context("what those used that have ended")?;
        Ok(Self { at: Instant::now(), processes: used, ended, cores: cores()? })
    }

    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Usage {
        let elapsed_s = (self.at - before.at).as_secs_f64();
        let elapsed_ticks = elapsed_s * TICKS_PER_S;
        let share = |(name, ticks): (&&'static str, &u64)| {
            let used = ticks.saturating_sub(before.processes.get(name).copied().unwrap_or_default());
            (*name, percent(used, elapsed_ticks))
        };
        let cores = self.cores.iter().zip(&before.cores);
        let of_core = |used: fn(Core) -> u64| {
            let share = |(now, before): (&Core, &Core)| {
                percent(used(*now).saturating_sub(used(*before)), approximate(now.total - before.total))
            };
            cores.clone().map(share).collect()
        };
        let processes: BTreeMap<_, _> = self.processes.iter().map(share).collect();
        let cores_busy: Vec<f64> = of_core(|core| core.total - core.idle - core.stolen);
        let ended = percent(self.ended.saturating_sub(before.ended), elapsed_ticks);
        let ours = processes.values().sum::<f64>() + ended;
        Usage {
            elapsed_s,
            others: (cores_busy.iter().sum::<f64>() - ours).max(0.0),
            processes,
            ended,
            cores_busy,
            cores_stolen: of_core(|core| core.stolen),
            load: load().unwrap_or_default(),
        }
    }
}

impl Usage {
    /// Processor time of the processes of this name, in seconds; 0 if there are none.
    pub(crate) fn cpu_s(&self, name: &str) -> f64 {
        self.processes.get(name).map_or(0.0, |share| share / 100.0 * self.elapsed_s)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<_> =
            self.processes.iter().map(|(name, share)| format!("{name} {share:.0} %")).collect();
        let ended = if self.ended > 0.0 { format!(", ended {:.0} %", self.ended) } else { String::new() };
        writeln!(f, "  of a core {}{ended}, others {:.0} %", shares.join(", "), self.others)?;
        for (core, (busy, stolen)) in self.cores_busy.iter().zip(&self.cores_stolen).enumerate() {
            write!(f, "  core {core}: {busy:.0} % busy, {stolen:.0} % stolen;")?;
        }
        writeln!(f, "  load {:.2}", self.load)
    }
}

/// Where in `/proc/ID/stat` the times are, counted from the state: user and system, of the process itself.
const OWN: usize = 11;
/// The same of its children that have ended.
const CHILDREN: usize = 13;

fn process_ticks(id: u32) -> anyhow::Result<u64> {
    ticks(&format!("/proc/{id}/stat"), OWN)
}

fn ended_ticks() -> anyhow::Result<u64> {
    ticks("/proc/self/stat", CHILDREN)
}

fn ticks(path: &str, first: usize) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path)?;
    // The fields behind the name, which may hold anything but a closing parenthesis at its end.
    let fields = text.rsplit(") ").next().context("no fields")?;
    let mut ticks = fields.split(' ').skip(first).take(2);
    let mut next = || ticks.next().context("too few fields")?.parse::<u64>().context("no number");
    Ok(next()? + next()?)
}

fn cores() -> anyhow::Result<Vec<Core>> {
    let text = fs::read_to_string("/proc/stat")?;
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    text.lines().filter(is_core).map(core).collect()
}

/// A line such as `cpu0 user nice system idle iowait irq softirq steal guest guest_nice`.
fn core(line: &str) -> anyhow::Result<Core> {
    let ticks: Vec<u64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
    // A guest's time is in the first two already.
    let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = ticks[..] else {
        anyhow::bail!("/proc/stat is not as documented: {line}");
    };
    let total = user + nice + system + idle + iowait + irq + softirq + stolen;
    Ok(Core { total, idle: idle + iowait, stolen })
}

fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("an empty file")?.parse()?)
}

fn percent(part_ticks: u64, whole_ticks: f64) -> f64 {
    if whole_ticks > 0.0 { 100.0 * approximate(part_ticks) / whole_ticks } else { 0.0 }
}

/// As a number to calculate shares and rates with.
#[expect(clippy::cast_precision_loss, reason = "exact to 2^52, and only shown")]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}
