//! Where the engines of a fleet are, and the secrets that its processes share.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use miaosha_distributed::rabbitmq;
use miaosha_web::tokens::Secret;
use serde::{Deserialize, Serialize, Serializer};

use super::Config;

/// Settings that are lists, separated by commas where the environment gives them.
pub(super) const LISTS: [&str; 3] = ["redis.nodes", "mysql.replicas", "secrets.older_signing_keys"];

/// What holds for all engines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the names of the settings")]
pub(crate) struct EnginesConfig {
    /// A PEM file of authorities whose certificates are believed besides those of the system's; empty for none.
    pub(crate) tls_ca_file: PathBuf,
    /// A PEM file with the certificate that is shown to engines which ask for one, and those between it and its authority;
    /// empty for none.
    pub(crate) tls_cert_file: PathBuf,
    /// A PEM file with the private key of it.
    pub(crate) tls_key_file: PathBuf,
}

/// Redis Cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RedisConfig {
    /// Some nodes of the cluster, as `host:port` or `rediss://user:password@host:port`, which is with TLS; the others are
    /// found through them.
    #[serde(serialize_with = "users_hidden")]
    pub(crate) nodes: Vec<String>,
    /// Before every key and channel, for several sites on one cluster.
    pub(crate) prefix: String,
}

/// RabbitMQ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RabbitmqConfig {
    /// Such as `amqp://user:password@host:5672/%2f`, or with TLS `amqps://user:password@host:5671/%2f`.
    #[serde(serialize_with = "hidden")]
    pub(crate) uri: String,
    /// Before the name of every exchange and queue, for several sites on one broker.
    pub(crate) prefix: String,
    /// Queues of buy requests; the same for every process of a site.
    pub(crate) shards: u16,
}

/// `MySQL` or `MariaDB`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MysqlConfig {
    /// Such as `mysql://user:password@host:3306/miaosha`; with `?ssl-mode=required`, TLS.
    #[serde(serialize_with = "hidden")]
    pub(crate) primary: String,
    /// Read replicas, in the same form.
    #[serde(serialize_with = "all_hidden")]
    pub(crate) replicas: Vec<String>,
    /// Connections to each server, at the most.
    pub(crate) connections_max: u32,
    /// A replica that is further behind is left out.
    pub(crate) replica_lag_max_ms: u64,
    /// Starts although the primary may lose commits when it crashes.
    pub(crate) accept_unsafe_flush: bool,
}

/// What the processes of a fleet share and nobody else may know. Given by the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SecretsConfig {
    /// Signs tokens: a name, a colon, and at least 32 random bytes in base 64.
    #[serde(serialize_with = "hidden")]
    pub(crate) signing_key: String,
    /// Keys that signed tokens which may still be in use, in the same form.
    #[serde(serialize_with = "all_hidden")]
    pub(crate) older_signing_keys: Vec<String>,
}

impl Default for RabbitmqConfig {
    fn default() -> Self {
        Self { uri: String::new(), prefix: "miaosha.".to_owned(), shards: 4 }
    }
}

impl Default for MysqlConfig {
    fn default() -> Self {
        Self {
            primary: String::new(),
            replicas: Vec::new(),
            connections_max: 16,
            replica_lag_max_ms: 2_000,
            accept_unsafe_flush: false,
        }
    }
}

/// The fewest different bytes that a random key of 32 bytes has, but for one in very many millions.
const DIFFERENT_BYTES_MIN: usize = 16;

impl SecretsConfig {
    /// The keys, the current one first.
    ///
    /// # Errors
    /// Says which key is missing, malformed or weak, and how to make one.
    pub(crate) fn keys(&self) -> anyhow::Result<(Secret, Vec<Secret>)> {
        let older = self.older_signing_keys.iter().map(|key| secret("secrets.older_signing_keys", key));
        Ok((secret("secrets.signing_key", &self.signing_key)?, older.collect::<anyhow::Result<_>>()?))
    }
}

