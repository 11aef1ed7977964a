//! A child process that never outlives the one that started it, however that one ends.
//!
//! Linux kills it when its parent *thread* is gone, so each child has a thread of its own that lives as long as it does.
//! Not for restarting or readiness: see [`super::daemon`].

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::{Condvar, Mutex};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A running or ended child, in a process group of its own. Dropping it kills the group and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    ending: Arc<Ending>,
}

#[derive(Debug, Default)]
struct Ending {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// Where a process runs, and what it may use. By default wherever the thread that starts it may run, and as much as that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The cores that it is bound to, with all that it starts. A process of the site makes as many threads as it has cores.
    pub cores: Vec<u16>,
    /// Of several processes, each is bound to one of the cores, in turn, instead of all of them.
    pub takes_turns: bool,
    /// The control groups that it is in from its beginning: the file `cgroup.procs` of each. Of several processes, each has
    /// one of these lists, in turn.
    pub groups: Vec<Vec<PathBuf>>,
    /// How much it gives way to others where the cores are wanted by more than there are: its `nice` value.
    pub nice: u8,
}

impl Place {
    /// On one core.
    pub fn on(core: u16) -> Self {
        Self { cores: vec![core], ..Self::default() }
    }

    /// Where the process of this number runs, of several that have this place.
    pub(crate) fn of(&self, number: usize) -> Self {
        fn own<T: Clone>(of_all: &[T], number: usize) -> Vec<T> {
            number.checked_rem(of_all.len()).map(|turn| of_all[turn].clone()).into_iter().collect()
        }
        let cores = if self.takes_turns { own(&self.cores, number) } else { self.cores.clone() };
        Self { cores, groups: own(&self.groups, number), ..self.clone() }
    }
}

/// A command that runs `program` so that it is killed when the starting process ends in any way. Further arguments,
/// variables and streams are the caller's.
///
/// `/usr/sbin` is searched too: servers live there, and a developer's `PATH` often lacks it.
pub(crate) fn guarded(program: &str) -> Command {
    guarded_at(&Place::default(), program)
}

/// The same, at a place.
pub(crate) fn guarded_at(place: &Place, program: &str) -> Command {
    // The signal is not sent for a parent that was gone before it was asked for; hence the look at the parent.
    // As for open files: some machines allow a thousand million, and Erlang makes room for each.
    const EXEC_IF_PARENT_LIVES: &str = r#"
        [ "$PPID" = "$0" ] || exit 1
        while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done
        shift
        ulimit -n 20000 2>/dev/null || ulimit -n "$(ulimit -H -n)"
        PATH=$PATH:/usr/sbin:/sbin
        exec "$@""#;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "sh", "-c", EXEC_IF_PARENT_LIVES]);
    command.arg(std::process::id().to_string()).args(place.groups.iter().flatten()).arg("--");
    if !place.cores.is_empty() {
        let cores: Vec<_> = place.cores.iter().map(u16::to_string).collect();
        command.args(["taskset", "--cpu-list", &cores.join(",")]);
    }
    if place.nice > 0 {
        command.args(["nice", "-n", &place.nice.to_string()]);
    }
    command.arg(program);
    command
}

impl Process {
    /// Starts a [`guarded`] command.
    pub(crate) fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let ending = Arc::new(Ending::default());
        let (started, start) = mpsc::sync_channel(1);
        let seen = Arc::clone(&ending);
        command.process_group(0);
        std::thread::Builder::new()
            .name(format!("keeps {name}"))
            .spawn(move || match command.spawn() {
                Ok(child) => {
                    let is_awaited = started.send(Ok(child.id())).is_ok();
                    debug_assert!(is_awaited, "whoever starts a process waits for its number");
                    seen.await_end_of(child);
                }
                Err(error) => drop(started.send(Err(error))),
            })
            .context("a thread for the process")?;
        let id = start
            .recv()
            .context("the thread ended before the process began")?
            .with_context(|| format!("{name} does not start (is util-linux's setpriv installed?)"))?;
        let pid =
            i32::try_from(id).ok().and_then(Pid::from_raw).context("a process has a positive number")?;
        Ok(Self { pid, ending })
    }

    /// Its number, which is also its group's.
    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&self) -> bool {
        self.ending.status.lock().is_none()
    }

    /// Sends a signal to the whole group; nothing if it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        // Under the lock the number cannot have been given to another process: the end is recorded under it too.
        let status = self.ending.status.lock();
        if status.is_none() {
            // The group may be all zombies by now, which is as good as told.
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Waits for the end. `None` if it did not come within `patience`.
    pub(crate) fn wait(&self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        let mut status = self.ending.status.lock();
        while status.is_none() {
            if self.ending.changed.wait_until(&mut status, deadline).timed_out() {
                break;
            }
        }
        *status
    }

    /// `kill -9` to the whole group, and waits until the process is gone.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        let mut status = self.ending.status.lock();
        while status.is_none() {
            self.ending.changed.wait(&mut status);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ending {
    fn await_end_of(&self, mut child: Child) {
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a positive number");
        // First without reaping, so that the number stays taken until the end is recorded.
        while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            assert_eq!(error, rustix::io::Errno::INTR, "a child of this process can be waited for");
        }
        let mut status = self.status.lock();
        // What the leader left behind in its group goes with it.
        let _ = kill_process_group(pid, Signal::KILL);
        *status = Some(child.wait().expect("a child is reaped once"));
        self.changed.notify_all();
    }
}
