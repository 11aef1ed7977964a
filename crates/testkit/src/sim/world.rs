//! The world that all simulated processes share: the virtual clock, the services that survive every crash, and the
//! auditor who watches. Each call of a port is a pair of hops through it, there and back, and whatever can go wrong on
//! the way goes wrong here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use miaosha_app::{PortError, ports::PortResult};
use miaosha_domain::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::auditor::Auditor;
use super::bus::Bus;
use super::coverage::{Coverage, Mark};
use super::dice::Dice;
use super::executor::TaskFuture;
use super::gate::SimGateState;
use super::plan::{BEGIN, Plan};
use super::processes::Processes;
use super::provider::Provider;
use super::queue::Queue;
use super::sabotage::Sabotage;
use super::store::Store;
use super::timers::Timers;

/// The longest that a call or an answer takes, and the longest that a process stands still.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(2);
pub(super) const STALL_MAX: Duration = Duration::from_secs(4);

/// Everything there is, behind one lock that only one task at a time ever asks for.
pub(super) struct World {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) step: u64,
    pub(super) dice: Dice,
    pub(super) plan: Plan,
    /// Whether faults still happen.
    pub(super) is_faulty: bool,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) coverage: Coverage,
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) timers: Timers,
    pub(super) bus: Bus,
    pub(super) gate: SimGateState,
    pub(super) provider: Provider,
    pub(super) auditor: Auditor,
    pub(super) processes: Processes,
    pub(super) spawns: Vec<Spawn>,
    sleepers: BinaryHeap<Reverse<Sleeper>>,
    sleepers_made: u64,
    trace: Option<Vec<String>>,
}

/// A task that a running task asked for.
pub(super) struct Spawn {
    pub(super) process: usize,
    pub(super) incarnation: u64,
    pub(super) future: TaskFuture,
}

struct Sleeper {
    at: Timestamp,
    number: u64,
    waker: Waker,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    pub(super) fn new(mut dice: Dice, sabotage: Option<Sabotage>, is_traced: bool) -> Arc<Self> {
        let processes = Processes::new();
        let plan = Plan::draw(&mut dice, processes.len());
        let store = Store::new(&plan.sale, plan.stock);
        let auditor = Auditor::new(&store.rows, plan.poison);
        let state = State {
            now: BEGIN,
            step: 0,
            dice,
            plan,
            is_faulty: true,
            sabotage,
            coverage: Coverage::default(),
            store,
            queue: Queue::default(),
            timers: Timers::default(),
            bus: Bus::default(),
            gate: SimGateState::default(),
            provider: Provider::default(),
            auditor,
            processes,
            spawns: Vec::new(),
            sleepers: BinaryHeap::new(),
            sleepers_made: 0,
            trace: is_traced.then(Vec::new),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// One turn of the scheduler or more: anything may happen before it is over.
    pub(super) fn hop(&self) -> Wait<'_> {
        Wait { world: self, span: None, until: None }
    }

    /// Returns after `span` of virtual time.
    pub(super) fn sleep(&self, span: Duration) -> Wait<'_> {
        Wait { world: self, span: Some(span), until: None }
    }

    /// A call that changes nothing: `read` runs between two hops.
    pub(super) async fn read<T>(
        &self,
        what: &'static str,
        read: impl FnOnce(&mut State) -> T + Send,
    ) -> PortResult<T> {
        self.hop().await;
        let value = {
            let mut state = self.state();
            if state.strikes(Mark::ReadFailed, 100) {
                return Err(PortError::retryable(what, "the connection broke"));
            }
            read(&mut state)
        };
        self.hop().await;
        Ok(value)
    }

