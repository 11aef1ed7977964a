//! Messages on their way to the broker: each persistent, mandatory, and confirmed or an error.
//!
//! A lane is a channel with one task, since only a channel used by one task alone keeps its confirms in step with its
//! messages. Messages of one lane keep their order. Nothing is kept for a broker that is gone: callers are told at
//! once, and what they do then is theirs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionStatus, PublisherConfirm};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Duty, Failure};
use super::topology::Topology;

/// For declaring and opening channels. A cluster that has just started elects leaders first.
const SET_UP_MAX: Duration = Duration::from_secs(15);
/// Kept across restarts of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// A message and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) exchange: String,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

/// The properties of a message whose body has the format `kind`.
pub(super) fn persistent(kind: &str) -> BasicProperties {
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_type(kind.into())
}

/// Why a message is not known to be safe. It may be, but for the first three.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unconfirmed {
    #[error("not connected to RabbitMQ")]
    NotConnected,
    #[error("RabbitMQ is short of memory or disk and takes nothing")]
    Blocked,
    #[error("RabbitMQ confirms nothing at present")]
    Stalled,
    #[error("RabbitMQ did not confirm in time")]
    Late,
    #[error("the connection to RabbitMQ was lost before the confirm")]
    Lost,
    #[error("RabbitMQ refused the message")]
    Refused,
    #[error("RabbitMQ had no queue for the message")]
    Unroutable,
}

/// Publishes on the connection of the moment.
#[derive(Debug)]
pub(super) struct Publisher {
    topology: Arc<Topology>,
    lanes: usize,
    unconfirmed_max: usize,
    stalled_after: Duration,
    link: Mutex<Option<Arc<Link>>>,
}

/// The lanes of one connection.
#[derive(Debug)]
struct Link {
    status: ConnectionStatus,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Lane {
    outbox: mpsc::Sender<Outgoing>,
    pulse: Arc<Pulse>,
}

#[derive(Debug)]
struct Outgoing {
    message: Message,
    expires_at: Instant,
    receipt: Receipt,
}

/// Tells the caller what became of his message; if it is dropped, that it was lost.
#[derive(Debug)]
struct Receipt {
    caller: oneshot::Sender<Result<(), Unconfirmed>>,
    _beat: Beat,
}

impl Publisher {
    /// Of `lanes` lanes, each with at most `unconfirmed_max` messages under way; one where nothing was confirmed for
    /// `stalled_after` takes nothing new until something is.
    pub(super) fn new(
        topology: Arc<Topology>,
        lanes: usize,
        unconfirmed_max: usize,
        stalled_after: Duration,
    ) -> Self {
        Self { topology, lanes, unconfirmed_max, stalled_after, link: Mutex::default() }
    }

    /// Sends a message and waits for its confirm, for at most `limit`. Messages of one lane leave in the order of the
    /// calls. Dropping the future takes nothing back.
    pub(super) async fn publish(
        &self,
        lane: usize,
        message: Message,
        limit: Duration,
    ) -> Result<(), Unconfirmed> {
        let link = self.link.lock().clone().ok_or(Unconfirmed::NotConnected)?;
        if link.status.blocked() {
            return Err(Unconfirmed::Blocked);
        }
        let lane = &link.lanes[lane];
        if lane.pulse.has_stopped(self.stalled_after) {
            return Err(Unconfirmed::Stalled);
        }
        let (caller, confirmed) = oneshot::channel();
        let receipt = Receipt { caller, _beat: Pulse::begin(&lane.pulse) };
        let outgoing = Outgoing { message, expires_at: Instant::now() + limit, receipt };
        let sent = async {
            // Only a lane that has ended refuses, and then drops the receipt, which the next line sees.
            let _ = lane.outbox.send(outgoing).await;
            confirmed.await.unwrap_or(Err(Unconfirmed::Lost))
        };
        timeout(limit, sent).await.unwrap_or(Err(Unconfirmed::Late))
    }

