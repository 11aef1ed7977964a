//! A broker of the tests, and a site on it that leaves nothing behind.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::Clock;
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;

/// Where the broker for tests is.
pub(crate) fn broker_uri() -> String {
    #[expect(clippy::disallowed_methods, reason = "this is how the services for tests are handed over")]
    let services = std::env::var("MIAOSHA_TEST_SERVICES").expect(
        "MIAOSHA_TEST_SERVICES is not set: run `make test`, \
         or `cargo run -p miaosha-testkit --bin services -- cargo test -p miaosha-distributed`",
    );
    let services: serde_json::Value = serde_json::from_str(&services).unwrap();
    services["rabbitmq"].as_str().expect("the services include RabbitMQ").to_owned()
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the broker goes by this clock too")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap())
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Names of exchanges and queues that nobody else uses; deletes them when it is dropped.
pub(crate) struct Site {
    pub(crate) config: RabbitConfig,
    broker_uri: String,
}

impl Site {
    /// A small site on the broker for tests.
    pub(crate) fn new() -> Self {
        Self::on(broker_uri())
    }

    /// A small site on the broker at `uri`.
    pub(crate) fn on(uri: String) -> Self {
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
            ..RabbitConfig::new(uri.clone())
        };
        Self { config, broker_uri: uri }
    }

    /// A process of the site.
    pub(crate) async fn start(&self) -> Rabbit {
        Rabbit::connect(&self.config, Arc::new(WallClock)).await.unwrap()
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

    /// How many messages are ready in a queue.
    pub(crate) async fn ready(&self, channel: &Channel, name: &str) -> u32 {
        let look = QueueDeclareOptions::durable().passive();
        let queue = channel.queue_declare(self.name(name).into(), look, FieldTable::default()).await;
        queue.unwrap().message_count()
    }

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
