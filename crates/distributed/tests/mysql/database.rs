//! Databases for tests: each its own, on the servers that the run was given, dropped at the end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use miaosha_distributed::mysql::{Mysql, MysqlConfig, OpenError, migrate};
use miaosha_embedded::SystemClock;
use miaosha_testkit::contract::Stores;
use miaosha_testkit::services::{Addresses, MysqlAddresses};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection};

/// A database of its own, with the schema. Dropped when this is.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    /// Its name.
    pub(crate) name: String,
    /// The servers that have it.
    pub(crate) servers: MysqlAddresses,
}

impl TestDatabase {
    /// An empty one, without a schema.
    pub(crate) async fn empty() -> Self {
        let servers = Addresses::of_this_run().mysql;
        let mut connection = MySqlConnection::connect(&servers.primary).await.unwrap();
        let number: u64 = sqlx::query_scalar("SELECT UUID_SHORT()").fetch_one(&mut connection).await.unwrap();
        Self { name: format!("miaosha_test_{number}"), servers }
    }

    /// One with the schema.
    pub(crate) async fn migrated() -> Self {
        let database = Self::empty().await;
        migrate(&database.config(), Duration::from_secs(10)).await.unwrap();
        database
    }

    /// On the primary.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.servers.primary, self.name)
    }

    /// Waits as long as a busy machine needs, and takes no heed of how the servers flush.
    pub(crate) fn config(&self) -> MysqlConfig {
        MysqlConfig {
            acquire_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(20),
            accept_unsafe_flush: true,
            ..MysqlConfig::new(self.url())
        }
    }

    /// The stores on it.
    pub(crate) async fn connect(&self) -> Mysql {
        connect(&self.config()).await.unwrap()
    }

    /// A connection to it.
    pub(crate) async fn connection(&self) -> MySqlConnection {
        MySqlConnection::connect(&self.url()).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.servers.primary.clone(), self.name.clone());
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(sqlx::Error::Io)?;
            runtime.block_on(async {
                let mut connection = MySqlConnection::connect(&url).await?;
                execute(&mut connection, &format!("DROP DATABASE IF EXISTS {name}")).await
            })
        })
        .join();
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("the database {} is left over", self.name);
        }
    }
}

/// Opens the stores.
pub(crate) async fn connect(config: &MysqlConfig) -> Result<Mysql, OpenError> {
    Mysql::connect(config, Arc::new(SystemClock)).await
}

/// Runs statements.
pub(crate) async fn execute(connection: &mut MySqlConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
}

/// Runs a query.
pub(crate) async fn rows(connection: &mut MySqlConnection, sql: &str) -> Vec<MySqlRow> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap()
}

/// The stores in the form that the contract suites take. The servers run on this machine, by its clock.
pub(crate) fn stores_of(mysql: Arc<Mysql>, keep: Box<dyn std::any::Any + Send>) -> Stores {
    Stores {
        sales: Arc::clone(&mysql.sales),
        claims: Arc::clone(&mysql.claims),
        orders: Arc::clone(&mysql.orders),
        payments: Arc::clone(&mysql.payments),
        users: Arc::clone(&mysql.users),
        idempotency: Arc::clone(&mysql.idempotency),
        clock: Arc::new(SystemClock),
        keep: Box::new((mysql, keep)),
    }
}
