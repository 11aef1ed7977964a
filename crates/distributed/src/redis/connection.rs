//! One connection: to a whole cluster, or, for development, to a single node.
//!
//! It follows redirections and failovers as far as the client library does. That it is replaced when it is of no use any
//! more is the work of its owner: [`crate::redis::link`], or the listener of the bus.

mod announced;

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, InfoDict, ProtocolVersion, PushInfo,
    RedisError, RedisResult, Value,
};

use super::config::{Nodes, OpenError, RedisConfig};
use crate::tls::{Address, TlsRefusal};

/// How long making a connection, with all that belongs to it, may take.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long connecting to one node may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Calls under way on the connection to one node; more wait their turn.
const CALLS_MAX: usize = 4_096;
/// How often a call is sent again after a redirection or a lost connection, and how long it waits before.
const RETRIES: u32 = 5;
const RETRY_WAIT_MIN_MS: u64 = 10;
const RETRY_WAIT_MAX_MS: u64 = 200;
const VERSION_MIN: u32 = 7;

/// What to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    nodes: Nodes,
    attempt_timeout: Duration,
    timeout: Duration,
}

/// A connection. Cloning shares it.
#[derive(Clone)]
pub(crate) enum Connection {
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It will not get better by itself.
    #[error(transparent)]
    Config(#[from] OpenError),
    /// Redis is away.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Redis does not answer.
    #[error("connecting to Redis takes too long")]
    Late,
}

impl Target {
    pub(crate) fn new(config: &RedisConfig) -> Result<Self, OpenError> {
        Ok(Self {
            nodes: config.nodes()?,
            attempt_timeout: config.batch_attempt_timeout,
            timeout: config.batch_timeout,
        })
    }

    /// Connects; what Redis says by itself, of subscriptions and lost connections, goes to `pushes`, which must not
    /// block.
    pub(crate) async fn connect(
        &self,
        pushes: Option<impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + 'static>,
    ) -> Result<Connection, ConnectError> {
        match (self.has_cluster_mode().await?, self.nodes.addresses.as_slice()) {
            (true, nodes) => {
                let mut builder = ClusterClientBuilder::new(nodes.iter().cloned())
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(TcpSettings::default().set_nodelay(true))
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(self.attempt_timeout)
                    .overall_response_timeout(Some(self.timeout))
                    .connection_concurrency_limit(CALLS_MAX)
                    .retries(RETRIES)
                    .min_retry_wait(RETRY_WAIT_MIN_MS)
                    .max_retry_wait(RETRY_WAIT_MAX_MS);
                if let Some(certificates) = &self.nodes.certificates {
                    builder = builder.certs(certificates.clone());
                }
                if let Some(pushes) = pushes {
                    builder = builder.push_sender(pushes);
                }
                Ok(Connection::Cluster(builder.build()?.get_async_connection().await?))
            }
            (false, [node]) => {
                let mut config = self.single_config().set_concurrency_limit(CALLS_MAX);
                if let Some(pushes) = pushes {
                    config = config.set_push_sender(pushes);
                }
                Ok(Connection::Single(connect_single(node, &config).await?))
            }
            (false, _) => Err(OpenError::NotACluster.into()),
        }
    }

    async fn has_cluster_mode(&self) -> Result<bool, ConnectError> {
        let info = self.info().await?;
        let version: String = info.get("redis_version").unwrap_or_default();
        if version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < VERSION_MIN {
            return Err(OpenError::TooOld { found: version }.into());
        }
        Ok(info.get::<u8>("cluster_enabled").is_some_and(|enabled| enabled == 1))
    }

    /// Asks all nodes at once; the first answer counts. Without any, a failure that will not pass is told before one that
    /// may.
    async fn info(&self) -> Result<InfoDict, ConnectError> {
        let config = self.single_config();
        let mut asked: FuturesUnordered<_> =
            self.nodes.addresses.iter().map(|node| ask_single(node, &config)).collect();
        let mut failure = ConnectError::Late;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(info) => return Ok(info),
                Err(_) if matches!(failure, ConnectError::Config(_)) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn single_config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.attempt_timeout))
    }
}

async fn ask_single(node: &ConnectionInfo, config: &AsyncConnectionConfig) -> Result<InfoDict, ConnectError> {
    let asked = async {
        let mut connection = connect_single(node, config).await?;
        redis::cmd("INFO").query_async(&mut connection).await
    };
    asked.await.map_err(|error: RedisError| match refusal(node, &error) {
        Some(refusal) => OpenError::from(refusal).into(),
        None => error.into(),
    })
}

fn refusal(node: &ConnectionInfo, error: &RedisError) -> Option<TlsRefusal> {
    let ConnectionAddr::TcpTls { host, port, .. } = node.addr() else { return None };
    TlsRefusal::read(&Address::new("Redis", host, *port), error)
}

async fn connect_single(
    node: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let node = node.clone().set_tcp_settings(TcpSettings::default().set_nodelay(true));
    Client::open(node)?.get_multiplexed_async_connection_with_config(config).await
}

impl Connection {
    /// Sends a command and waits for its answer, which is never an error value.
    pub(crate) async fn call(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Cluster(connection) => connection.req_packed_command(command).await,
            Self::Single(connection) => connection.req_packed_command(command).await,
        };
        answer?.extract_error()
    }

    /// Subscribes to a shard channel.
    pub(crate) async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::Cluster(connection) => connection.ssubscribe(channel).await,
            Self::Single(connection) => redis::cmd("SSUBSCRIBE").arg(channel).exec_async(connection).await,
        }
    }
}
