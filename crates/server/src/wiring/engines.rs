//! The engines behind the ports: everything in this process, or a fleet's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use miaosha_app::Ports;
use miaosha_app::ports::{Clock, IdempotencyStore, Ids, PeopleCap, Random};
use miaosha_distributed::mysql::{self, Mysql};
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_distributed::redis::{Redis, RedisConfig};
use miaosha_embedded::{Embedded, OsRandom, SystemClock};

use tracing::info;

use crate::config::{Backend, Config};

/// How long a migration waits for another one to end.
const MIGRATING_MAX: Duration = Duration::from_mins(1);

/// What the ports of a process stand on.
pub(crate) enum Engines {
    /// One machine.
    Embedded(Box<Embedded>),
    /// A fleet's.
    Distributed(Box<Distributed>),
}

/// The engines of a fleet, as one process uses them.
pub(crate) struct Distributed {
    mysql: Mysql,
    redis: Redis,
    rabbitmq: Rabbit,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Engines {
    /// Opens what the configuration names.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        match config.backend {
            Backend::Embedded => Ok(Self::Embedded(Box::new(Embedded::open(&config.data_dir)?))),
            Backend::Distributed => Ok(Self::Distributed(Box::new(Distributed::connect(config).await?))),
        }
    }

    /// Every port that the use cases need, as `node`.
    pub(crate) fn ports(&self, node: u16) -> Ports {
        match self {
            Self::Embedded(embedded) => embedded.ports(node),
            Self::Distributed(distributed) => distributed.ports(node),
        }
    }

    /// Answers kept for repeated requests.
    pub(crate) fn idempotency(&self) -> Arc<dyn IdempotencyStore> {
        match self {
            Self::Embedded(embedded) => embedded.idempotency.clone(),
            Self::Distributed(distributed) => distributed.mysql.idempotency.clone(),
        }
    }

    /// The people cap, where several processes share one.
    pub(crate) fn people_cap(&self) -> Option<Arc<dyn PeopleCap>> {
        match self {
            Self::Embedded(_) => None,
            Self::Distributed(distributed) => Some(distributed.redis.people_cap()),
        }
    }

    /// How far the clock of this node is from the database's; `None` where they are one clock.
    pub(crate) async fn clock_skew(&self) -> anyhow::Result<Option<Duration>> {
        match self {
            Self::Embedded(_) => Ok(None),
            Self::Distributed(distributed) => distributed.clock_skew().await.map(Some),
        }
    }

    /// Ends the queues: whoever waits on them is told, what is under way is finished. Idempotent.
    pub(crate) fn stop(&self) {
        match self {
            Self::Embedded(embedded) => embedded.stop(),
            Self::Distributed(distributed) => distributed.rabbitmq.stop(),
        }
    }

    /// Finishes what was asked for, and gives the data free.
    pub(crate) async fn close(&self) {
        match self {
            Self::Embedded(embedded) => embedded.close().await,
            Self::Distributed(distributed) => distributed.close().await,
        }
    }
}

impl Distributed {
    async fn connect(config: &Config) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let mysql = Mysql::connect(&mysql_config(config), clock.clone()).await.context("mysql.primary")?;
        let redis = Redis::connect(&redis_config(config), random.as_ref()).await.context("redis.nodes")?;
        let rabbitmq =
            Rabbit::connect(&rabbit_config(config), clock.clone()).await.context("rabbitmq.uri")?;
        Ok(Self { mysql, redis, rabbitmq, clock, random })
    }

    fn ports(&self, node: u16) -> Ports {
        Ports {
            clock: self.clock.clone(),
            random: self.random.clone(),
            ids: Arc::new(Ids::new(self.clock.clone(), node)),
            sales: self.mysql.sales.clone(),
            claims: self.mysql.claims.clone(),
            orders: self.mysql.orders.clone(),
            payments: self.mysql.payments.clone(),
            users: self.mysql.users.clone(),
            provider: self.mysql.sandbox.clone(),
            queue: self.rabbitmq.queue(),
            timers: self.rabbitmq.timers(),
            bus: self.redis.bus(),
            gate: self.redis.gate(),
        }
    }

    /// Half of what asking took is counted as the way there.
    async fn clock_skew(&self) -> anyhow::Result<Duration> {
        let asked_at = self.clock.now();
        let theirs = self.mysql.now().await?;
        let took = self.clock.now().saturating_since(asked_at);
        let ours = asked_at + took / 2;
        Ok(ours.saturating_since(theirs).max(theirs.saturating_since(ours)).saturating_sub(took / 2))
    }

    async fn close(&self) {
        self.rabbitmq.close().await;
        self.redis.close().await;
        self.mysql.close().await;
    }
}

/// Brings the schema of the primary up to date.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    let migrated = mysql::migrate(&config.mysql.primary, MIGRATING_MAX).await.context("mysql.primary")?;
    info!(from = migrated.from, to = migrated.to, "the schema is up to date");
    Ok(())
}

fn mysql_config(config: &Config) -> mysql::MysqlConfig {
    let settings = &config.mysql;
    mysql::MysqlConfig {
        replicas: settings.replicas.clone(),
        transactions_max: settings.connections_max / 2,
        reads_max: settings.connections_max - settings.connections_max / 2,
        lag_max: Duration::from_millis(settings.replica_lag_max_ms),
        accept_unsafe_flush: settings.accept_unsafe_flush,
        ..mysql::MysqlConfig::new(settings.primary.clone())
    }
}

fn redis_config(config: &Config) -> RedisConfig {
    let settings = &config.redis;
    RedisConfig { key_prefix: settings.prefix.clone(), ..RedisConfig::new(settings.nodes.clone()) }
}

fn rabbit_config(config: &Config) -> RabbitConfig {
    let settings = &config.rabbitmq;
    RabbitConfig {
        prefix: settings.prefix.clone(),
        shards: settings.shards.into(),
        ..RabbitConfig::new(settings.uri.clone())
    }
}