    /// A call with an effect: it may be lost before the effect (`lost`) or its answer after it (`answer_lost`).
    pub(super) async fn call<T: Send>(
        &self,
        what: &'static str,
        (lost, answer_lost): (Mark, Mark),
        effect: impl FnOnce(&mut State) -> T + Send,
    ) -> PortResult<T> {
        self.hop().await;
        let value = {
            let mut state = self.state();
            if state.strikes(lost, 12) {
                return Err(PortError::retryable(what, "it was not reached"));
            }
            effect(&mut state)
        };
        self.hop().await;
        if self.state().strikes(answer_lost, 12) {
            return Err(PortError::retryable(what, "it did not answer"));
        }
        Ok(value)
    }
}

impl State {
    /// Whether a fault of this kind happens now: once in `n` times, while there are faults.
    pub(super) fn strikes(&mut self, fault: Mark, n: u64) -> bool {
        let strikes = self.is_faulty && self.plan.has(fault) && self.dice.one_in(n);
        if strikes {
            self.mark(fault);
        }
        strikes
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.coverage.mark(mark);
        self.note(|| mark.name().to_owned());
    }

    /// Writes a line to the trace, if there is one.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let at_ms = self.now.saturating_since(BEGIN).as_millis();
            let line = format!("{:>6} {at_ms:>7} ms  {}", self.step, line());
            self.trace.get_or_insert_default().push(line);
        }
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// How long something random between `low_ms` and `high_ms` takes.
    pub(super) fn draw_span(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(self.dice.between(low_ms, high_ms))
    }

    /// How long something takes that takes a millisecond at least.
    pub(super) fn draw_span_up_to(&mut self, longest: Duration) -> Duration {
        let longest_ms = u64::try_from(longest.as_millis()).expect("a few seconds");
        self.draw_span(1, longest_ms)
    }

    /// How late something is: mostly not at all.
    pub(super) fn draw_delay(&mut self, fault: Mark) -> Duration {
        if !self.strikes(fault, 25) {
            return Duration::ZERO;
        }
        let longest = if self.dice.one_in(6) { DELAY_MAX } else { Duration::from_millis(200) };
        self.draw_span_up_to(longest)
    }

    /// How long something slow takes that is slow once in `n` times; `None` if it is not.
    pub(super) fn draw_slow(&mut self, fault: Mark, n: u64, longest: Duration) -> Option<Duration> {
        if !self.strikes(fault, n) {
            return None;
        }
        let longest = if self.dice.one_in(3) { longest } else { Duration::from_millis(300) };
        Some(self.draw_span_up_to(longest))
    }

    pub(super) fn wake_at(&mut self, at: Timestamp, waker: &Waker) {
        self.sleepers_made += 1;
        self.sleepers.push(Reverse(Sleeper { at, number: self.sleepers_made, waker: waker.clone() }));
    }

    /// When the next sleeper wakes.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.sleepers.peek().map(|Reverse(sleeper)| sleeper.at)
    }

    /// Moves the clock, and wakes whoever slept until then.
    pub(super) fn advance_to(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        while self.sleepers.peek().is_some_and(|Reverse(sleeper)| sleeper.at <= self.now) {
            if let Some(Reverse(sleeper)) = self.sleepers.pop() {
                sleeper.waker.wake();
            }
        }
    }

    /// Starts a task of the process as it is now; if it crashes before, the task never was.
    pub(super) fn spawn(&mut self, process: usize, future: impl Future<Output = ()> + Send + 'static) {
        let incarnation = self.processes.incarnation(process);
        self.spawns.push(Spawn { process, incarnation, future: Box::pin(future) });
    }
}

/// Waits for the scheduler, and for virtual time.
pub(super) struct Wait<'a> {
    world: &'a World,
    span: Option<Duration>,
    until: Option<Timestamp>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.world.state();
        let Some(until) = self.until else {
            let span = self.span.unwrap_or_else(|| state.draw_delay(Mark::CallSlow));
            let until = state.now + span;
            if span.is_zero() {
                context.waker().wake_by_ref();
            } else {
                state.wake_at(until, context.waker());
            }
            drop(state);
            self.until = Some(until);
            return Poll::Pending;
        };
        if state.now >= until {
            return Poll::Ready(());
        }
        state.wake_at(until, context.waker());
        Poll::Pending
    }
}
