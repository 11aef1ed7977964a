//! The whole topology: every exchange, queue and binding, with the reason for each argument.
//!
//! It is declared at the start and after each reconnect, which costs a round trip each and changes nothing that is
//! there. Arguments of a queue cannot be changed: a queue with other arguments needs another name. Nothing here is
//! newer than RabbitMQ 3.10 or gone in 4.x; it was run on 3.10.8. What travels is in `message`.
//!
//! Dead-lettering at least once wants the feature flag `stream_queue`, which a new installation has. One that was
//! upgraded from 3.8 or earlier needs `rabbitmqctl enable_feature_flag all`; without it the broker falls back to
//! at-most-once. A client cannot ask for it.
//!
//! ```text
//! requests ──shard──▶ requests.0 … requests.N ──delivery limit──▶ dead-letters
//!     ▲                                                                ▲
//!     └──expired── requests.parked ◀── parking            put aside ───┘
//! timers ──wait.<ms>──▶ timers.wait.<ms> ──expired──▶ timers ──due──▶ payments
//! ```

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use miaosha_domain::ids::SaleId;

use super::RabbitConfig;

/// The key from the timers exchange to the payment queue.
pub(super) const DUE: &str = "due";
/// The key from the dead-letter exchange to its queue.
pub(super) const DEAD: &str = "dead";

/// How often a message may come back before the broker puts it aside. It stops a message that kills its consumer each
/// time. Version 4.0 would take 20 by itself, which a night of crashes reaches with sound messages in hand; without a
/// limit 3.10 would requeue at the tail, out of order.
const DELIVERIES_MAX: i64 = 100;
/// What came back too often from the last queue of all would be dropped, so nothing ever does there.
const DEAD_DELIVERIES_MAX: i64 = 1_000_000_000;
/// The most batches that wait in one shard; beyond, the broker refuses, and buyers are told to ask again. At 1,024
/// people each that is a hundred million people, so the limit only keeps a forgotten consumer from filling the disk.
const REQUESTS_LEN_MAX: i64 = 100_000;

/// Names and declarations for one prefix.
#[derive(Debug)]
pub(super) struct Topology {
    prefix: String,
    shards: usize,
    waits: Vec<Duration>,
    parked_for: Duration,
}

/// A queue as it is declared: durable always, neither exclusive nor deleted by itself.
#[derive(Debug)]
struct QueueDeclaration {
    name: String,
    arguments: Vec<(&'static str, Argument)>,
    bindings: Vec<Binding>,
}

#[derive(Debug, PartialEq, Eq)]
enum Argument {
    Text(String),
    Number(i64),
}

#[derive(Debug)]
struct Binding {
    exchange: String,
    key: String,
}

impl Topology {
    pub(super) fn new(config: &RabbitConfig) -> Self {
        Self {
            prefix: config.prefix.clone(),
            shards: config.shards,
            waits: config.waits.clone(),
            parked_for: config.parked_for,
        }
    }

    /// The shard of a sale: the same in every process, as the order of a sale depends on it.
    pub(super) fn shard(&self, sale: SaleId) -> usize {
        // Ids of one node and second differ in few bits; the product spreads them over its upper half.
        let spread = sale.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let shards = u64::try_from(self.shards).expect("a count of queues fits");
        usize::try_from(spread % shards).expect("less than a usize")
    }

    pub(super) const fn shards(&self) -> usize {
        self.shards
    }

    /// Where requests are published, by shard.
    pub(super) fn requests_exchange(&self) -> String {
        format!("{}requests", self.prefix)
    }

    pub(super) fn requests_queue(&self, shard: usize) -> String {
        format!("{}requests.{shard}", self.prefix)
    }

    /// Where requests of paused sales are published, by shard.
    pub(super) fn parking_exchange(&self) -> String {
        format!("{}parking", self.prefix)
    }

    fn parked_queue(&self) -> String {
        format!("{}requests.parked", self.prefix)
    }

    /// Where wake-ups are published, by [`wait_key`] or [`DUE`].
    pub(super) fn timers_exchange(&self) -> String {
        format!("{}timers", self.prefix)
    }

    fn wait_queue(&self, wait: Duration) -> String {
        format!("{}timers.{}", self.prefix, wait_key(wait))
    }

    /// The queue of wake-ups that are due.
    pub(super) fn payments_queue(&self) -> String {
        format!("{}payments", self.prefix)
    }

    /// Where messages are put aside, by [`DEAD`].
    pub(super) fn dead_letter_exchange(&self) -> String {
        format!("{}dead-letters", self.prefix)
    }

    pub(super) fn dead_letter_queue(&self) -> String {
        format!("{}dead-letters", self.prefix)
    }

