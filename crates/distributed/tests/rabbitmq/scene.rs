//! A broker of the tests, and a site on it that leaves nothing behind.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicGetOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Queue};
use miaosha_app::model::RequestBatch;
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::SystemClock;
use miaosha_testkit::services::Addresses;

/// Names of exchanges and queues that nobody else uses; deletes them when it is dropped.
pub(crate) struct Site {
    pub(crate) config: RabbitConfig,
    broker_uri: String,
}

impl Site {
    /// A small site on the broker for tests.
    pub(crate) fn new() -> Self {
        Self::on(&Addresses::of_this_run().rabbitmq)
    }

    /// A small site on the broker at `uri`.
    pub(crate) fn on(uri: &str) -> Self {
        let unique = tempfile::Builder::new().prefix("test-").tempdir().unwrap();
        let name = unique.path().file_name().unwrap().to_str().unwrap();
        let config = RabbitConfig {
            prefix: format!("{name}."),
            shards: 2,
            waits: [20, 100, 60_000].map(Duration::from_millis).to_vec(),
            parked_for: Duration::from_millis(50),
            // A busy machine may take long; tests of the limits set their own.
            publish_limit: Duration::from_secs(20),
            settle_limit: Duration::from_secs(20),
            ..RabbitConfig::new(uri)
        };
        Self { config, broker_uri: uri.to_owned() }
    }

    /// A process of the site.
    pub(crate) async fn start(&self) -> Rabbit {
        Rabbit::connect(&self.config, Arc::new(SystemClock)).await.unwrap()
    }

    /// A channel of its own to the broker, past any proxy.
    pub(crate) async fn channel(&self) -> (Connection, Channel) {
        let connection =
            Connection::connect(&self.broker_uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// The full name of a queue or exchange.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.config.prefix)
    }

    /// How many messages wait in a queue, those in hand not counted.
    pub(crate) async fn waiting(&self, channel: &Channel, name: &str) -> u32 {
        self.look(channel, name).await.message_count()
    }

    /// How many processes take messages from a queue.
    pub(crate) async fn consumers(&self, channel: &Channel, name: &str) -> u32 {
        self.look(channel, name).await.consumer_count()
    }

    /// Waits for a shard in which something waits.
    pub(crate) async fn shard_with_messages(&self, channel: &Channel) -> String {
        for shard in (0..self.config.shards).cycle() {
            let name = format!("requests.{shard}");
            if self.waiting(channel, &name).await > 0 {
                return name;
            }
        }
        unreachable!("a site has shards")
    }

    async fn look(&self, channel: &Channel, name: &str) -> Queue {
        let look = QueueDeclareOptions::durable().passive();
        channel.queue_declare(self.name(name).into(), look, FieldTable::default()).await.unwrap()
    }

    /// Waits for a message in the dead-letter queue and takes it out: its type, body and reason.
    pub(crate) async fn next_dead_letter(&self, channel: &Channel) -> (String, Vec<u8>, Option<String>) {
        loop {
            let (queue, at_once) = (self.name("dead-letters").into(), BasicGetOptions { no_ack: true });
            let Some(message) = channel.basic_get(queue, at_once).await.unwrap() else { continue };
            let message = message.delivery;
            let kind = message.properties.kind().as_ref().unwrap().as_str().to_owned();
            let headers = message.properties.headers().clone().unwrap_or_default();
            let reason = headers.inner().get("x-reason").map(|reason| match reason {
                AMQPValue::LongString(text) => text.to_string(),
                other => panic!("{other:?}"),
            });
            return (kind, message.data, reason);
        }
    }

    /// Deleting what was never declared is no error.
    async fn delete(&self) {
        let (_connection, channel) = self.channel().await;
        let waits = self.config.waits.iter().map(|wait| format!("timers.wait.{}", wait.as_millis()));
        let shards = (0..self.config.shards).map(|shard| format!("requests.{shard}"));
        let others = ["requests.parked", "payments", "dead-letters"].map(str::to_owned);
        for queue in waits.chain(shards).chain(others) {
            channel.queue_delete(self.name(&queue).into(), QueueDeleteOptions::default()).await.unwrap();
        }
        for exchange in ["requests", "parking", "timers", "dead-letters"] {
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(self.name(exchange).into(), options).await.unwrap();
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // On a thread of its own, as a runtime cannot wait for another inside itself.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(self.delete());
            });
        });
    }
}

pub(crate) fn sale(raw: u64) -> SaleId {
    SaleId::new(raw).unwrap()
}

/// A batch of these people in the sale `raw`.
pub(crate) fn batch(raw: u64, people: impl IntoIterator<Item = u64>) -> RequestBatch {
    let ask = |user| Ask { user: UserId::new(user).unwrap(), quantity: 1 };
    RequestBatch {
        sale: sale(raw),
        asks: people.into_iter().map(ask).collect(),
        accepted_at: Timestamp::from_millis(1_700_000_000_000),
    }
}
