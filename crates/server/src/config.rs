//! Configuration: defaults, then the file, then the environment, then flags. The only place that reads the environment.
//!
//! Every value has its unit in its name. Unknown keys are an error. `miaosha config print` shows what is in force, but
//! for what is secret.

mod engines;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

pub(crate) use engines::{EnginesConfig, MysqlConfig, RabbitmqConfig, RedisConfig, SecretsConfig};

/// Everything that can be set. The commented example is `deploy/miaosha.example.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where sales are kept.
    pub(crate) backend: Backend,
    /// Where this node keeps its data, its secrets and its control socket.
    pub(crate) data_dir: PathBuf,
    /// 0 to 1023, on the distributed backend 0 to 999; two live nodes need different numbers.
    pub(crate) node: u16,
    pub(crate) server: ServerConfig,
    pub(crate) buying: BuyingConfig,
    pub(crate) checkout: CheckoutConfig,
    pub(crate) accounts: AccountsConfig,
    pub(crate) push: PushConfig,
    pub(crate) engines: EnginesConfig,
    pub(crate) redis: RedisConfig,
    pub(crate) rabbitmq: RabbitmqConfig,
    pub(crate) mysql: MysqlConfig,
    pub(crate) secrets: SecretsConfig,
    pub(crate) log: LogConfig,
    pub(crate) dev: DevConfig,
}