    /// Declares everything. Idempotent; fails for good if a queue is there with other arguments.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        // Durable: an exchange that is gone after a restart would make every message unroutable.
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        for name in self.exchanges() {
            let none = FieldTable::default();
            channel.exchange_declare(name.into(), ExchangeKind::Direct, durable, none).await?;
        }
        for queue in self.queues() {
            let name = || queue.name.as_str().into();
            channel.queue_declare(name(), QueueDeclareOptions::durable(), queue.arguments()).await?;
            for Binding { exchange, key } in &queue.bindings {
                let (exchange, key) = (exchange.as_str().into(), key.as_str().into());
                let (options, none) = (QueueBindOptions::default(), FieldTable::default());
                channel.queue_bind(name(), exchange, key, options, none).await?;
            }
        }
        Ok(())
    }

    fn exchanges(&self) -> [String; 4] {
        let (requests, parking) = (self.requests_exchange(), self.parking_exchange());
        [requests, parking, self.timers_exchange(), self.dead_letter_exchange()]
    }

    fn queues(&self) -> Vec<QueueDeclaration> {
        let mut queues: Vec<_> = (0..self.shards).map(|shard| self.requests(shard)).collect();
        queues.extend([self.parked(), self.payments(), self.dead_letters()]);
        queues.extend(self.waits.iter().map(|wait| self.waiting(*wait)));
        queues
    }

    /// Accepted requests of the sales of one shard: several, so that a hot sale does not hold up the others.
    fn requests(&self, shard: usize) -> QueueDeclaration {
        quorum(self.requests_queue(shard))
            .with("x-max-length", REQUESTS_LEN_MAX)
            .given_up_to(&self.dead_letter_exchange(), Some(DEAD))
            .bound_to(self.requests_exchange(), shard.to_string())
    }

    /// Requests of paused sales, which come back to their shard: without a dead-letter key a message keeps its own.
    fn parked(&self) -> QueueDeclaration {
        let queue = quorum(self.parked_queue())
            .with("x-message-ttl", millis(self.parked_for))
            .forwarded_to(&self.requests_exchange(), None);
        (0..self.shards)
            .fold(queue, |queue, shard| queue.bound_to(self.parking_exchange(), shard.to_string()))
    }

    /// Wake-ups that expire after exactly `wait`. One queue for each wait, since only the head of a queue expires: with
    /// a time per message, a long wait would hold up the short ones behind it.
    fn waiting(&self, wait: Duration) -> QueueDeclaration {
        quorum(self.wait_queue(wait))
            .with("x-message-ttl", millis(wait))
            .forwarded_to(&self.timers_exchange(), Some(DUE))
            .bound_to(self.timers_exchange(), wait_key(wait))
    }

    /// Wake-ups that are due.
    fn payments(&self) -> QueueDeclaration {
        quorum(self.payments_queue())
            .given_up_to(&self.dead_letter_exchange(), Some(DEAD))
            .bound_to(self.timers_exchange(), DUE.to_owned())
    }

    /// What a human has to look at. Only `recover --dead-letters` consumes it, as often as it takes; nothing in it expires.
    fn dead_letters(&self) -> QueueDeclaration {
        quorum(self.dead_letter_queue())
            .with("x-delivery-limit", DEAD_DELIVERIES_MAX)
            .bound_to(self.dead_letter_exchange(), DEAD.to_owned())
    }
}

/// The key from the timers exchange to the queue that waits this long.
pub(super) fn wait_key(wait: Duration) -> String {
    format!("wait.{}", wait.as_millis())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A queue on several nodes, which confirms a message once most of them have it on disk: a confirmed message survives
/// the loss of a node. The only kind that both 3.10 and 4.x replicate.
fn quorum(name: String) -> QueueDeclaration {
    let kind = ("x-queue-type", Argument::Text("quorum".to_owned()));
    QueueDeclaration { name, arguments: vec![kind], bindings: Vec::new() }
}

impl QueueDeclaration {
    fn with(mut self, name: &'static str, number: i64) -> Self {
        self.arguments.push((name, Argument::Number(number)));
        self
    }

    fn bound_to(mut self, exchange: String, key: String) -> Self {
        self.bindings.push(Binding { exchange, key });
        self
    }

    /// Sends what came back too often on.
    fn given_up_to(self, exchange: &str, key: Option<&str>) -> Self {
        self.with("x-delivery-limit", DELIVERIES_MAX).forwarded_to(exchange, key)
    }

    /// Sends what the queue gives up (for its age, or for coming back too often) on, and forgets it only when the
    /// target has confirmed it.
    fn forwarded_to(mut self, exchange: &str, key: Option<&str>) -> Self {
        let mut push = |name, text: &str| self.arguments.push((name, Argument::Text(text.to_owned())));
        push("x-dead-letter-exchange", exchange);
        if let Some(key) = key {
            push("x-dead-letter-routing-key", key);
        }
        // The default, at-most-once, drops messages when the broker restarts in between.
        push("x-dead-letter-strategy", "at-least-once");
        // With any other overflow the broker falls back to at-most-once, and says so only in its log.
        push("x-overflow", "reject-publish");
        self
    }

    fn arguments(&self) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in &self.arguments {
            let value = match value {
                Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
                Argument::Number(number) => AMQPValue::LongLongInt(*number),
            };
            table.insert((*name).into(), value);
        }
        table
    }
}

#[cfg(test)]
mod tests;
