//! One connection to the broker, and the loop that replaces it.
//!
//! The client library could recover by itself, but only a lost connection, not a channel that the broker closes, and
//! what it would replay is less than what is declared here. So a connection is used until its first failure, of
//! whatever kind, and then everything is made anew: one path for a restart, a cut, a closed channel, a lost queue.

use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::StreamExt as _;
use lapin::tcp::AMQPUriTcpExt as _;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, Event};
use parking_lot::Mutex;
use socket2::{SockRef, Socket};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

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

/// Serves `duty` on one connection after the other until `closing`. `attempted` is cancelled as soon as the first
/// attempt has come to something.
pub(super) async fn keep_serving(
    duty: &dyn Duty,
    uri: &AMQPUri,
    attempted: &CancellationToken,
    closing: &CancellationToken,
) {
    let mut pause = PAUSE_MIN;
    let mut is_lost = false;
    while !closing.is_cancelled() {
        let ready = CancellationToken::new();
        let announce = async {
            ready.cancelled().await;
            attempted.cancel();
            info!(connection = duty.name(), "connected to RabbitMQ");
            std::future::pending().await
        };
        let failure = tokio::select! {
            failure = serve_once(duty, uri, &ready, closing) => failure,
            never = announce => never,
        };
        duty.lost();
        attempted.cancel();
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
    uri: &AMQPUri,
    ready: &CancellationToken,
    closing: &CancellationToken,
) -> Option<Failure> {
    let wire = match closing.run_until_cancelled(Wire::connect(uri.clone(), duty.name())).await? {
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
struct Wire {
    connection: Connection,
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
    async fn connect(uri: AMQPUri, name: &'static str) -> Result<Self, Failure> {
        let slot = SocketSlot::default();
        let cutter = Cutter(slot.clone());
        let properties =
            ConnectionProperties::default().with_connection_name(format!("miaosha {name}").into());
        let runtime = lapin::runtime::default_runtime()?;
        let reactor = runtime.clone();
        let dial = async move |uri: AMQPUri, _| {
            let stream = match timeout(CONNECT_MAX, uri.connect_async(&reactor)).await {
                Ok(connected) => connected?,
                Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            };
            if let AsyncTcpStream::Plain(plain) = &stream {
                *slot.0.lock() = Some(SockRef::from(plain.get_ref()).try_clone()?);
            }
            Ok(stream)
        };
        let connecting = Connection::connector(uri, runtime, dial, properties);
        match timeout(CONNECT_MAX, connecting).await {
            Ok(connection) => Ok(Self { connection: connection?, _cutter: cutter }),
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

    async fn close(self) {
        let goodbye = self.connection.close(200, "done".into());
        if let Ok(Err(error)) = timeout(CLOSE_MAX, goodbye).await {
            debug!(%error, "RabbitMQ was gone before the goodbye");
        }
    }
}
