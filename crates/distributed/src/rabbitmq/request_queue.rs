//! Accepted requests between the processes: published by shard, confirmed when a majority of the broker's nodes has
//! them on disk, decided one at a time for each shard, acknowledged last.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lapin::options::BasicAckOptions;
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Delivery, PortError, PortResult, RequestQueue};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::dead_letters::DeadLetters;
use super::intake::{Arrival, IN_HAND_MAX, Intake, Stage};
use super::message::{BATCH, BATCH_LEN_MAX, Notes, encode_batch};
use super::publisher::{Message, Publisher, Unconfirmed, persistent};
use super::topology::Topology;

const PUBLISH: &str = "hand buy requests over";
const SETTLE: &str = "settle a batch of buy requests";
/// The parts of a split batch that are under way at a time.
const PARTS_UNDER_WAY: usize = 64;
/// After a delivery could not be settled, so that it does not come again in a busy loop.
const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The queue of accepted buy requests. Get it from [`super::Rabbit::queue`].
///
/// `publish` answers within [`super::RabbitConfig::publish_limit`], whatever the state of the broker; every failure is
/// `Retryable`, but for a batch of more than 1,024 people, which is `Terminal`. Processes share the work: each takes
/// batches of every shard, and one that only publishes takes none.
#[derive(Debug)]
pub struct RabbitQueue {
    pub(super) routes: Routes,
    pub(super) publish_limit: Duration,
    /// Cancelled by the first `next`: only then are batches asked for.
    pub(super) wanted: CancellationToken,
    pub(super) stopped: CancellationToken,
}

/// What a delivery needs to be settled.
#[derive(Debug, Clone)]
pub(super) struct Routes {
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) intake: Arc<Intake>,
    pub(super) dead_letters: DeadLetters,
    pub(super) settle_limit: Duration,
}

#[async_trait]
impl RequestQueue for RabbitQueue {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        if self.stopped.is_cancelled() {
            return Err(PortError::retryable(PUBLISH, "the queue is shut down"));
        }
        if batch.asks.len() > BATCH_LEN_MAX {
            return Err(PortError::terminal(PUBLISH, format!("more than {BATCH_LEN_MAX} people in a batch")));
        }
        let topology = &self.routes.topology;
        let shard = topology.shard(batch.sale);
        let message = batch_message(topology.requests_exchange(), shard, &batch, Notes::default());
        let published = self.routes.publisher.publish(shard, message, self.publish_limit).await;
        published.map_err(|unconfirmed| PortError::retryable(PUBLISH, unconfirmed))
    }

    fn lanes(&self) -> usize {
        self.routes.topology.shards() * IN_HAND_MAX
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        self.wanted.cancel();
        let arrival = self.routes.intake.next().await?;
        let (routes, stage) = (self.routes.clone(), Mutex::new(Stage::Before));
        Some(Box::new(RabbitDelivery { routes, arrival: Some(arrival), stage }))
    }
}

/// A batch on its way to `shard` through `exchange`.
pub(super) fn batch_message(exchange: String, shard: usize, batch: &RequestBatch, notes: Notes) -> Message {
    let body = encode_batch(batch, notes);
    Message { exchange, key: shard.to_string(), body, properties: persistent(BATCH) }
}

/// The arrival is there until the delivery is settled; dropping it unsettled puts it back.
struct RabbitDelivery {
    routes: Routes,
    arrival: Option<Arrival>,
    stage: Mutex<Stage>,
}

impl RabbitDelivery {
    fn arrival(&self) -> &Arrival {
        self.arrival.as_ref().expect("an arrival is taken only when the delivery ends")
    }

    /// Acknowledges; the last step of every way to settle.
    async fn acknowledge(mut self: Box<Self>) -> PortResult<()> {
        let ackers = self.arrival().ackers.iter();
        let acking = future::try_join_all(ackers.map(|acker| acker.ack(BasicAckOptions::default())));
        let acked = timeout(self.routes.settle_limit, acking).await;
        // Not put back on failure either: with its channel gone it comes again from the broker, and an acknowledgement
        // that is only late may still arrive.
        let arrival = self.arrival.take().expect("taken only here and on drop, and both end the delivery");
        self.routes.intake.release(arrival.line, *self.stage.lock());
        match acked {
            Ok(Ok(taken)) if taken.iter().all(|is_taken| *is_taken) => Ok(()),
            Ok(Ok(_)) => Err(PortError::retryable(SETTLE, "its connection was lost: it comes again")),
            Ok(Err(error)) => Err(PortError::retryable(SETTLE, error)),
            Err(late) => Err(PortError::retryable(SETTLE, late)),
        }
    }

    /// Acknowledges if what replaces the batch is durable; else it comes again.
    async fn acknowledge_if(self: Box<Self>, replaced: Result<(), Unconfirmed>) -> PortResult<()> {
        match replaced {
            Ok(()) => self.acknowledge().await,
            Err(unconfirmed) => {
                tokio::time::sleep(SETTLE_AGAIN_AFTER).await;
                Err(PortError::retryable(SETTLE, unconfirmed))
            }
        }
    }
}

#[async_trait]
impl Delivery for RabbitDelivery {
    fn batch(&self) -> &RequestBatch {
        &self.arrival().batch
    }

    fn is_redelivered(&self) -> bool {
        self.arrival().notes.is_maybe_decided
    }

    async fn take_turn(&self) {
        if *self.stage.lock() == Stage::Before {
            self.routes.intake.take_turn(self.arrival().line).await;
            *self.stage.lock() = Stage::Turn;
        }
    }

    fn end_turn(&self) {
        let mut stage = self.stage.lock();
        if *stage == Stage::Turn {
            self.routes.intake.end_turn(self.arrival().line);
            *stage = Stage::After;
        }
    }

    async fn ack(self: Box<Self>) -> PortResult<()> {
        self.acknowledge().await
    }

    async fn park(self: Box<Self>) -> PortResult<()> {
        let Routes { topology, publisher, settle_limit, .. } = &self.routes;
        let Arrival { batch, notes, line, .. } = self.arrival();
        let message = batch_message(topology.parking_exchange(), *line, batch, *notes);
        let parked = publisher.publish(*line, message, *settle_limit).await;
        self.acknowledge_if(parked).await
    }

    async fn split(self: Box<Self>) -> PortResult<()> {
        let Routes { topology, publisher, settle_limit, .. } = &self.routes;
        let Arrival { batch, notes, line, .. } = self.arrival();
        let publish_alone = |ask| {
            let alone = RequestBatch { asks: vec![ask], ..*batch };
            let notes = Notes { is_alone: true, ..*notes };
            let message = batch_message(topology.requests_exchange(), *line, &alone, notes);
            publisher.publish(*line, message, *settle_limit)
        };
        let parts = stream::iter(batch.asks.clone()).map(publish_alone).buffered(PARTS_UNDER_WAY);
        let split = parts.try_collect().await;
        self.acknowledge_if(split).await
    }

    async fn discard(self: Box<Self>) -> PortResult<()> {
        let Arrival { batch, notes, line, .. } = self.arrival();
        let body = encode_batch(batch, *notes);
        let reason = "discarded: it could not be decided".to_owned();
        let discarded = self.routes.dead_letters.put_aside(*line, BATCH, body, reason).await;
        self.acknowledge_if(discarded).await
    }
}

impl Drop for RabbitDelivery {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival.take() {
            self.routes.intake.put_back(arrival, *self.stage.lock());
        }
    }
}
