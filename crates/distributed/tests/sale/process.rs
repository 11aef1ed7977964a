//! A process of a site, as far as a sale needs it: a complete set of adapters, a board that is followed, a desk, and
//! the tasks of a consumer. Two of them share nothing but the engines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::board::{Board, BoardSale, News};
use miaosha_app::decide_batch::decide_batch;
use miaosha_app::follow::{Follower, Listener};
use miaosha_app::ports::{Clock, Ids, Random};
use miaosha_app::reconcile_payments::reconcile_payments;
use miaosha_app::request_buy::{DeskLimits, RequestDesk};
use miaosha_app::settle_sale::{settle_sale, sweep};
use miaosha_app::tend_gate::GateTender;
use miaosha_distributed::mysql::Mysql;
use miaosha_distributed::rabbitmq::Rabbit;
use miaosha_distributed::redis::Redis;
use miaosha_embedded::{OsRandom, SystemClock};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::site::{SALE, Site};

const SWEEP_EVERY: Duration = Duration::from_secs(1);
const RECONCILE_EVERY: Duration = Duration::from_secs(1);
/// Small batches, so that a crowd is many of them.
const BATCH_LEN_MAX: usize = 128;

/// How a process differs from the usual.
pub(crate) struct Wiring {
    /// Puts something before ports.
    pub(crate) wrap: Box<dyn Fn(Ports) -> Ports>,
    /// Hears what is new on the board.
    pub(crate) listener: Arc<dyn Listener>,
}

impl Default for Wiring {
    fn default() -> Self {
        Self { wrap: Box::new(|ports| ports), listener: Arc::new(NobodyListens) }
    }
}

struct NobodyListens;

impl Listener for NobodyListens {
    fn hear(&self, _news: &News) {}
}

/// One process. Without [`Process::stop`] its tasks are aborted.
pub(crate) struct Process {
    pub(crate) ports: Ports,
    pub(crate) board: Arc<Board>,
    pub(crate) desk: Arc<RequestDesk>,
    mysql: Mysql,
    redis: Redis,
    rabbitmq: Rabbit,
    /// How often settling failed, and was left to the next wake-up or sweep.
    pub(crate) settled_later: Arc<AtomicU64>,
    tasks: JoinSet<()>,
    stopped: CancellationToken,
}

impl Process {
    /// Connects to every engine. Nothing is taken from a queue yet.
    pub(crate) async fn start(site: &Site, node: u16, wiring: Wiring) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let mysql = Mysql::connect(&site.mysql(), clock.clone()).await.unwrap();
        let redis = Redis::connect(&site.redis(), random.as_ref()).await.unwrap();
        let rabbitmq = Rabbit::connect(&site.rabbitmq(), clock.clone()).await.unwrap();
        let ports = Ports {
            ids: Arc::new(Ids::new(clock.clone(), node)),
            clock,
            random,
            sales: mysql.sales.clone(),
            claims: mysql.claims.clone(),
            orders: mysql.orders.clone(),
            payments: mysql.payments.clone(),
            users: mysql.users.clone(),
            provider: mysql.sandbox.clone(),
            queue: rabbitmq.queue(),
            timers: rabbitmq.timers(),
            bus: redis.bus(),
            gate: redis.gate(),
        };
        let ports = (wiring.wrap)(ports);
        let limits = DeskLimits { batch_len_max: BATCH_LEN_MAX, ..DeskLimits::default() };
        let desk = Arc::new(RequestDesk::new(ports.clock.clone(), ports.queue.clone(), limits));
        let (tasks, stopped) = (JoinSet::new(), CancellationToken::new());
        let board = Arc::new(Board::new());
        let settled_later = Arc::default();
        let mut process = Self { ports, board, desk, mysql, redis, rabbitmq, settled_later, tasks, stopped };
        process.follow(wiring.listener).await;
        process
    }

    /// The sale, as this process knows it.
    pub(crate) fn sale(&self) -> Arc<BoardSale> {
        self.board.lookup(SALE).unwrap()
    }

    /// Begins to decide, to settle and to finish payments.
    pub(crate) fn consume(&mut self) {
        for _ in 0..self.ports.queue.lanes() {
            self.tasks.spawn(decide(self.ports.clone()));
        }
        self.spawn(wake(self.ports.clone(), self.settled_later.clone()));
        self.spawn(sweep_each_second(self.ports.clone(), self.settled_later.clone()));
        self.spawn(reconcile_each_second(self.ports.clone()));
    }

    /// Ends every task and closes what it stood on.
    pub(crate) async fn stop(mut self) {
        self.stopped.cancel();
        self.rabbitmq.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.rabbitmq.close().await;
        self.redis.close().await;
        self.mysql.close().await;
    }

    /// A task that is dropped, wherever it is, at the stop.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tasks.spawn(async move {
            let _ = stopped.run_until_cancelled(task).await;
        });
    }

    async fn follow(&mut self, listener: Arc<dyn Listener>) {
        let mut follower = Follower::new(self.ports.clone(), self.board.clone(), listener);
        follower.catch_up().await.unwrap();
        self.spawn(follower.run());
        let (desk, stopped) = (self.desk.clone(), self.stopped.clone());
        self.tasks.spawn(async move { desk.run(stopped.cancelled_owned()).await });
    }
}

async fn decide(ports: Ports) {
    while let Some(delivery) = ports.queue.next().await {
        // What is not settled comes again.
        let _ = decide_batch(&ports, delivery).await;
    }
}

async fn wake(ports: Ports, settled_later: Arc<AtomicU64>) {
    while let Some(sale) = ports.timers.next().await {
        if settle_sale(&ports, sale).await.is_err() {
            settled_later.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn sweep_each_second(ports: Ports, settled_later: Arc<AtomicU64>) {
    let mut tender = GateTender::default();
    loop {
        if sweep(&ports, &mut tender).await.is_err() {
            settled_later.fetch_add(1, Ordering::Relaxed);
        }
        ports.clock.sleep(SWEEP_EVERY).await;
    }
}

async fn reconcile_each_second(ports: Ports) {
    loop {
        let _ = reconcile_payments(&ports).await;
        ports.clock.sleep(RECONCILE_EVERY).await;
    }
}

/// Waits until `is_so`.
///
/// # Panics
/// If it is not so after `limit`, which is far above what the slowest machine needs.
pub(crate) async fn until(what: &str, limit: Duration, mut is_so: impl AsyncFnMut() -> bool) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let waited = timeout(limit, async {
        while !is_so().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited {} s in vain until {what}", limit.as_secs()));
}
