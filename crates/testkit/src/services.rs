//! The real services that a fleet stands on, on free ports of 127.0.0.1 with data in temporary directories: Redis Cluster,
//! `RabbitMQ`, `MariaDB` with replicas, Nginx.
//!
//! A test that only uses them asks [`Addresses::of_this_run`], shares them with all other tests, and keeps to a prefix or
//! a database of its own. A test that hurts them starts its own set, and ends or hurts single services by [`Service`].
//! All end with the value that holds them, and with the process that started them, however that one ends.

mod authority;
mod client;
mod daemon;
mod mariadb;
mod network;
mod nginx;
pub(crate) mod port;
mod process;
mod rabbitmq;
mod redis_cluster;
mod scratch;
mod site;
mod waiting;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use authority::Authority;
pub use daemon::{Daemon, Service};
pub use mariadb::{MariaDb, MariaDbServer};
pub use network::Network;
pub use nginx::{Fleet, Nginx, NginxOptions, PushNode};
pub use process::Place;
use rabbitmq::Clients;
pub use rabbitmq::RabbitMq;
pub use redis_cluster::{RedisCluster, RedisNode};
pub use site::{Node, Site, SitePlan};
pub use waiting::{PATIENCE, wait_until};

/// The variable by which a test run finds its services: [`Addresses`] as JSON.
pub const VARIABLE: &str = "TESTKIT_SERVICES";

/// One of each, ready for clients. Dropping it kills them all.
#[derive(Debug)]
pub struct Services {
    /// Three masters, three replicas.
    pub redis: RedisCluster,
    /// One node.
    pub rabbitmq: RabbitMq,
    /// A primary and two replicas.
    pub mysql: MariaDb,
    /// Of the authority, where they speak TLS only.
    authority: Option<PathBuf>,
}

/// Where services are. The JSON form is what [`VARIABLE`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The nodes of the Redis Cluster.
    pub redis: Vec<SocketAddr>,
    /// Of `RabbitMQ`, as an AMQP URI with user and virtual host.
    pub rabbitmq: String,
    /// Of `MySQL` or `MariaDB`.
    pub mysql: MysqlAddresses,
    /// The certificate of the authority that all have theirs from, where they speak TLS only.
    pub authority: Option<PathBuf>,
}

/// URLs with a user and without a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MysqlAddresses {
    /// Takes the writes.
    pub primary: String,
    /// Follow it.
    pub replicas: Vec<String>,
}

impl Services {
    /// Starts all at the same time, and waits until each is ready.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(RedisCluster::start, None)
    }

    /// The same, and each speaks TLS only.
    pub fn start_with_tls(authority: &Authority) -> anyhow::Result<Self> {
        Self::start_with(|| RedisCluster::start_with_tls(authority), Some(authority))
    }

    /// The same, with every node of Redis behind a proxy; see [`RedisCluster::start_behind_proxies`].
    pub fn start_with_redis_behind_proxies() -> anyhow::Result<Self> {
        Self::start_with(RedisCluster::start_behind_proxies, None)
    }

    fn start_with(
        start_redis: impl FnOnce() -> anyhow::Result<RedisCluster> + Send,
        authority: Option<&Authority>,
    ) -> anyhow::Result<Self> {
        let (redis, rabbitmq, mysql) = std::thread::scope(|scope| {
            let redis = scope.spawn(start_redis);
            let rabbitmq = scope.spawn(move || RabbitMq::start_as(authority, Clients::Unknown));
            let mysql = MariaDb::start_as(authority);
            let no_panic = "a failed start is an error";
            (redis.join().expect(no_panic), rabbitmq.join().expect(no_panic), mysql)
        });
        Ok(Self {
            redis: redis.context("Redis Cluster")?,
            rabbitmq: rabbitmq.context("RabbitMQ")?,
            mysql: mysql.context("MariaDB")?,
            authority: authority.map(Authority::file),
        })
    }

    /// Where they are.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            redis: self.redis.client_addresses(),
            rabbitmq: self.rabbitmq.uri(),
            mysql: MysqlAddresses {
                primary: self.mysql.primary.url(),
                replicas: self.mysql.replicas.iter().map(MariaDbServer::url).collect(),
            },
            authority: self.authority.clone(),
        }
    }
}

impl Addresses {
    /// The services that this test run shares.
    ///
    /// # Panics
    /// If it was started without any; the message says how to start it.
    pub fn of_this_run() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where a test learns what it was started with"
        )]
        let value = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!(
                "this test needs real services: run it by `make test-rust`, or by \
                 `cargo run -p miaosha-testkit --bin services -- -- cargo test …`, which set {VARIABLE}"
            )
        });
        serde_json::from_str(&value)
            .unwrap_or_else(|error| panic!("{VARIABLE} is not as documented: {error}"))
    }

    /// As JSON, for [`VARIABLE`].
    #[expect(clippy::missing_panics_doc, reason = "plain texts always become JSON")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain texts become JSON")
    }

    /// The settings of `miaosha` for a fleet on these services, on the database of this name: environment variables.
    pub fn settings(&self, database: &str) -> Vec<(&'static str, String)> {
        let has_tls = self.authority.is_some();
        let (scheme, parameters) = if has_tls { ("rediss", "?ssl-mode=required") } else { ("redis", "") };
        let redis: Vec<_> = self.redis.iter().map(|node| format!("{scheme}://{node}")).collect();
        let mysql = |url: &String| format!("{url}/{database}{parameters}");
        let replicas: Vec<_> = self.mysql.replicas.iter().map(mysql).collect();
        let mut settings = vec![
            ("MIAOSHA_BACKEND", "distributed".to_owned()),
            ("MIAOSHA_REDIS__NODES", redis.join(",")),
            ("MIAOSHA_RABBITMQ__URI", self.rabbitmq.clone()),
            ("MIAOSHA_MYSQL__PRIMARY", mysql(&self.mysql.primary)),
            ("MIAOSHA_MYSQL__REPLICAS", replicas.join(",")),
        ];
        if let Some(authority) = &self.authority {
            settings.push(("MIAOSHA_ENGINES__TLS_CA_FILE", authority.display().to_string()));
        }
        settings
    }
}
