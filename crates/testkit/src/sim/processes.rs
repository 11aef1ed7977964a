//! The simulated processes: which there are, what each runs, how they crash and come back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::decide_batch::decide_batch;
use miaosha_app::model::User;
use miaosha_app::ports::{Ids, NewUser, PortResult, Ports, UserStore};
use miaosha_app::reconcile_payments::reconcile_payments;
use miaosha_app::settle_sale::{settle_sale, sweep};
use miaosha_app::tend_gate::GateTender;
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;

use super::bus::SimBus;
use super::coverage::Mark;
use super::executor::Executor;
use super::gate::SimGate;
use super::provider::SimProvider;
use super::queue::SimQueue;
use super::store::SimStore;
use super::time::{SimClock, SimRandom};
use super::timers::SimTimers;
use super::web_node::WebNode;
use super::world::{STALL_MAX, World};

/// What a process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Takes requests, answers look-ups, takes payments, holds sockets.
    Web,
    /// Decides batches.
    Consumer,
    /// Ends and promotes on timers and by sweeping, and reconciles payments.
    Settler,
    /// The clients and the merchandiser: outside of what may crash.
    Outside,
}

const ROLES: [Role; 7] =
    [Role::Web, Role::Web, Role::Consumer, Role::Consumer, Role::Settler, Role::Settler, Role::Outside];
/// The process that clients run in.
pub(super) const OUTSIDE: usize = 6;

/// The longest that a process is cut off: longer than a node trusts a silence, and than it looks back.
const CUT_OFF_MAX: Duration = Duration::from_secs(20);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Every process.
pub(super) struct Processes {
    all: Vec<Process>,
    is_crashing: bool,
}

struct Process {
    role: Role,
    incarnation: u64,
    /// When it starts again, if it is down.
    down_until: Option<Timestamp>,
    stalled_until: Timestamp,
    cut_off_until: Timestamp,
    node: Option<Arc<WebNode>>,
}

