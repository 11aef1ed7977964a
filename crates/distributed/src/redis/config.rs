//! Where Redis is and how long to wait for it.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError};
use thiserror::Error;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisConfig {
    /// Some or all nodes of one cluster, each `host:port` or `redis://[user:password@]host:port`; the others are found.
    /// For development also a single node whose cluster mode is off.
    pub nodes: Vec<String>,
    /// Begins every key and channel, so that several sites may share one Redis. Without braces, which would decide
    /// which keys live together.
    pub key_prefix: String,
    /// How long a call on the path of somebody's request may take in all.
    pub request_timeout: Duration,
    /// How long one attempt of a call for a batch may take.
    pub batch_attempt_timeout: Duration,
    /// How long a call for a batch may take in all.
    pub batch_timeout: Duration,
}

impl RedisConfig {
    /// These nodes, with the usual settings.
    pub fn new(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            key_prefix: "miaosha:".to_owned(),
            request_timeout: Duration::from_millis(400),
            batch_attempt_timeout: Duration::from_secs(1),
            batch_timeout: Duration::from_secs(3),
        }
    }

    /// The nodes, checked.
    pub(crate) fn addresses(&self) -> Result<Vec<ConnectionInfo>, OpenError> {
        if self.nodes.is_empty() {
            return Err(OpenError::NoNodes);
        }
        if self.key_prefix.contains(['{', '}']) {
            return Err(OpenError::KeyPrefix);
        }
        self.nodes.iter().map(|node| address(node)).collect()
    }
}

fn address(node: &str) -> Result<ConnectionInfo, OpenError> {
    let url = if node.contains("://") { node.to_owned() } else { format!("redis://{node}") };
    let info = url.into_connection_info().map_err(|source| OpenError::Node {
        node: without_password(node).to_owned(),
        source: Box::new(source),
    })?;
    // Sharded subscriptions, and word of lost connections, come with this version of the protocol only.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

/// Shows no password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, key_prefix, request_timeout, batch_attempt_timeout, batch_timeout } = self;
        let nodes: Vec<&str> = nodes.iter().map(|node| without_password(node)).collect();
        f.debug_struct("RedisConfig")
            .field("nodes", &nodes)
            .field("key_prefix", key_prefix)
            .field("request_timeout", request_timeout)
            .field("batch_attempt_timeout", batch_attempt_timeout)
            .field("batch_timeout", batch_timeout)
            .finish()
    }
}

/// What of a node may be shown.
fn without_password(node: &str) -> &str {
    node.rsplit_once('@').map_or(node, |(_, address)| address)
}

/// Why the configuration cannot be used. That Redis is away is no reason.
#[derive(Debug, Error)]
pub enum OpenError {
    /// No node at all.
    #[error("name at least one Redis node")]
    NoNodes,
    /// A prefix with braces.
    #[error("the key prefix must not contain braces")]
    KeyPrefix,
    /// Not an address.
    #[error("{node} is not the address of a Redis node: write host:port")]
    Node {
        /// As configured, without its password.
        node: String,
        /// What is wrong with it.
        source: Box<RedisError>,
    },
    /// Several nodes that do not form a cluster.
    #[error("several Redis nodes are named, but cluster mode is off: name one, or turn it on")]
    NotACluster,
    /// An older Redis has neither functions nor sharded pub/sub.
    #[error("Redis 7.0 or newer is needed, this is {found}")]
    TooOld {
        /// What it says it is.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_checked_before_anything_is_connected() {
        let of = |nodes: &[&str]| RedisConfig::new(nodes.iter().map(ToString::to_string).collect());
        assert!(of(&["127.0.0.1:7001", "redis://ann:secret@redis.example:6379"]).addresses().is_ok());
        assert!(matches!(of(&[]).addresses(), Err(OpenError::NoNodes)));
        assert!(matches!(of(&["http://example"]).addresses(), Err(OpenError::Node { .. })));
        let secret = of(&["redis://ann:secret@redis.example:nowhere"]);
        let shown = format!("{secret:?} {}", secret.addresses().unwrap_err());
        assert!(shown.contains("redis.example") && !shown.contains("secret"), "{shown}");
        let config = RedisConfig { key_prefix: "{a}".to_owned(), ..of(&["127.0.0.1:7001"]) };
        assert!(matches!(config.addresses(), Err(OpenError::KeyPrefix)));
    }
}
