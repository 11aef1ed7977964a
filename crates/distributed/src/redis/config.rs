//! Where Redis is and how long to wait for it.

use std::fmt;
use std::time::Duration;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError,
    TlsCertificates,
};
use thiserror::Error;

use crate::tls::{TlsRefusal, Trust};

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisConfig {
    /// Some or all nodes of one cluster, each `host:port` or `redis://[user:password@]host:port`; the others are found.
    /// For development also a single node whose cluster mode is off. With `rediss:`, which then all have, TLS; the nodes
    /// must announce themselves by names that their certificates have.
    pub nodes: Vec<String>,
    /// Whose certificates are believed.
    pub trust: Trust,
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
            trust: Trust::default(),
            key_prefix: "miaosha:".to_owned(),
            request_timeout: Duration::from_millis(400),
            batch_attempt_timeout: Duration::from_secs(1),
            batch_timeout: Duration::from_secs(3),
        }
    }

    /// Checks what can be checked without Redis.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong.
    pub fn check(&self) -> Result<(), OpenError> {
        self.nodes().map(drop)
    }

    /// The nodes, checked.
    pub(crate) fn nodes(&self) -> Result<Nodes, OpenError> {
        if self.nodes.is_empty() {
            return Err(OpenError::NoNodes);
        }
        if self.key_prefix.contains(['{', '}']) {
            return Err(OpenError::KeyPrefix);
        }
        let addresses = self.nodes.iter().map(|node| address(node)).collect::<Result<Vec<_>, _>>()?;
        let with_tls = addresses.iter().filter(|info| is_tls(info)).count();
        if with_tls == 0 {
            return Ok(Nodes { addresses, certificates: None });
        }
        if with_tls < addresses.len() {
            return Err(OpenError::PartlyTls);
        }
        let shown = self.trust.identity().map(|identity| ClientTlsConfig {
            client_cert: identity.certificate_pem.clone(),
            client_key: identity.key_pem.clone(),
        });
        let certificates = TlsCertificates { client_tls: shown, root_cert: Some(self.trust.pem()) };
        let with_trust = addresses.into_iter().zip(&self.nodes).map(|(info, node)| {
            let client = Client::build_with_tls(info, certificates.clone()).map_err(malformed(node))?;
            Ok(client.get_connection_info().clone())
        });
        let addresses = with_trust.collect::<Result<_, OpenError>>()?;
        Ok(Nodes { addresses, certificates: Some(certificates) })
    }
}

/// Where to begin, and, with TLS, whom to believe there and at the nodes that are found.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    pub(crate) addresses: Vec<ConnectionInfo>,
    pub(crate) certificates: Option<TlsCertificates>,
}

fn address(node: &str) -> Result<ConnectionInfo, OpenError> {
    let url = if node.contains("://") { node.to_owned() } else { format!("redis://{node}") };
    let info = url.into_connection_info().map_err(malformed(node))?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err(OpenError::Unverified { node: without_password(node).to_owned() });
    }
    // Sharded subscriptions, and word of lost connections, come with this version of the protocol only.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn malformed(node: &str) -> impl FnOnce(RedisError) -> OpenError {
    let node = without_password(node).to_owned();
    move |source| OpenError::Node { node, source: Box::new(source) }
}

/// Shows no password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, trust, key_prefix, request_timeout, batch_attempt_timeout, batch_timeout } = self;
        let nodes: Vec<&str> = nodes.iter().map(|node| without_password(node)).collect();
        f.debug_struct("RedisConfig")
            .field("nodes", &nodes)
            .field("trust", trust)
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
    /// Some nodes with TLS, some without.
    #[error("some Redis nodes are named with TLS and some without: write rediss:// for all or for none")]
    PartlyTls,
    /// An address that asks for unverified certificates.
    #[error("certificates are always verified: leave out #insecure after {node}")]
    Unverified {
        /// As configured, without its password.
        node: String,
    },
    /// Redis is there, and TLS keeps it from being used.
    #[error(transparent)]
    Tls(#[from] TlsRefusal),
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
        assert!(of(&["127.0.0.1:7001", "redis://ann:secret@redis.example:6379"]).check().is_ok());
        assert!(matches!(of(&[]).check(), Err(OpenError::NoNodes)));
        assert!(matches!(of(&["http://example"]).check(), Err(OpenError::Node { .. })));
        let secret = of(&["redis://ann:secret@redis.example:nowhere"]);
        let shown = format!("{secret:?} {}", secret.check().unwrap_err());
        assert!(shown.contains("redis.example") && !shown.contains("secret"), "{shown}");
        let config = RedisConfig { key_prefix: "{a}".to_owned(), ..of(&["127.0.0.1:7001"]) };
        assert!(matches!(config.check(), Err(OpenError::KeyPrefix)));
    }

    #[test]
    fn tls_is_for_all_nodes_or_none_and_always_verified() {
        let of = |nodes: &[&str]| RedisConfig::new(nodes.iter().map(ToString::to_string).collect());
        let nodes =
            of(&["rediss://:secret@redis.example:6379", "rediss://:secret@10.0.0.2"]).nodes().unwrap();
        assert!(nodes.certificates.is_some() && nodes.addresses.iter().all(is_tls));
        assert!(of(&["redis.example:6379"]).nodes().unwrap().certificates.is_none());
        let partly = of(&["rediss://redis.example:6379", "10.0.0.2:6379"]).check();
        assert!(matches!(partly, Err(OpenError::PartlyTls)), "{partly:?}");
        let unverified = of(&["rediss://:secret@redis.example:6379/#insecure"]).check().unwrap_err();
        assert!(matches!(unverified, OpenError::Unverified { .. }), "{unverified:?}");
        assert!(!unverified.to_string().contains("secret"));
    }
}
