//! One connection to the broker, and the loop that replaces it.
//!
//! The client library could recover by itself, but only a lost connection, not a channel that the broker closes, and
//! what it would replay is less than what is declared here. So a connection is used until its first failure, of
//! whatever kind, and then everything is made anew: one path for a restart, a cut, a closed channel, a lost queue.

use std::fmt;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::StreamExt as _;
use lapin::tcp::{AMQPUriTcpExt as _, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, Event};
use parking_lot::Mutex;
use socket2::{SockRef, Socket};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::tls::{Address, TlsRefusal, Trust};

/// For the TCP handshake. Shorter than the next, so that a socket is known by the time that the attempt is given up.
const DIAL_MAX: Duration = Duration::from_secs(3);
/// From the first packet to the end of the AMQP handshake.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// For the goodbye. Whoever misses it finds a closed socket.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Between two attempts: short enough that work goes on within seconds of a return, long enough not to be a flood.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a connection is given up.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error(transparent)]
    Tls(#[from] TlsRefusal),
    #[error("{0} took too long")]
    Slow(&'static str),
    #[error("the broker ended the consumer of {0}")]
    ConsumerEnded(String),
    #[error("a message found no queue")]
    Unroutable,
    #[error("a task of the connection ended")]
    TaskEnded,
    #[error("the connection has ended")]
    Ended,
}

/// Where the broker is, and what is needed to speak to it.
#[derive(Clone)]
pub(super) struct Broker {
    uri: AMQPUri,
    tls: Option<RustlsConnector>,
}

impl Broker {
    /// With TLS, if there is somebody to trust.
    pub(super) fn new(uri: AMQPUri, trust: Option<&Trust>) -> Self {
        let tls = trust.map(|trust| RustlsConnector::from(trust.client_config()));
        Self { uri, tls }
    }

    fn refusal(&self, error: &lapin::Error) -> Option<TlsRefusal> {
        let authority = &self.uri.authority;
        TlsRefusal::read(&Address::new("RabbitMQ", &authority.host, authority.port), error)
    }
}

impl fmt::Debug for Broker {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("has_tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// What the first attempt to connect has come to.
#[derive(Default)]
pub(super) struct FirstAttempt {
    is_over: CancellationToken,
    refusal: OnceLock<TlsRefusal>,
}

impl FirstAttempt {
    /// Waits for its end. The error is of a kind that will not pass; the others will.
    pub(super) async fn come_to_something(&self) -> Result<(), TlsRefusal> {
        self.is_over.cancelled().await;
        self.refusal.get().cloned().map_or(Ok(()), Err)
    }

    fn end(&self, failure: Option<&Failure>) {
        if let Some(Failure::Tls(refusal)) = failure
            && !self.is_over.is_cancelled()
        {
            // It was set before only if it ended before.
            let _ = self.refusal.set(refusal.clone());
        }
        self.is_over.cancel();
    }
}

/// What a connection is for.
#[async_trait]
pub(super) trait Duty: Send + Sync {
    /// For logs and metrics.
    fn name(&self) -> &'static str;

    /// Sets up what it needs, says so by `ready`, and works until the first failure. May be dropped at any point.
    async fn serve(&self, connection: &Connection, ready: &CancellationToken) -> Failure;

    /// The connection is gone.
    fn lost(&self);
}

/// Serves `duty` on one connection after the other until `closing`.
pub(super) async fn keep_serving(
    duty: &dyn Duty,
    broker: &Broker,
    first: &FirstAttempt,
    closing: &CancellationToken,
) {
    let mut pause = PAUSE_MIN;
    let mut is_lost = false;
    while !closing.is_cancelled() {
        let ready = CancellationToken::new();
        let announce = async {
            ready.cancelled().await;
            first.end(None);
            info!(connection = duty.name(), "connected to RabbitMQ");
            std::future::pending().await
        };
        let failure = tokio::select! {
            failure = serve_once(duty, broker, &ready, closing) => failure,
            never = announce => never,
        };
        duty.lost();
        first.end(failure.as_ref());
        let Some(failure) = failure else { return };
        let was_ready = ready.is_cancelled();
        metrics::counter!("miaosha_rabbitmq_failures_total", "connection" => duty.name()).increment(1);
        if was_ready || !is_lost {
            warn!(connection = duty.name(), error = %failure, "no RabbitMQ: connecting again until it is back");
        } else {
            debug!(connection = duty.name(), error = %failure, "RabbitMQ is not back yet");
        }
        is_lost = true;
        pause = if was_ready { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        closing.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// `None` when closed on purpose.
async fn serve_once(
    duty: &dyn Duty,
    broker: &Broker,
    ready: &CancellationToken,
    closing: &CancellationToken,
) -> Option<Failure> {
    let wire = match closing.run_until_cancelled(Wire::connect(broker, duty.name())).await? {
        Ok(wire) => wire,
        Err(failure) => return Some(failure),
    };
    let failure = tokio::select! {
        () = closing.cancelled() => None,
        failure = duty.serve(&wire.connection, ready) => Some(failure),
        failure = wire.broken() => Some(failure),
    };
    if failure.is_none() {
        wire.close().await;
    }
    failure
}

/// A connection that ends its socket when it is dropped.
///
/// The client library says goodbye and then waits for the answer, on a thread of its own for each connection; with a
/// silent network it would wait for as long as the silence lasts, and each attempt to reconnect would add a thread.
pub(super) struct Wire {
    pub(super) connection: Connection,
    _cutter: Cutter,
}

#[derive(Clone, Default)]
struct SocketSlot(Arc<Mutex<Option<Socket>>>);

struct Cutter(SocketSlot);

impl Drop for Cutter {
    fn drop(&mut self) {
        if let Some(socket) = self.0.0.lock().take() {
            // It fails only if the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Wire {
    /// `name` is what the broker shows for it.
    pub(super) async fn connect(broker: &Broker, name: &'static str) -> Result<Self, Failure> {
        let slot = SocketSlot::default();
        let cutter = Cutter(slot.clone());
        let properties =
            ConnectionProperties::default().with_connection_name(format!("miaosha {name}").into());
        let runtime = lapin::runtime::default_runtime()?;
        let reactor = runtime.clone();
        let tls = broker.tls.clone();
        let dial = async move |uri: AMQPUri, _| {
            // In the clear first, so that the socket is known before TLS waits for the broker.
            let host = uri.authority.host.clone();
            let uri = AMQPUri { scheme: AMQPScheme::AMQP, ..uri };
            let stream = match timeout(DIAL_MAX, uri.connect_async(&reactor)).await {
                Ok(connected) => connected?,
                Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            };
            if let AsyncTcpStream::Plain(plain) = &stream {
                *slot.0.lock() = Some(SockRef::from(plain.get_ref()).try_clone()?);
            }
            match &tls {
                Some(connector) => Ok(stream.into_rustls(connector, &host).await?),
                None => Ok(stream),
            }
        };
        let connecting = Connection::connector(broker.uri.clone(), runtime, dial, properties);
        match timeout(CONNECT_MAX, connecting).await {
            Ok(Ok(connection)) => Ok(Self { connection, _cutter: cutter }),
            Ok(Err(error)) => Err(broker.refusal(&error).map_or_else(|| error.into(), Failure::from)),
            Err(_) => Err(Failure::Slow("connecting")),
        }
    }

    /// Waits for the end of the connection: a duty that has nothing to do at present would not notice.
    async fn broken(&self) -> Failure {
        let mut events = pin!(self.connection.events_listener());
        // It may have ended before there was anyone to tell.
        while self.connection.status().connected() {
            match events.next().await {
                Some(Event::Error(error)) => return error.into(),
                Some(_) => {}
                None => break,
            }
        }
        Failure::Ended
    }

    pub(super) async fn close(self) {
        let goodbye = self.connection.close(200, "done".into());
        if let Ok(Err(error)) = timeout(CLOSE_MAX, goodbye).await {
            debug!(%error, "RabbitMQ was gone before the goodbye");
        }
    }
}