    async fn open(&self, connection: &Connection) -> Result<(Link, JoinSet<Failure>), Failure> {
        let channel = connection.create_channel().await?;
        self.topology.declare(&channel).await?;
        let mut tasks = JoinSet::new();
        let mut lanes = Vec::with_capacity(self.lanes);
        for _ in 0..self.lanes {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let (outbox, messages) = mpsc::channel(self.unconfirmed_max);
            tasks.spawn(run_lane(channel, messages, self.unconfirmed_max));
            lanes.push(Lane { outbox, pulse: Arc::default() });
        }
        Ok((Link { status: connection.status().clone(), lanes }, tasks))
    }
}

#[async_trait]
impl Duty for Publisher {
    fn name(&self) -> &'static str {
        "publish"
    }

    async fn serve(&self, connection: &Connection, ready: &CancellationToken) -> Failure {
        let mut tasks = match timeout(SET_UP_MAX, self.open(connection)).await {
            Err(_) => return Failure::Slow("declaring the queues"),
            Ok(Err(failure)) => return failure,
            Ok(Ok((link, tasks))) => {
                *self.link.lock() = Some(Arc::new(link));
                tasks
            }
        };
        ready.cancel();
        tasks.join_next().await.and_then(Result::ok).unwrap_or(Failure::TaskEnded)
    }

    fn lost(&self) {
        *self.link.lock() = None;
    }
}

/// Sends until the channel fails, or a message finds no queue: then the topology has to be declared again.
async fn run_lane(
    channel: Channel,
    mut messages: mpsc::Receiver<Outgoing>,
    unconfirmed_max: usize,
) -> Failure {
    let mut unconfirmed = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(confirmed) = unconfirmed.next(), if !unconfirmed.is_empty() => {
                if let Err(failure) = confirmed {
                    return failure;
                }
            }
            Some(Outgoing { message, expires_at, receipt }) = messages.recv(),
                if unconfirmed.len() < unconfirmed_max =>
            {
                // Its caller was told so already, and has perhaps sent another.
                if expires_at <= Instant::now() {
                    continue;
                }
                match send(&channel, message).await {
                    Ok(confirm) => unconfirmed.push(await_confirm(confirm, receipt)),
                    Err(error) => return error.into(),
                }
            }
            else => return Failure::TaskEnded,
        }
    }
}

async fn send(channel: &Channel, message: Message) -> lapin::Result<PublisherConfirm> {
    // Mandatory: a message without a queue comes back, where the broker would otherwise confirm and drop it.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (message.exchange.into(), message.key.into());
    channel.basic_publish(exchange, key, options, &message.body, message.properties).await
}

async fn await_confirm(confirm: PublisherConfirm, receipt: Receipt) -> Result<(), Failure> {
    let (told, outcome) = match confirm.await {
        Ok(Confirmation::Ack(None)) => (Ok(()), Ok(())),
        Ok(Confirmation::Nack(None)) => (Err(Unconfirmed::Refused), Ok(())),
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
            (Err(Unconfirmed::Unroutable), Err(Failure::Unroutable))
        }
        // Only on a channel without confirms, which none is; nothing is known of the message then.
        Ok(Confirmation::NotRequested) => (Err(Unconfirmed::Lost), Err(Failure::TaskEnded)),
        Err(error) => (Err(Unconfirmed::Lost), Err(error.into())),
    };
    // Whoever no longer listens was told by his time limit.
    let _ = receipt.caller.send(told);
    outcome
}

/// Whether confirms keep coming. With messages under way and none settled for long, another would only wait in vain.
#[derive(Debug, Default)]
struct Pulse(Mutex<PulseState>);

#[derive(Debug)]
struct PulseState {
    under_way: usize,
    last_settled: Instant,
}

impl Default for PulseState {
    fn default() -> Self {
        Self { under_way: 0, last_settled: Instant::now() }
    }
}

/// One message under way, until it is dropped.
#[derive(Debug)]
struct Beat(Arc<Pulse>);

impl Pulse {
    fn begin(pulse: &Arc<Self>) -> Beat {
        let mut state = pulse.0.lock();
        if state.under_way == 0 {
            state.last_settled = Instant::now();
        }
        state.under_way += 1;
        Beat(Arc::clone(pulse))
    }

    fn has_stopped(&self, after: Duration) -> bool {
        let state = self.0.lock();
        state.under_way > 0 && state.last_settled.elapsed() >= after
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.under_way -= 1;
        state.last_settled = Instant::now();
    }
}
