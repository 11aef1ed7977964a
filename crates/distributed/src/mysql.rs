//! MySQL and MariaDB: the database that decides, with any number of replicas to read from.
//!
//! [`Mysql::connect`] opens the stores, [`migrate`] makes their schema. Inside, a store is a file of statements on top of
//! `database` (work in tasks, retries), `transaction` (one that a caller holds), `server` (connections) and `script`
//! (how values get into statements). The schema is in `docs/SCHEMA.md`; why it is locked as it is, in
//! `sale_transaction`.

mod changes;
mod claim_store;
mod database;
mod failure;
mod idempotency_store;
mod migrate;
mod open;
mod order_store;
mod payment_store;
mod replicas;
mod rows;
mod sale_store;
mod sale_transaction;
mod sandbox;
mod script;
mod server;
mod transaction;
mod user_store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{
    ClaimStore, Clock, IdempotencyStore, OrderStore, PaymentProvider, PaymentStore, PortError, PortResult,
    SaleStore, UserStore,
};
use miaosha_app::sandbox::Sandbox;
use miaosha_domain::time::Timestamp;
use sqlx::mysql::MySqlConnectOptions;
use tokio_util::task::TaskTracker;

pub use migrate::{Migrated, migrate};
pub use open::OpenError;

use database::Database;
use replicas::Replicas;
use sandbox::MysqlSandboxStore;
use script::Script;
use server::{Server, connect_options};

use crate::fall::Fall;
use crate::tls::Trust;

/// Where the database is, and how much of it one process takes.
#[derive(Clone)]
pub struct MysqlConfig {
    /// `mysql://user:password@host:port/database`; with `?ssl-mode=required`, TLS. `verify_ca` and `verify_identity` mean
    /// the same here: the certificate is verified, and so is the host in it.
    pub primary: String,
    /// The same of each replica.
    pub replicas: Vec<String>,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The most transactions that are held at once on the primary.
    pub transactions_max: u32,
    /// The most reads at once, on the primary and on each replica.
    pub reads_max: u32,
    /// How long whoever finds no connection free waits for one.
    pub acquire_timeout: Duration,
    /// How long a read may take, with that waiting; but not one of a whole sale, for which it is a minute.
    pub read_timeout: Duration,
    /// A replica further behind than this is not read. What is measured is up to a second more than what is true.
    pub lag_max: Duration,
    /// Whether a server that may forget commits in a crash is used all the same.
    pub accept_unsafe_flush: bool,
}

impl MysqlConfig {
    /// A primary without replicas, and bounds that fit a process of a fleet.
    pub fn new(primary: impl Into<String>) -> Self {
        Self {
            primary: primary.into(),
            replicas: Vec::new(),
            trust: Trust::default(),
            transactions_max: 16,
            reads_max: 16,
            acquire_timeout: Duration::from_millis(400),
            read_timeout: Duration::from_millis(900),
            lag_max: Duration::from_secs(2),
            accept_unsafe_flush: false,
        }
    }

    /// Checks what can be checked without a server.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong.
    pub fn check(&self) -> Result<(), OpenError> {
        self.replica_options()?;
        self.primary_options().map(drop)
    }

    fn primary_options(&self) -> Result<MySqlConnectOptions, OpenError> {
        let options = connect_options(&self.primary, &self.trust)?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(OpenError::NoDatabaseNamed);
        }
        Ok(options)
    }

    fn replica_options(&self) -> Result<Vec<MySqlConnectOptions>, OpenError> {
        self.replicas.iter().map(|url| connect_options(url, &self.trust)).collect()
    }
}

/// Without the addresses, which hold passwords.
impl fmt::Debug for MysqlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlConfig")
            .field("replicas", &self.replicas.len())
            .field("trust", &self.trust)
            .field("transactions_max", &self.transactions_max)
            .field("reads_max", &self.reads_max)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("lag_max", &self.lag_max)
            .field("accept_unsafe_flush", &self.accept_unsafe_flush)
            .finish_non_exhaustive()
    }
}

/// The stores on one database.
///
/// While the primary is away, calls fail with `Retryable` within five seconds, and work again by themselves when it is
/// back.
pub struct Mysql {
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
    /// The payment sandbox.
    pub sandbox: Arc<dyn PaymentProvider>,
    database: Arc<Database>,
}

impl Mysql {
    /// Checks the primary once, and begins to look at the replicas, of which none is needed.
    ///
    /// # Errors
    /// [`OpenError`]: the primary cannot be reached, may forget commits, or has the schema of another program.
    pub async fn connect(config: &MysqlConfig, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let options = config.primary_options()?;
        let replicas = config.replica_options()?;
        let mut connection = Server::connect_alone(&options).await?;
        open::check(&mut connection, config.accept_unsafe_flush).await?;
        Ok(Self::of(Arc::new(start(config, &options, &replicas)), clock))
    }

    fn of(database: Arc<Database>, clock: Arc<dyn Clock>) -> Self {
        Self {
            sales: Arc::new(sale_store::MysqlSaleStore::new(Arc::clone(&database))),
            claims: Arc::new(claim_store::MysqlClaimStore::new(Arc::clone(&database))),
            orders: Arc::new(order_store::MysqlOrderStore::new(Arc::clone(&database))),
            payments: Arc::new(payment_store::MysqlPaymentStore::new(Arc::clone(&database))),
            users: Arc::new(user_store::MysqlUserStore::new(Arc::clone(&database))),
            idempotency: Arc::new(idempotency_store::MysqlIdempotencyStore::new(Arc::clone(&database))),
            sandbox: Arc::new(Sandbox::new(Arc::new(MysqlSandboxStore(Arc::clone(&database))), clock)),
            database,
        }
    }

    /// The clock of the primary.
    pub async fn now(&self) -> PortResult<Timestamp> {
        let select = Script::of(concat!("SELECT ", rows::now_ms!()), &[]);
        let now = self.database.lookup("read the clock", select, |row| rows::timestamp(row, 0)).await?;
        now.ok_or_else(|| PortError::retryable("read the clock", "no answer"))
    }

    /// Waits until one of the tasks that run all along has panicked, which is a defect of this crate.
    pub async fn fallen(&self) {
        self.database.fall.noted().await;
    }

    /// Ends what is under way, rolls back transactions that nobody commits within five seconds, and closes the
    /// connections. Calls on the stores afterwards are errors. Idempotent.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").finish_non_exhaustive()
    }
}

fn start(config: &MysqlConfig, primary: &MySqlConnectOptions, replicas: &[MySqlConnectOptions]) -> Database {
    let replicas =
        Arc::new(Replicas::new(replicas, config.reads_max, config.acquire_timeout, config.lag_max));
    let database = Database {
        transactions: Server::new(primary, config.transactions_max, config.acquire_timeout),
        primary: Server::new(primary, config.reads_max, config.acquire_timeout),
        replicas: Arc::clone(&replicas),
        read_max: config.read_timeout,
        tasks: TaskTracker::new(),
        fall: Fall::default(),
    };
    let (primary, tasks) = (database.primary.clone(), database.tasks.clone());
    let watch = async move { replicas.watch(&primary, &tasks).await };
    database.tasks.spawn(database.fall.watched("mysql replicas", watch));
    database
}
