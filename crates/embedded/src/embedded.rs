//! Opens everything that one process needs, and closes it again.

use std::path::Path;
use std::sync::Arc;

use miaosha_app::ports::{
    ClaimStore, Clock, IdempotencyStore, Ids, OpenGate, OrderStore, OutcomeBus, PaymentProvider,
    PaymentStore, Ports, Random, RequestQueue, SaleStore, TimerQueue, UserStore,
};
use miaosha_app::sandbox::Sandbox;

use crate::sandbox::SqliteSandboxStore;
use crate::sqlite::{self, Database, DirectoryLock, OpenError};
use crate::{InProcessBus, InProcessQueue, InProcessTimers, OsRandom, SystemClock};

/// The ports of a site that runs in one process on one data directory.
///
/// The stores run one writing transaction at a time in all, whatever it locks: whoever waits for a second one while
/// holding a first waits for himself, until the first is rolled back for taking longer than a transaction may.
pub struct Embedded {
    /// Sales.
    pub sales: Arc<dyn SaleStore>,
    /// Claims.
    pub claims: Arc<dyn ClaimStore>,
    /// Orders.
    pub orders: Arc<dyn OrderStore>,
    /// Payments.
    pub payments: Arc<dyn PaymentStore>,
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Answers kept for repeated requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Requests on their way to a decision.
    pub queue: Arc<dyn RequestQueue>,
    /// Wake-ups.
    pub timers: Arc<dyn TimerQueue>,
    /// News of commits.
    pub bus: Arc<dyn OutcomeBus>,
    /// The payment sandbox.
    pub provider: Arc<dyn PaymentProvider>,
    /// The clock that judges deadlines, too.
    pub clock: Arc<dyn Clock>,
    /// The operating system's randomness.
    pub random: Arc<dyn Random>,
    resources: Resources,
}

/// What has to be shut down.
struct Resources {
    database: Arc<Database>,
    sandbox: Arc<SqliteSandboxStore>,
    queue: Arc<InProcessQueue>,
    timers: Arc<InProcessTimers>,
    bus: Arc<InProcessBus>,
}

impl Embedded {
    /// Opens a data directory; makes it, for this user alone, if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::InUse`] while another process, or another `Embedded` of this one, has it open.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        Self::open_with_clock(data_dir, Arc::new(SystemClock))
    }

    /// The same by another clock, so that tests need not wait for deadlines.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with_clock(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let lock = Arc::new(DirectoryLock::take(data_dir)?);
        let database = Arc::new(Database::open(data_dir, &lock, Arc::clone(&clock))?);
        let sandbox = Arc::new(SqliteSandboxStore::open(data_dir, &lock)?);
        let queue = Arc::new(InProcessQueue::new(InProcessQueue::WAITING_MAX));
        let timers = Arc::new(InProcessTimers::new(Arc::clone(&clock)));
        let bus = Arc::new(InProcessBus::new(InProcessBus::BEHIND_MAX));
        Ok(Self {
            sales: Arc::new(sqlite::SqliteSaleStore::new(Arc::clone(&database))),
            claims: Arc::new(sqlite::SqliteClaimStore::new(Arc::clone(&database))),
            orders: Arc::new(sqlite::SqliteOrderStore::new(Arc::clone(&database))),
            payments: Arc::new(sqlite::SqlitePaymentStore::new(Arc::clone(&database))),
            users: Arc::new(sqlite::SqliteUserStore::new(Arc::clone(&database))),
            idempotency: Arc::new(sqlite::SqliteIdempotencyStore::new(Arc::clone(&database))),
            queue: Arc::clone(&queue) as _,
            timers: Arc::clone(&timers) as _,
            bus: Arc::clone(&bus) as _,
            provider: Arc::new(Sandbox::new(Arc::clone(&sandbox) as _, Arc::clone(&clock))),
            clock,
            random: Arc::new(OsRandom),
            resources: Resources { database, sandbox, queue, timers, bus },
        })
    }

    /// Every port that the use cases need, as `node`; two live nodes need different numbers.
    pub fn ports(&self, node: u16) -> Ports {
        Ports {
            clock: self.clock.clone(),
            random: self.random.clone(),
            ids: Arc::new(Ids::new(self.clock.clone(), node)),
            sales: self.sales.clone(),
            claims: self.claims.clone(),
            orders: self.orders.clone(),
            payments: self.payments.clone(),
            users: self.users.clone(),
            provider: self.provider.clone(),
            queue: self.queue.clone(),
            timers: self.timers.clone(),
            bus: self.bus.clone(),
            gate: Arc::new(OpenGate),
        }
    }

    /// Ends the queue, the timers and the bus: whoever waits on them is told, what is under way is finished. Idempotent.
    pub fn stop(&self) {
        self.resources.queue.shut_down();
        self.resources.timers.shut_down();
        self.resources.bus.shut_down();
    }

    /// Stops, finishes every transaction that was asked for before, writes everything back into the main files, and
    /// gives the directory free. Calls on ports afterwards are errors. Idempotent.
    pub async fn close(&self) {
        self.stop();
        self.resources.database.close().await;
        self.resources.sandbox.close().await;
    }
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}
