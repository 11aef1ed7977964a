//! The seeded simulation: the real use cases on simulated ports, with a virtual clock and an auditor who trusts nobody.
//!
//! A run is a function of its seed. Six processes (two web nodes, two consumers, two that settle) and a dozen buyers
//! run as tasks of one thread; every call of a port is two turns of the scheduler, and between any two turns a process
//! may crash, stand still, or wait while the clock moves on. The services behind the ports lose, double, delay and
//! reorder as their contracts allow. After each commit and each word that anybody is told, the [`auditor`] checks
//! I1–I9; once faults have stopped, everything must come to rest.
//!
//! Read on in [`world`] (what a call goes through) and [`auditor`] (what is checked).

mod auditor;
mod bus;
mod buyer;
mod coverage;
mod dice;
mod executor;
mod gate;
mod merchandiser;
mod network;
mod plan;
mod processes;
mod provider;
mod queue;
mod sabotage;
mod store;
mod time;
mod timers;
mod web_node;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use miaosha_domain::ids::UserId;

pub use auditor::{Promise, Violation};
pub use coverage::{Coverage, Mark};
pub use sabotage::Sabotage;

use buyer::{ACTOR, Buyer, WATCHER};
use dice::Dice;
use executor::Executor;
use processes::{OUTSIDE, crash, cut_off, may_crash, stall, start_due};
use world::World;

/// The fewest steps of a run.
pub const STEPS_MIN: u64 = 200;
const STEPS_MAX: u64 = 60_000;
/// After the last fault, what began before it may still be slow for this long.
const CONVALESCENCE: Duration = Duration::from_secs(12);

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The rule that is broken on purpose, if any.
    pub sabotage: Option<Sabotage>,
    /// Whether to write down what happens.
    pub is_traced: bool,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many steps it took.
    pub steps: u64,
    /// A digest of every choice: equal for equal seeds.
    pub digest: u64,
    /// What happened how often.
    pub coverage: Coverage,
    /// The first broken promise, if any.
    pub violation: Option<Violation>,
    /// What happened, line by line, if it was asked for.
    pub trace: Vec<String>,
}

/// Runs one seed to its rest, or to the first broken promise.
pub fn run(scenario: &Scenario) -> Report {
    let mut dice = Dice::new(scenario.seed);
    let mut run = Run {
        world: World::new(Dice::new(dice.roll()), scenario.sabotage, scenario.is_traced),
        executor: Executor::new(),
        dice,
        digest: 0xCBF2_9CE4_8422_2325,
    };
    // A panic is a finding like any other; the world is not used after it but for its report.
    let outcome = catch_unwind(AssertUnwindSafe(|| run.play()));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_default();
        run.world.state().require(false, Promise::Calm, || format!("panic: {text}"));
    }
    run.into_report()
}

struct Run {
    world: Arc<World>,
    executor: Executor,
    dice: Dice,
    digest: u64,
}

impl Run {
    fn play(&mut self) {
        start_due(&self.world, true);
        self.seat_people();
        let (faults_until, settled_by) = {
            let state = self.world.state();
            (state.plan.faults_until, state.plan.settled_by())
        };
        loop {
            self.take_spawns();
            let (now, step, is_faulty) = {
                let mut state = self.world.state();
                state.step += 1;
                (state.now, state.step, state.is_faulty)
            };
            if self.world.state().violation().is_some() {
                return;
            }
            if is_faulty && now >= faults_until {
                self.world.state().is_faulty = false;
                start_due(&self.world, true);
            } else if is_faulty {
                self.strike();
            }
            if !is_faulty && step % 16 == 0 && self.is_at_rest(step, faults_until + CONVALESCENCE) {
                return;
            }
            if now > settled_by || step > STEPS_MAX {
                let unrest = self.world.state().find_unrest();
                let (promise, detail) =
                    unrest.unwrap_or((Promise::Calm, "the run does not come to rest".to_owned()));
                self.world.state().require(false, promise, || detail);
                return;
            }
            start_due(&self.world, false);
            self.take_turn();
        }
    }

