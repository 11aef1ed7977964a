//! The engines behind the ports: everything in this process, or a fleet's.

use std::future::pending;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use miaosha_app::Ports;
use miaosha_app::ports::{Clock, IdempotencyStore, Ids, OutcomeBus, PeopleCap, PortError, Random, Turns};
use miaosha_distributed::Trust;
use miaosha_distributed::machine::MachineBus;
use miaosha_distributed::mysql::{self, Mysql};
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig, Replayed};
use miaosha_distributed::redis::{Redis, RedisConfig};
use miaosha_embedded::{Embedded, OsRandom, SystemClock};

use tracing::info;

use crate::config::{Backend, Config, EnginesConfig};

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
    /// Where processes of this machine share a reader.
    machine: Option<Arc<MachineBus>>,
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

    /// Whose turn it is to do what one process does for all, where there are several.
    pub(crate) fn turns(&self) -> Option<Arc<dyn Turns>> {
        match self {
            Self::Embedded(_) => None,
            Self::Distributed(distributed) => Some(distributed.redis.turns()),
        }
    }

    /// How far the clock of this node is from the database's; `None` where they are one clock.
    pub(crate) async fn clock_skew(&self) -> anyhow::Result<Option<Duration>> {
        match self {
            Self::Embedded(_) => Ok(None),
            Self::Distributed(distributed) => distributed.clock_skew().await.map(Some),
        }
    }

    /// Waits until a task of an engine has panicked: what it did is done no more.
    pub(crate) async fn fallen(&self) {
        match self {
            Self::Embedded(_) => pending().await,
            Self::Distributed(distributed) => distributed.fallen().await,
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
        let trust = trust(config)?;
        let mysql =
            Mysql::connect(&mysql_config(config, &trust), clock.clone()).await.context("mysql.primary")?;
        let redis = Redis::connect_deaf(&redis_config(config, &trust), random.as_ref())
            .await
            .context("redis.nodes")?;
        let machine = join_machine(config, &redis).await.context("push.reader_socket")?;
        let rabbitmq =
            Rabbit::connect(&rabbit_config(config, &trust), clock.clone()).await.context("rabbitmq.uri")?;
        Ok(Self { mysql, redis, machine, rabbitmq, clock, random })
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
            bus: self.bus(),
            gate: self.redis.gate(),
        }
    }

    fn bus(&self) -> Arc<dyn OutcomeBus> {
        match &self.machine {
            Some(machine) => machine.clone(),
            None => self.redis.bus(),
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

    async fn fallen(&self) {
        let machine = async {
            match &self.machine {
                Some(machine) => machine.fallen().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.mysql.fallen() => {}
            () = self.redis.fallen() => {}
            () = machine => {}
            () = self.rabbitmq.fallen() => {}
        }
    }

    async fn close(&self) {
        self.rabbitmq.close().await;
        if let Some(machine) = &self.machine {
            machine.close().await;
        }
        self.redis.close().await;
        self.mysql.close().await;
    }
}

/// Hears the news of the site: through the reader of this machine, if the configuration names one.
async fn join_machine(config: &Config, redis: &Redis) -> std::io::Result<Option<Arc<MachineBus>>> {
    let path = &config.push.reader_socket;
    if path.as_os_str().is_empty() {
        redis.listen().await;
        return Ok(None);
    }
    let mut site = DefaultHasher::new();
    (&config.redis.nodes, &config.redis.prefix, &config.mysql.primary).hash(&mut site);
    let site = format!("{:016x}", site.finish());
    let bus = MachineBus::join(path, site, redis.bus(), Box::pin(redis.listen())).await?;
    Ok(Some(Arc::new(bus)))
}

/// Whether what kept a node from being opened, or its sales from being read, may pass by itself, as an engine that is away
/// may come back. A setting that is wrong, or a schema of another program, does not.
pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
    let of_mysql = error.downcast_ref::<mysql::OpenError>().is_some_and(mysql::OpenError::may_pass);
    of_mysql || error.downcast_ref::<PortError>().is_some_and(|error| !error.is_terminal())
}

/// Checks what can be checked of the engines without asking one.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    if config.backend == Backend::Embedded {
        return Ok(());
    }
    let trust = trust(config)?;
    mysql_config(config, &trust).check().context("mysql.primary and mysql.replicas")?;
    redis_config(config, &trust).check().context("redis.nodes")?;
    rabbit_config(config, &trust).check().context("rabbitmq.uri")
}

