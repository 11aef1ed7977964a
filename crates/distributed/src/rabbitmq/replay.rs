//! The way back from the dead-letter queue, by hand, once what kept the messages from being dealt with is mended.
//!
//! A message is sent on where it belongs, confirmed, and only then acknowledged: whatever fails in between, it is there at
//! least once. Twice is harmless: a batch that may have been decided finds its rows, a sale is settled once more.

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection};
use miaosha_app::ports::{Cause, PortError, PortResult};

use super::Rabbit;
use super::connection::{Failure, Wire};
use super::message::{Notes, decode_batch, decode_wake_up};
use super::publisher::{Message, PERSISTENT};
use super::request_queue::{Routes, batch_message};
use super::timer_queue::Schedule;
use super::topology::DEAD;

const REPLAY: &str = "send dead letters on";

/// What became of the messages that waited in the dead-letter queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Batches of buy requests that are back in their shard.
    pub batches: u64,
    /// Wake-ups that wait for their time again, or are due.
    pub wake_ups: u64,
    /// Messages that this version cannot read; they are still there.
    pub undecodable: u64,
}

impl Rabbit {
    /// Sends every message that waits in the dead-letter queue at the call back where it belongs, each durable before it
    /// is taken out. Batches come as such that may have been decided. Safe to repeat, and beside others who do the same;
    /// a message in somebody's hand does not wait, nor does the one that a call failed on until the broker has it back.
    ///
    /// # Errors
    /// `Retryable` without the broker, or when it does not confirm; what was sent on by then stays so, nothing is lost.
    /// `Terminal` if TLS keeps the broker from being used.
    pub async fn replay_dead_letters(&self) -> PortResult<Replayed> {
        let wire = Wire::connect(&self.broker, "dead letters").await.map_err(|failure| match failure {
            Failure::Tls(refusal) => PortError::terminal(REPLAY, refusal),
            failure => PortError::retryable(REPLAY, failure),
        })?;
        let replay = Replay { routes: &self.queue.routes, schedule: &self.timers.schedule };
        let replayed = replay.run(&wire.connection).await;
        wire.close().await;
        replayed.map_err(|cause| PortError::retryable(REPLAY, cause))
    }
}

/// Where messages belong.
struct Replay<'a> {
    routes: &'a Routes,
    schedule: &'a Schedule,
}

impl Replay<'_> {
    async fn run(&self, connection: &Connection) -> Result<Replayed, Cause> {
        let channel = connection.create_channel().await?;
        let mut replayed = Replayed::default();
        // Not until the queue is empty: what cannot be read goes to its end, and a batch may come again at once.
        for _ in 0..self.waiting(&channel).await? {
            let queue = self.routes.topology.dead_letter_queue();
            let Some(letter) = channel.basic_get(queue.into(), BasicGetOptions::default()).await? else {
                break;
            };
            self.send_on(&letter.delivery, &mut replayed).await?;
            letter.delivery.acker.ack(BasicAckOptions::default()).await?;
        }
        // Answered after the last acknowledgement has taken effect. One that the end of the connection follows at once may
        // be lost (seen with RabbitMQ 3.10), and its message comes again.
        channel.close(200, "done".into()).await?;
        Ok(replayed)
    }

    async fn waiting(&self, channel: &Channel) -> lapin::Result<u32> {
        let queue = self.routes.topology.dead_letter_queue();
        let look = QueueDeclareOptions::durable().passive();
        Ok(channel.queue_declare(queue.into(), look, FieldTable::default()).await?.message_count())
    }

    /// Durable where it belongs when this returns.
    async fn send_on(&self, letter: &Delivery, replayed: &mut Replayed) -> Result<(), Cause> {
        let Routes { topology, publisher, settle_limit, .. } = self.routes;
        let kind = letter.properties.kind().as_ref().map(ShortString::as_str);
        if let Ok(sent) = decode_batch(kind, &letter.data) {
            let shard = topology.shard(sent.batch.sale);
            let notes = Notes { is_maybe_decided: true, ..sent.notes };
            let message = batch_message(topology.requests_exchange(), shard, &sent.batch, notes);
            publisher.publish(shard, message, *settle_limit).await?;
            replayed.batches += 1;
        } else if let Ok(wake_up) = decode_wake_up(kind, &letter.data) {
            self.schedule.put(wake_up).await?;
            replayed.wake_ups += 1;
        } else {
            // Not given back: the broker counts that, and some versions throw away what came back too often.
            let message = Message {
                exchange: topology.dead_letter_exchange(),
                key: DEAD.to_owned(),
                body: letter.data.clone(),
                properties: letter.properties.clone().with_delivery_mode(PERSISTENT),
            };
            publisher.publish(self.schedule.lane, message, *settle_limit).await?;
            replayed.undecodable += 1;
        }
        Ok(())
    }
}