impl Processes {
    pub(super) fn new() -> Self {
        let all = ROLES.map(|role| Process {
            role,
            incarnation: 0,
            down_until: Some(Timestamp::from_millis(0)),
            stalled_until: Timestamp::from_millis(0),
            cut_off_until: Timestamp::from_millis(0),
            node: None,
        });
        Self { all: all.into(), is_crashing: false }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn incarnation(&self, process: usize) -> u64 {
        self.all[process].incarnation
    }

    /// Whether tasks are being dropped because their process crashed.
    pub(super) fn is_crashing(&self) -> bool {
        self.is_crashing
    }

    /// The web nodes that are up.
    pub(super) fn list_nodes(&self) -> impl Iterator<Item = &Arc<WebNode>> {
        self.all.iter().filter_map(|process| process.node.as_ref())
    }

    /// The processes that stand still at `now`, a bit each.
    pub(super) fn stalled(&self, now: Timestamp) -> u64 {
        let stalled = self.all.iter().enumerate().filter(|(_, process)| process.stalled_until > now);
        stalled.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// Whether the process reaches neither the database nor the bus.
    pub(super) fn is_cut_off(&self, process: usize, now: Timestamp) -> bool {
        self.all[process].cut_off_until > now
    }

    /// When something happens to a process by itself.
    pub(super) fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let stalls = self.all.iter().map(|process| process.stalled_until).filter(|until| *until > now);
        stalls.chain(self.all.iter().filter_map(|process| process.down_until)).min()
    }

    /// Lets go of everything that refers to the world.
    pub(super) fn clear(&mut self) -> Vec<Option<Arc<WebNode>>> {
        self.all.iter_mut().map(|process| process.node.take()).collect()
    }
}

/// Crashes a process: its memory is lost, and whatever it did stops where it was.
pub(super) fn crash(world: &World, executor: &mut Executor, process: usize) {
    let node = {
        let mut state = world.state();
        let down_until = state.now + state.draw_span(50, 3_000);
        let crashed = &mut state.processes.all[process];
        crashed.down_until = Some(down_until);
        crashed.incarnation += 1;
        let mark = match crashed.role {
            Role::Web => Mark::CrashWeb,
            Role::Consumer => Mark::CrashConsumer,
            Role::Settler | Role::Outside => Mark::CrashSettler,
        };
        let node = crashed.node.take();
        state.processes.is_crashing = true;
        state.mark(mark);
        node
    };
    executor.kill(process);
    drop(node);
    world.state().processes.is_crashing = false;
}

/// Lets a process stand still for a while.
pub(super) fn stall(world: &World, process: usize) {
    let mut state = world.state();
    let until = state.now + state.draw_span_up_to(STALL_MAX);
    state.processes.all[process].stalled_until = until;
}

/// Cuts a process off from the database and the bus for a while.
pub(super) fn cut_off(world: &World, process: usize) {
    let mut state = world.state();
    let until = state.now + state.draw_span_up_to(CUT_OFF_MAX);
    state.processes.all[process].cut_off_until = until;
}

/// Whether the process is up and may crash.
pub(super) fn may_crash(world: &World, process: usize) -> bool {
    let state = world.state();
    let process = &state.processes.all[process];
    process.role != Role::Outside && process.down_until.is_none()
}

/// Starts every process whose time has come; all of them at once when `is_healing`.
pub(super) fn start_due(world: &Arc<World>, is_healing: bool) {
    for process in 0..ROLES.len() {
        let is_due = {
            let mut state = world.state();
            let now = state.now;
            let candidate = &mut state.processes.all[process];
            if is_healing {
                candidate.stalled_until = now;
                candidate.cut_off_until = now;
            }
            let is_due = candidate.down_until.is_some_and(|until| is_healing || until <= now);
            if is_due {
                candidate.down_until = None;
            }
            is_due
        };
        if is_due {
            start(world, process);
        }
    }
}

fn start(world: &Arc<World>, process: usize) {
    let ports = ports_of(world, process);
    match ROLES[process] {
        Role::Web => {
            let limits = world.state().plan.desk;
            let node = WebNode::start(world, process, ports, limits);
            world.state().processes.all[process].node = Some(node);
        }
        Role::Consumer => {
            for _ in 0..2 {
                world.state().spawn(process, consume(ports.clone()));
            }
        }
        Role::Settler => {
            let mut state = world.state();
            state.spawn(process, wake_by_timers(ports.clone()));
            state.spawn(process, sweep_each_second(ports.clone()));
            state.spawn(process, reconcile_each_second(ports));
        }
        Role::Outside => {}
    }
}

async fn consume(ports: Ports) {
    while let Some(delivery) = ports.queue.next().await {
        // An error means that the delivery comes again.
        let _settled = decide_batch(&ports, delivery).await;
    }
}

async fn wake_by_timers(ports: Ports) {
    while let Some(sale) = ports.timers.next().await {
        // What fails is found by the sweeper.
        let _settled = settle_sale(&ports, sale).await;
    }
}

async fn sweep_each_second(ports: Ports) {
    let mut tender = GateTender::default();
    loop {
        tender.repair_during(ports.clock.sleep(SWEEP_EVERY)).await;
        // What fails is tried again in a second.
        let _swept = sweep(&ports, &mut tender).await;
    }
}

async fn reconcile_each_second(ports: Ports) {
    loop {
        ports.clock.sleep(SWEEP_EVERY).await;
        // What fails is tried again in a second.
        let _reconciled = reconcile_payments(&ports).await;
    }
}

fn ports_of(world: &Arc<World>, process: usize) -> Ports {
    let skew_ms = world.state().plan.skews_ms[process];
    let clock = Arc::new(SimClock { world: world.clone(), skew_ms });
    let store = Arc::new(SimStore { world: world.clone(), process });
    let node = u16::try_from(process).expect("a few processes");
    Ports {
        clock: clock.clone(),
        random: Arc::new(SimRandom { world: world.clone() }),
        ids: Arc::new(Ids::new(clock, node)),
        sales: store.clone(),
        claims: store.clone(),
        orders: store.clone(),
        payments: store,
        users: Arc::new(NoUsers),
        provider: Arc::new(SimProvider { world: world.clone() }),
        queue: Arc::new(SimQueue { world: world.clone() }),
        timers: Arc::new(SimTimers { world: world.clone() }),
        bus: Arc::new(SimBus { world: world.clone(), process }),
        gate: Arc::new(SimGate { world: world.clone() }),
    }
}

/// Nobody signs up or in during a run.
struct NoUsers;

fn no_users<T>() -> PortResult<T> {
    Err(PortError::terminal("using accounts", "a run has none"))
}

#[async_trait]
impl UserStore for NoUsers {
    async fn create(&self, _user: &User) -> PortResult<NewUser> {
        no_users()
    }

    async fn create_missing(&self, _users: &[User]) -> PortResult<Vec<UserId>> {
        no_users()
    }

    async fn lookup(&self, _id: UserId) -> PortResult<Option<User>> {
        no_users()
    }

    async fn lookup_by_email(&self, _email: &str) -> PortResult<Option<User>> {
        no_users()
    }
}
