//! Messages that are put aside for a human, with an alarm: undecodable ones, those that could not be decided, and those
//! that the broker gave up because they came back too often. The way back is in `replay`.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use lapin::message::Delivery;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tracing::{error, warn};

use super::connection::Failure;
use super::message::Undecodable;
use super::publisher::{Message, Publisher, Unconfirmed, persistent};
use super::topology::{DEAD, Topology};

const AGAIN_AFTER: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The way aside.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) limit: Duration,
}

impl DeadLetters {
    /// Puts a message aside, durable when this returns, counts it in `miaosha_dead_letters_total` and logs an error.
    pub(super) async fn put_aside(
        &self,
        lane: usize,
        kind: &str,
        body: Vec<u8>,
        reason: String,
    ) -> Result<(), Unconfirmed> {
        let bytes = body.len();
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), AMQPValue::LongString(reason.as_str().into()));
        let message = Message {
            exchange: self.topology.dead_letter_exchange(),
            key: DEAD.to_owned(),
            body,
            properties: persistent(kind).with_headers(headers),
        };
        self.publisher.publish(lane, message, self.limit).await?;
        metrics::counter!("miaosha_dead_letters_total").increment(1);
        error!(
            kind,
            bytes, reason, "a message was put aside in the dead-letter queue: a human has to look at it"
        );
        Ok(())
    }

    /// Puts a message aside that nobody can read, and does not return before it is done.
    pub(super) async fn put_aside_undecodable(&self, lane: usize, delivery: &Delivery, error: &Undecodable) {
        let kind = delivery.properties.kind().as_ref().map_or("", ShortString::as_str);
        let reason = format!("undecodable: {error}");
        while let Err(unconfirmed) = self.put_aside(lane, kind, delivery.data.clone(), reason.clone()).await {
            warn!(%unconfirmed, "an undecodable message is not put aside yet: trying again");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Keeps `miaosha_dead_letters_waiting` up to date, and logs an error when there are more: the broker gives
    /// messages up by itself and tells nobody.
    pub(super) async fn watch(&self, connection: &Connection) -> Result<(), Failure> {
        let channel = connection.create_channel().await?;
        let mut known = 0;
        loop {
            let name = self.topology.dead_letter_queue();
            let look = QueueDeclareOptions::durable().passive();
            let waiting =
                channel.queue_declare(name.into(), look, FieldTable::default()).await?.message_count();
            metrics::gauge!("miaosha_dead_letters_waiting").set(f64::from(waiting));
            if waiting > known {
                error!(waiting, "messages wait in the dead-letter queue: a human has to look at them");
            }
            known = waiting;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
