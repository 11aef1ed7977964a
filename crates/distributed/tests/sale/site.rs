//! One sale on the services of the run, under names that nobody else uses. Nothing of it is left behind.

use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use miaosha_app::ports::Random as _;
use miaosha_distributed::mysql::{MysqlConfig, migrate};
use miaosha_distributed::rabbitmq::RabbitConfig;
use miaosha_distributed::redis::RedisConfig;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::{Book, Sale, Terms};
use miaosha_embedded::OsRandom;
use miaosha_testkit::contract::scene;
use miaosha_testkit::services::Addresses;
use redis::cluster::ClusterClient;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::process::{Process, Wiring};

/// The sale of every site.
pub(crate) const SALE: SaleId = scene::SALE;

/// A sale takes all that a small machine has: two at once would tell nothing about either.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Far above what the slowest machine needs for one call.
const CALL_MAX: Duration = Duration::from_secs(20);

/// The engines of one sale.
pub(crate) struct Site {
    name: String,
    services: Addresses,
    _alone: MutexGuard<'static, ()>,
}

impl Site {
    /// A site whose one sale has just opened.
    pub(crate) async fn open(stock: u32, terms: Terms) -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let mut bytes = [0; 8];
        OsRandom.fill(&mut bytes);
        let name = format!("miaosha_test_{:016x}", u64::from_ne_bytes(bytes));
        let site = Self { name, services: Addresses::of_this_run(), _alone: alone };
        migrate(&site.mysql(), CALL_MAX).await.unwrap();
        let first = Process::start(&site, 0, Wiring::default()).await;
        let sale = Sale { terms, ..scene::plain_sale(SALE) };
        first.ports.sales.create(&sale, &Book::new(stock, &terms)).await.unwrap();
        first.stop().await;
        site
    }

    pub(crate) fn mysql(&self) -> MysqlConfig {
        let on = |server: &str| format!("{server}/{}", self.name);
        let servers = &self.services.mysql;
        MysqlConfig {
            replicas: servers.replicas.iter().map(|server| on(server)).collect(),
            acquire_timeout: CALL_MAX,
            accept_unsafe_flush: true,
            ..MysqlConfig::new(on(&servers.primary))
        }
    }

    pub(crate) fn redis(&self) -> RedisConfig {
        let key_prefix = format!("{}:", self.name);
        RedisConfig { key_prefix, request_timeout: CALL_MAX, ..RedisConfig::new(self.redis_nodes()) }
    }

    pub(crate) fn rabbitmq(&self) -> RabbitConfig {
        RabbitConfig {
            prefix: format!("{}.", self.name),
            shards: 2,
            waits: [100, 500, 2_000, 10_000].map(Duration::from_millis).to_vec(),
            publish_limit: CALL_MAX,
            settle_limit: CALL_MAX,
            ..RabbitConfig::new(self.services.rabbitmq.clone())
        }
    }

    /// Forgets all that Redis holds of the sale's gate, in one step; whether there was anything.
    pub(crate) async fn flush_gate(&self) -> bool {
        let client = ClusterClient::new(self.redis_nodes()).unwrap();
        let mut connection = client.get_async_connection().await.unwrap();
        let parts = ["limit", "claims", "in_flight", "standby", "refused"];
        let keys = parts.map(|part| format!("{}:{{sale:{SALE}}}:v1:{part}", self.name));
        let forgotten: u64 = redis::cmd("DEL").arg(&keys).query_async(&mut connection).await.unwrap();
        forgotten > 0
    }

    fn redis_nodes(&self) -> Vec<String> {
        self.services.redis.iter().map(|node| format!("redis://{node}")).collect()
    }

    async fn forget_everything(&self) {
        self.flush_gate().await;
        let mut database = MySqlConnection::connect(&self.services.mysql.primary).await.unwrap();
        let drop = format!("DROP DATABASE IF EXISTS {}", self.name);
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut database).await.unwrap();
        self.forget_queues().await;
    }

    /// Deleting what was never declared is no error.
    async fn forget_queues(&self) {
        let config = self.rabbitmq();
        let connection = Connection::connect(&config.uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let named = |name: String| format!("{}{name}", config.prefix);
        let waits = config.waits.iter().map(|wait| format!("timers.wait.{}", wait.as_millis()));
        let shards = (0..config.shards).map(|shard| format!("requests.{shard}"));
        let others = ["requests.parked", "payments", "dead-letters"].map(str::to_owned);
        let queues = waits.chain(shards).chain(others);
        let deleted =
            queues.map(|queue| channel.queue_delete(named(queue).into(), QueueDeleteOptions::default()));
        join_all(deleted).await;
        for exchange in ["requests", "parking", "timers", "dead-letters"] {
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(named(exchange.to_owned()).into(), options).await.unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // On a thread of its own, as a runtime cannot wait for another inside itself.
        let forgotten = std::thread::scope(|scope| {
            let forgetting = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                // After a failure somebody may still hold a lock.
                runtime.block_on(async { timeout(CALL_MAX, self.forget_everything()).await })
            });
            forgetting.join()
        });
        if !matches!(forgotten, Ok(Ok(()))) {
            eprintln!("some of {} is left over", self.name);
        }
    }
}