/// Brings the schema of the primary up to date.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<()> {
    let primary = mysql_config(config, &trust(config)?);
    let migrated = mysql::migrate(&primary, MIGRATING_MAX).await.context("mysql.primary")?;
    info!(from = migrated.from, to = migrated.to, "the schema is up to date");
    Ok(())
}

/// Sends every message that waits in the dead-letter queue back where it belongs.
pub(crate) async fn replay_dead_letters(config: &Config) -> anyhow::Result<Replayed> {
    let config = rabbit_config(config, &trust(config)?);
    let rabbitmq = Rabbit::connect(&config, Arc::new(SystemClock)).await.context("rabbitmq.uri")?;
    let replayed = rabbitmq.replay_dead_letters().await.context("rabbitmq.uri");
    rabbitmq.close().await;
    replayed
}

fn trust(config: &Config) -> anyhow::Result<Trust> {
    let EnginesConfig { tls_ca_file, tls_cert_file, tls_key_file } = &config.engines;
    let is_given = |file: &Path| !file.as_os_str().is_empty();
    let trust = if is_given(tls_ca_file) {
        Trust::with_authorities(tls_ca_file).context("engines.tls_ca_file")?
    } else {
        Trust::default()
    };
    match (is_given(tls_cert_file), is_given(tls_key_file)) {
        (true, true) => trust.showing(tls_cert_file, tls_key_file).context("engines"),
        (false, false) => Ok(trust),
        _ => bail!("engines.tls_cert_file and engines.tls_key_file: give both or neither"),
    }
}

fn mysql_config(config: &Config, trust: &Trust) -> mysql::MysqlConfig {
    let settings = &config.mysql;
    mysql::MysqlConfig {
        replicas: settings.replicas.clone(),
        trust: trust.clone(),
        transactions_max: settings.connections_max / 2,
        reads_max: settings.connections_max - settings.connections_max / 2,
        lag_max: Duration::from_millis(settings.replica_lag_max_ms),
        accept_unsafe_flush: settings.accept_unsafe_flush,
        ..mysql::MysqlConfig::new(settings.primary.clone())
    }
}

fn redis_config(config: &Config, trust: &Trust) -> RedisConfig {
    let settings = &config.redis;
    RedisConfig {
        key_prefix: settings.prefix.clone(),
        trust: trust.clone(),
        ..RedisConfig::new(settings.nodes.clone())
    }
}

fn rabbit_config(config: &Config, trust: &Trust) -> RabbitConfig {
    let settings = &config.rabbitmq;
    RabbitConfig {
        prefix: settings.prefix.clone(),
        trust: trust.clone(),
        shards: settings.shards.into(),
        ..RabbitConfig::new(settings.uri.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn addresses_and_authorities_are_checked_without_asking_an_engine() {
        type Spoil = fn(&mut Config);
        let mut good = Config { backend: Backend::Distributed, ..Config::default() };
        good.redis.nodes = vec!["rediss://ann:secret@redis.invalid:6379".to_owned()];
        good.rabbitmq.uri = "amqps://ann:secret@mq.invalid/%2f".to_owned();
        good.mysql.primary = "mysql://ann:secret@db.invalid/shop?ssl-mode=required".to_owned();
        check(&good).unwrap();

        let spoil: [(&str, Spoil); 6] = [
            ("engines.tls_ca_file", |config| config.engines.tls_ca_file = PathBuf::from("/nowhere/ca.pem")),
            ("engines.tls_key_file", |config| {
                config.engines.tls_cert_file = PathBuf::from("/nowhere/client.pem");
            }),
            ("(tls_cert_file)", |config| {
                config.engines.tls_cert_file = PathBuf::from("/nowhere/client.pem");
                config.engines.tls_key_file = PathBuf::from("/nowhere/client.key");
            }),
            ("redis.nodes", |config| config.redis.nodes.push("redis.invalid:6380".to_owned())),
            ("rabbitmq.uri", |config| config.rabbitmq.shards = 0),
            ("mysql.primary", |config| {
                config.mysql.replicas =
                    vec!["mysql://ann:secret@db.invalid/shop?ssl-mode=preferred".to_owned()];
            }),
        ];
        for (setting, spoil) in spoil {
            let mut bad = good.clone();
            spoil(&mut bad);
            let refusal = format!("{:#}", check(&bad).unwrap_err());
            assert!(refusal.contains(setting) && !refusal.contains("secret"), "{refusal}");
        }
    }
}
