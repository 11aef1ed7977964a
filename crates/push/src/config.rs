//! The settings of a server: the protocol's times and every limit.
//!
//! Reading them from files or the environment is the embedder's business.

use std::sync::Arc;
use std::time::Duration;

use crate::memory::{Memory, Unlimited};
use crate::random::{OsRandom, Random};

/// Which web pages of other origins may use long-polling. (Browsers do not ask for a WebSocket; check tokens, not
/// origins.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigin {
    /// None: no header is sent.
    #[default]
    None,
    /// Every one, without credentials.
    Any,
    /// These, such as `https://shop.example`, with credentials.
    List(Vec<String>),
}

/// How a server behaves. [`Config::default`] has the values of the reference implementation where it has any.
#[derive(Clone)]
pub struct Config {
    /// Which of several servers behind one address this is. The names of its sessions begin with the number and a dash,
    /// so that a load balancer can bring the requests of a long-polling client to it; sessions of another node are
    /// unknown here. Two live servers behind one address need different numbers.
    pub node: u16,
    /// The threads that hold the connections; at least 1, at most 255.
    pub reactors: usize,
    /// The namespaces that exist, each beginning with a slash; at most 255.
    pub namespaces: Vec<String>,
    /// The time between two pings to a client.
    pub ping_interval: Duration,
    /// How long a client may take to answer a ping.
    pub ping_timeout: Duration,
    /// How long a client may take to complete the move to a WebSocket.
    pub upgrade_timeout: Duration,
    /// How long a client may stay without having joined a namespace.
    pub connect_timeout: Duration,
    /// Whether long-polling clients are offered the move to a WebSocket.
    pub allow_upgrades: bool,
    /// The longest long-polling request body; clients are told this figure.
    pub max_payload_bytes: usize,
    /// The longest message of a client, its attachments included.
    pub client_message_bytes_max: usize,
    /// The most messages, the protocol's own included, that a client may send within one second; beyond it its connection is
    /// closed.
    pub client_messages_per_second_max: u32,
    /// The most attachments that a client's packet may have.
    pub attachments_max: usize,
    /// What may wait for one client that does not read; beyond it the client is dropped. Where `memory` says that there is
    /// none for more sessions, it is a sixty-fourth of this.
    pub outbox_bytes_max: usize,
    /// The most sessions that the server holds; more are refused with 503.
    pub max_connections: usize,
    /// The most sessions that may be opened within one second; more are refused with 503.
    pub max_connects_per_second: u32,
    /// Says when there is no memory for more sessions; then they are refused with 503, and clients that do not read are dropped
    /// sooner. [`ControlGroups`] is one.
    ///
    /// [`ControlGroups`]: crate::ControlGroups
    pub memory: Arc<dyn Memory>,
    /// Other origins that may use long-polling.
    pub cors_origin: CorsOrigin,
    /// Where the unguessable part of session names comes from.
    pub random: Arc<dyn Random>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: 0,
            reactors: 1,
            namespaces: vec!["/".to_owned()],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            allow_upgrades: true,
            max_payload_bytes: 1_000_000,
            client_message_bytes_max: 16 * 1024,
            client_messages_per_second_max: 1_000,
            attachments_max: 10,
            outbox_bytes_max: 256 * 1024,
            max_connections: 19_000,
            max_connects_per_second: 10_000,
            memory: Arc::new(Unlimited),
            cors_origin: CorsOrigin::None,
            random: Arc::new(OsRandom),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Config")
            .field("node", &self.node)
            .field("reactors", &self.reactors)
            .field("namespaces", &self.namespaces)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