    fn seat_people(&mut self) {
        let people = self.world.state().plan.people;
        for user in (1..=people).filter_map(|user| UserId::new(user).ok()) {
            let buyer = Buyer::new(self.world.clone(), user, ACTOR);
            self.world.state().spawn(OUTSIDE, buyer.buy());
            if self.dice.one_in(4) {
                let second = Buyer::new(self.world.clone(), user, WATCHER);
                self.world.state().spawn(OUTSIDE, second.watch());
            }
        }
        let manages = merchandiser::manage(self.world.clone());
        self.world.state().spawn(OUTSIDE, manages);
    }

    fn take_spawns(&mut self) {
        let spawns = std::mem::take(&mut self.world.state().spawns);
        for spawn in spawns {
            let is_alive = self.world.state().processes.incarnation(spawn.process) == spawn.incarnation;
            if is_alive {
                self.executor.spawn(spawn.process, spawn.future);
            }
        }
    }

    /// Crashes and stalls, by chance.
    fn strike(&mut self) {
        let steps_per_crash = self.world.state().plan.steps_per_crash;
        if self.dice.one_in(steps_per_crash) {
            let process = self.dice.index(OUTSIDE);
            if may_crash(&self.world, process) {
                self.note_choice(process as u64);
                crash(&self.world, &mut self.executor, process);
            }
        }
        if self.world.state().strikes(Mark::Stall, 200) {
            let process = self.dice.index(OUTSIDE);
            stall(&self.world, process);
        }
        if self.world.state().strikes(Mark::CutOff, 500) {
            let process = self.dice.index(OUTSIDE);
            cut_off(&self.world, process);
        }
    }

    /// Lets one ready task run, or the clock move on to the next moment at which anything happens.
    fn take_turn(&mut self) {
        let (now, stalled) = {
            let state = self.world.state();
            (state.now, state.processes.stalled(state.now))
        };
        let ready = self.executor.list_ready(|process| stalled & (1 << process) == 0);
        if ready.is_empty() {
            let mut state = self.world.state();
            let next = state.next_wake().into_iter().chain(state.processes.next_turn(now)).min();
            let next = next.expect("the sweeper always sleeps");
            state.advance_to(next);
            return;
        }
        let slot = ready[self.dice.index(ready.len())];
        self.note_choice(slot as u64);
        self.executor.poll(slot);
        let mut state = self.world.state();
        if state.dice.one_in(8) {
            let span = state.draw_span(1, 10);
            let next = state.now + span;
            state.advance_to(next);
        }
        if state.strikes(Mark::ClockJump, 300) {
            let span = state.draw_span(50, 1_500);
            let next = state.now + span;
            state.advance_to(next);
        }
    }

    fn is_at_rest(&mut self, step: u64, swept_from: miaosha_domain::time::Timestamp) -> bool {
        let mut state = self.world.state();
        if state.now >= swept_from {
            state.judge_sweeps();
            state.judge_pushes();
        }
        step >= STEPS_MIN && state.find_unrest().is_none()
    }

    /// FNV-1a over every choice and its moment.
    fn note_choice(&mut self, choice: u64) {
        let now = self.world.state().now.as_millis().unsigned_abs();
        for word in [choice, now] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    fn into_report(mut self) -> Report {
        for process in 0..=OUTSIDE {
            self.executor.kill(process);
        }
        let spawns = std::mem::take(&mut self.world.state().spawns);
        drop(spawns);
        let nodes = self.world.state().processes.clear();
        drop(nodes);
        let mut state = self.world.state();
        Report {
            steps: state.step,
            digest: self.digest,
            coverage: state.coverage.clone(),
            violation: state.violation().cloned(),
            trace: state.take_trace(),
        }
    }
}
