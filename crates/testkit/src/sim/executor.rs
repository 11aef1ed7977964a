//! Tasks of simulated processes, polled one at a time by the scheduler's choice. No threads, no real time.
//!
//! Which tasks are ready is a set, not a queue, so that the order in which a library wakes several of them (which may
//! be random) has no influence on a run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// What a simulated process runs.
pub(super) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

const WORDS: usize = 8;
const TASKS_MAX: usize = WORDS * 64;

/// Every task, by slot.
pub(super) struct Executor {
    slots: Vec<Option<Task>>,
    ready: Arc<ReadySet>,
    candidates: Vec<usize>,
}

struct Task {
    process: usize,
    future: TaskFuture,
    waker: Waker,
}

#[derive(Default)]
struct ReadySet([AtomicU64; WORDS]);

impl ReadySet {
    fn insert(&self, slot: usize) {
        self.0[slot / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
    }

    fn remove(&self, slot: usize) {
        self.0[slot / 64].fetch_and(!(1 << (slot % 64)), Ordering::Relaxed);
    }
}

struct SlotWaker {
    slot: usize,
    ready: Arc<ReadySet>,
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.ready.insert(self.slot);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.insert(self.slot);
    }
}

impl Executor {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), ready: Arc::default(), candidates: Vec::new() }
    }

    /// Adds a task of `process`, ready to run.
    pub(super) fn spawn(&mut self, process: usize, future: TaskFuture) {
        let slot = self.slots.iter().position(Option::is_none).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        assert!(slot < TASKS_MAX, "a run has a bounded number of tasks");
        let waker = Waker::from(Arc::new(SlotWaker { slot, ready: self.ready.clone() }));
        self.slots[slot] = Some(Task { process, future, waker });
        self.ready.insert(slot);
    }

    /// Drops every task of `process`, in the middle of whatever it does. Returns how many there were.
    pub(super) fn kill(&mut self, process: usize) -> usize {
        let mut killed = 0;
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(|task| task.process == process) {
                drop(self.slots[slot].take());
                self.ready.remove(slot);
                killed += 1;
            }
        }
        killed
    }

    /// The ready tasks of processes for which `may_run` holds, in the order of their slots.
    pub(super) fn list_ready(&mut self, may_run: impl Fn(usize) -> bool) -> &[usize] {
        self.candidates.clear();
        for (at, word) in self.ready.0.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                let slot = at * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                match self.slots.get(slot).and_then(Option::as_ref) {
                    Some(task) if may_run(task.process) => self.candidates.push(slot),
                    Some(_) => {}
                    None => self.ready.remove(slot),
                }
            }
        }
        &self.candidates
    }

    /// Lets one task run to its next wait.
    pub(super) fn poll(&mut self, slot: usize) {
        self.ready.remove(slot);
        let Some(task) = self.slots[slot].as_mut() else { return };
        let waker = task.waker.clone();
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            self.slots[slot] = None;
        }
    }
}