fn secret(setting: &str, text: &str) -> anyhow::Result<Secret> {
    let how = || {
        format!(
            "{setting}: give a name, a colon and 32 random bytes in base 64, such as \
             MIAOSHA_SECRETS__SIGNING_KEY=\"2026-11:$(openssl rand -base64 32)\""
        )
    };
    ensure!(!text.is_empty(), "{}; on distributed storage every process needs the same one", how());
    let (kid, encoded) = text.split_once(':').with_context(how)?;
    let bytes = STANDARD.decode(encoded).with_context(how)?;
    let different = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
    ensure!(bytes.len() >= 32 && different >= DIFFERENT_BYTES_MIN, "the key {kid:?} is weak; {}", how());
    Ok(Secret { kid: kid.to_owned(), bytes })
}

impl Config {
    /// Checks what only distributed storage needs.
    pub(super) fn check_engines(&self) -> anyhow::Result<()> {
        ensure!(
            self.node < 1_000,
            "node = {}: give a number from 0 to 999; the rest are for commands",
            self.node
        );
        ensure!(!self.redis.nodes.is_empty(), "redis.nodes: give some nodes of the cluster, as host:port");
        let uri = &self.rabbitmq.uri;
        let is_amqp = uri.starts_with("amqp://") || uri.starts_with("amqps://");
        ensure!(is_amqp, "rabbitmq.uri: give the broker, such as amqp://user:password@host:5672/%2f");
        let shards = self.rabbitmq.shards;
        ensure!((1..=64).contains(&shards), "rabbitmq.shards = {shards}: give a number from 1 to 64");
        for url in std::iter::once(&self.mysql.primary).chain(&self.mysql.replicas) {
            ensure!(
                url.starts_with("mysql://"),
                "mysql.primary and mysql.replicas: give servers such as mysql://user:password@host:3306/miaosha"
            );
        }
        let (people, people_max) = (self.buying.batch_len_max, rabbitmq::BATCH_LEN_MAX);
        ensure!(
            people <= people_max,
            "buying.batch_len_max = {people}: a message carries at most {people_max}; give that or less"
        );
        ensure!(self.mysql.connections_max >= 2, "mysql.connections_max must be at least 2");
        self.secrets.keys().map(|_| ())
    }
}

fn hidden<S: Serializer>(secret: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if secret.is_empty() { "" } else { "(hidden)" })
}

fn all_hidden<S: Serializer>(secrets: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(secrets.iter().map(|_| "(hidden)"))
}

fn users_hidden<S: Serializer>(nodes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(nodes.iter().map(|node| match node.rsplit_once('@') {
        Some((_, address)) => format!("(hidden)@{address}"),
        None => node.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(bytes: &[u8]) -> String {
        format!("k1:{}", STANDARD.encode(bytes))
    }

    #[test]
    fn a_good_key_is_read_and_a_weak_or_malformed_one_is_refused() {
        let good: Vec<u8> = (0..32).collect();
        let read = secret("x", &key_of(&good)).unwrap();
        assert_eq!((read.kid.as_str(), read.bytes), ("k1", good.clone()));
        for bad in [String::new(), "k1".to_owned(), "k1:!!".to_owned(), key_of(&good[..31]), key_of(&[7; 32])]
        {
            let refusal = secret("secrets.signing_key", &bad).map(|_| ()).unwrap_err().to_string();
            assert!(refusal.contains("openssl rand"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn what_is_secret_is_not_printed() {
        let mut config = Config::default();
        config.mysql.primary = "mysql://root:hunter2@db/miaosha".to_owned();
        config.mysql.replicas = vec![config.mysql.primary.clone()];
        config.redis.nodes = vec!["rediss://root:hunter2@redis:6379".to_owned(), "redis:6380".to_owned()];
        config.rabbitmq.uri = "amqp://guest:hunter2@mq".to_owned();
        config.secrets.signing_key = "k1:hunter2".to_owned();
        config.secrets.older_signing_keys = vec!["k0:hunter2".to_owned()];
        let printed = toml::to_string(&config).unwrap();
        assert!(!printed.contains("hunter2") && printed.contains("(hidden)"), "{printed}");
        assert!(printed.contains("redis:6379") && printed.contains("redis:6380"), "{printed}");
    }
}