/// The storage and messaging behind the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Backend {
    /// One machine: `SQLite` and in-process queues.
    Embedded,
    /// Fleets: Redis Cluster, RabbitMQ and `MySQL` with read replicas.
    Distributed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// Address and port of everything HTTP.
    pub(crate) listen: SocketAddr,
    /// Accept loops; 0 for one per core.
    pub(crate) accept_threads: usize,
    /// Open connections, at the most.
    pub(crate) connections_max: usize,
    /// The head of a request may take so long.
    pub(crate) head_timeout_ms: u64,
    /// An idle keep-alive connection is closed after this.
    pub(crate) idle_timeout_ms: u64,
    /// A connection is closed whose client reads nothing of its answer for so long.
    pub(crate) stall_timeout_ms: u64,
    /// How long a shutdown waits for what is under way.
    pub(crate) drain_timeout_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BuyingConfig {
    /// How long the first request of a batch waits for company.
    pub(crate) batch_window_ms: u64,
    /// People in one batch, at the most.
    pub(crate) batch_len_max: usize,
    /// Batches of one sale that are handed over and not confirmed, at the most.
    pub(crate) batches_in_flight_max: usize,
    /// People waiting to be handed over, at the most.
    pub(crate) people_waiting_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CheckoutConfig {
    /// How long a payment may hold a claim.
    pub(crate) lease_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AccountsConfig {
    /// Passwords hashed at once; 0 for one per core.
    pub(crate) hashing_at_once_max: usize,
    /// Sign-ins waiting to be hashed, at the most.
    pub(crate) hashing_waiting_max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PushConfig {
    /// Reactor threads; 0 for one per two cores, at least one.
    pub(crate) threads: usize,
    pub(crate) ping_interval_ms: u64,
    pub(crate) ping_timeout_ms: u64,
    /// Open sockets, at the most.
    pub(crate) sockets_max: usize,
    /// New sockets in a second, at the most.
    pub(crate) connects_per_second_max: u32,
    /// Messages of one client in a second, at the most; beyond it the socket is closed.
    pub(crate) client_messages_per_second_max: u32,
    /// Takes no new sockets while a control group of the process uses more of its memory limit.
    pub(crate) memory_used_max_percent: u8,
    /// Processes of one machine that are given the same one share a reader; empty for none.
    pub(crate) reader_socket: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// Such as `info` or `miaosha_app=debug,info`.
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DevConfig {
    /// Allows `miaosha token mint`: session tokens without a password, for load tests. Never in production.
    pub(crate) token_mint: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::Embedded,
            data_dir: PathBuf::from("miaosha-data"),
            node: 0,
            server: ServerConfig::default(),
            buying: BuyingConfig::default(),
            checkout: CheckoutConfig::default(),
            accounts: AccountsConfig::default(),
            push: PushConfig::default(),
            engines: EnginesConfig::default(),
            redis: RedisConfig::default(),
            rabbitmq: RabbitmqConfig::default(),
            mysql: MysqlConfig::default(),
            secrets: SecretsConfig::default(),
            log: LogConfig::default(),
            dev: DevConfig::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            accept_threads: 0,
            connections_max: 4_000,
            head_timeout_ms: 5_000,
            idle_timeout_ms: 30_000,
            stall_timeout_ms: 60_000,
            drain_timeout_ms: 10_000,
        }
    }
}

impl Default for BuyingConfig {
    fn default() -> Self {
        Self {
            batch_window_ms: 2,
            batch_len_max: 1_024,
            batches_in_flight_max: 4,
            people_waiting_max: 200_000,
        }
    }
}

impl Default for CheckoutConfig {
    fn default() -> Self {
        Self { lease_ms: 60_000 }
    }
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self { hashing_at_once_max: 0, hashing_waiting_max: 256 }
    }
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            sockets_max: 15_000,
            connects_per_second_max: 20_000,
            client_messages_per_second_max: 1_000,
            memory_used_max_percent: 75,
            reader_socket: PathBuf::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// What flags set; they win over everything.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    pub(crate) file: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
}

const ENV_PREFIX: &str = "MIAOSHA";

impl Config {
    /// Reads and checks the configuration.
    pub(crate) fn load(flags: Flags) -> anyhow::Result<Self> {
        let environment = config::Environment::with_prefix(ENV_PREFIX).prefix_separator("_").separator("__");
        Self::load_from(flags, environment)
    }

    fn load_from(flags: Flags, environment: config::Environment) -> anyhow::Result<Self> {
        let mut builder = config::Config::builder();
        if let Some(file) = &flags.file {
            builder = builder.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        let mut environment = environment.try_parsing(true).list_separator(",");
        for list in engines::LISTS {
            environment = environment.with_list_parse_key(list);
        }
        let mut config: Self = builder
            .add_source(environment)
            .build()?
            .try_deserialize()
            .context("the configuration is wrong")?;
        if let Some(data_dir) = flags.data_dir {
            config.data_dir = data_dir;
        }
        if let Some(listen) = flags.listen {
            config.server.listen = listen;
        }
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.node < 1_024, "node = {}: give a number from 0 to 1023", self.node);
        ensure!(
            (1..=3_600_000).contains(&self.checkout.lease_ms),
            "checkout.lease_ms = {}: give 1 to 3600000",
            self.checkout.lease_ms
        );
        ensure!(self.buying.batch_len_max > 0, "buying.batch_len_max must be at least 1");
        ensure!(self.buying.batches_in_flight_max > 0, "buying.batches_in_flight_max must be at least 1");
        ensure!(self.server.connections_max > 0, "server.connections_max must be at least 1");
        ensure!(self.server.head_timeout_ms > 0, "server.head_timeout_ms must be at least 1");
        ensure!(self.push.ping_interval_ms > 0, "push.ping_interval_ms must be at least 1");
        ensure!(
            self.push.client_messages_per_second_max >= 100,
            "push.client_messages_per_second_max = {}: give at least 100, for a page that connects says something of each sale that it has shown",
            self.push.client_messages_per_second_max
        );
        ensure!(
            (1..=100).contains(&self.push.memory_used_max_percent),
            "push.memory_used_max_percent = {}: give 1 to 100",
            self.push.memory_used_max_percent
        );
        if self.backend == Backend::Distributed {
            self.check_engines()?;
        }
        Ok(())
    }

    /// How long a payment may hold a claim.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.checkout.lease_ms)
    }

    /// How long a shutdown waits for what is under way.
    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.server.drain_timeout_ms)
    }

    /// Where other commands reach this node.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> config::Environment {
        let pairs: HashMap<String, String> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        config::Environment::with_prefix(ENV_PREFIX).prefix_separator("_").separator("__").source(Some(pairs))
    }

    #[test]
    fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("miaosha.toml");
        std::fs::write(&file, "node = 3\n[checkout]\nlease_ms = 5\n[log]\nfilter = \"warn\"\n").unwrap();
        let flags = || Flags { file: Some(file.clone()), ..Flags::default() };
        let env = [("MIAOSHA_CHECKOUT__LEASE_MS", "7"), ("MIAOSHA_DEV__TOKEN_MINT", "true")];
        let config = Config::load_from(flags(), environment(&env)).unwrap();
        assert_eq!((config.node, config.checkout.lease_ms, config.dev.token_mint), (3, 7, true));
        assert_eq!((config.log.filter.as_str(), config.push.ping_interval_ms), ("warn", 25_000));

        let listen = "127.0.0.1:9".parse().unwrap();
        let env = [("MIAOSHA_SERVER__LISTEN", "127.0.0.1:7")];
        let config = Config::load_from(Flags { listen: Some(listen), ..flags() }, environment(&env)).unwrap();
        assert_eq!(config.server.listen, listen);
    }

    #[test]
    fn an_unknown_key_and_an_impossible_value_are_refused() {
        for bad in [("MIAOSHA_SERVER__LISTN", "x"), ("MIAOSHA_NODE", "1024"), ("MIAOSHA_BACKEND", "paper")] {
            assert!(Config::load_from(Flags::default(), environment(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_fleet_is_described_by_the_environment_alone() {
        let key = "MIAOSHA_SECRETS__SIGNING_KEY";
        let env = [
            ("MIAOSHA_BACKEND", "distributed"),
            ("MIAOSHA_REDIS__NODES", "127.0.0.1:7001,127.0.0.1:7002"),
            ("MIAOSHA_RABBITMQ__URI", "amqp://guest:guest@127.0.0.1:5672/%2f"),
            ("MIAOSHA_MYSQL__PRIMARY", "mysql://root@127.0.0.1:3306/miaosha"),
            ("MIAOSHA_MYSQL__REPLICAS", "mysql://root@127.0.0.1:3307/miaosha"),
            (key, "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ];
        let config = Config::load_from(Flags::default(), environment(&env)).unwrap();
        assert_eq!(config.redis.nodes, ["127.0.0.1:7001", "127.0.0.1:7002"]);
        assert_eq!(config.mysql.replicas.len(), 1);
        for (name, _) in &env[1..4] {
            let rest: Vec<_> = env.into_iter().filter(|(other, _)| other != name).collect();
            assert!(Config::load_from(Flags::default(), environment(&rest)).is_err(), "without {name}");
        }
        let without_key: Vec<_> = env.into_iter().filter(|(name, _)| *name != key).collect();
        assert!(Config::load_from(Flags::default(), environment(&without_key)).is_err());
    }

    #[test]
    fn the_example_file_says_what_the_defaults_are() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/miaosha.example.toml");
        let flags = Flags { file: Some(file), ..Flags::default() };
        assert_eq!(Config::load_from(flags, environment(&[])).unwrap(), Config::default());
    }
}
