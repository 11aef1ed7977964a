//! RabbitMQ: accepted requests on their way, and wake-ups for deadlines.
//!
//! A process holds up to three connections: one to publish (which the broker may block without stopping the others),
//! one for requests and one for wake-ups, the latter two only once something is asked for. Each mends itself. Nothing
//! here decides anything, and the queues are no truth: the database is.
//!
//! Read on in `topology`, then `publisher` and `intake`.

mod connection;
mod dead_letters;
mod intake;
mod message;
mod publisher;
mod replay;
mod request_queue;
mod timer_queue;
mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use miaosha_app::ports::{Clock, PortError, PortResult};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::connection::{Broker, Duty, FirstAttempt, keep_serving};
use self::dead_letters::DeadLetters;
use self::intake::{Intake, IntakeDuty};
pub use self::message::BATCH_LEN_MAX;
use self::publisher::Publisher;
pub use self::replay::Replayed;
pub use self::request_queue::RabbitQueue;
use self::request_queue::Routes;
pub use self::timer_queue::RabbitTimers;
use self::timer_queue::{Ladder, Schedule, WakeUps};
use self::topology::Topology;
use crate::fall::Fall;
use crate::tls::Trust;

const CONFIGURE: &str = "configure RabbitMQ";
/// Names of exchanges and queues are at most 255 bytes.
const PREFIX_LEN_MAX: usize = 200;

/// How to use a broker. All processes of a site must agree on `prefix`, `shards`, `waits` and `parked_for`.
#[derive(Clone)]
pub struct RabbitConfig {
    /// `amqp://user:password@host:port/vhost`; with `amqps:`, TLS.
    pub uri: String,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// In front of the name of every exchange and queue.
    pub prefix: String,
    /// How many queues the sales are spread over: a hot sale delays only those of its own queue.
    pub shards: usize,
    /// How many messages of each shard a process holds at the most, those that it decides included.
    pub prefetch: u16,
    /// How long `publish` and `schedule` wait for the broker. It is also how long confirms may stay away before calls
    /// fail at once.
    pub publish_limit: Duration,
    /// How long settling a delivery waits for the broker.
    pub settle_limit: Duration,
    /// The most messages of a shard that are sent and not confirmed.
    pub unconfirmed_max: usize,
    /// A connection that is silent for twice this long is given up. Whole seconds, at least one.
    pub heartbeat: Duration,
    /// The waits that there are queues for: the holds that are common here, and shorter ones to walk any other time.
    pub waits: Vec<Duration>,
    /// How long a batch of a paused sale is parked before it is looked at again.
    pub parked_for: Duration,
}

impl RabbitConfig {
    /// The defaults, for the broker at `uri`.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            trust: Trust::default(),
            prefix: "miaosha.".to_owned(),
            shards: 4,
            prefetch: 128,
            publish_limit: Duration::from_millis(900),
            settle_limit: Duration::from_secs(5),
            unconfirmed_max: 256,
            heartbeat: Duration::from_secs(5),
            waits: [100, 300, 1_000, 3_000, 10_000, 30_000, 60_000, 300_000, 600_000]
                .map(Duration::from_millis)
                .to_vec(),
            parked_for: Duration::from_secs(1),
        }
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// `Terminal`, with what is wrong.
    pub fn check(&self) -> PortResult<()> {
        self.require_ladder()?;
        self.require_broker().map(drop)
    }

    fn require_ladder(&self) -> PortResult<Ladder> {
        let fits = self.shards > 0
            && self.prefetch > 0
            && self.unconfirmed_max > 0
            && self.prefix.len() <= PREFIX_LEN_MAX;
        let ladder = Ladder::new(self.waits.clone()).filter(|_| fits);
        ladder.ok_or_else(|| PortError::terminal(CONFIGURE, "a count is zero, or the prefix long"))
    }

    fn require_broker(&self) -> PortResult<Broker> {
        let mut uri: AMQPUri =
            self.uri.parse().map_err(|reason: String| PortError::terminal(CONFIGURE, reason))?;
        let heartbeat_s = u16::try_from(self.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
        uri.query.heartbeat = Some(heartbeat_s);
        let trust = matches!(uri.scheme, AMQPScheme::AMQPS).then_some(&self.trust);
        Ok(Broker::new(uri, trust))
    }
}

impl fmt::Debug for RabbitConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, shards, .. } = self;
        f.debug_struct("RabbitConfig").field("prefix", prefix).field("shards", shards).finish_non_exhaustive()
    }
}

/// The broker as this process uses it. Dropping it ends its connections.
#[derive(Debug)]
pub struct Rabbit {
    broker: Broker,
    queue: Arc<RabbitQueue>,
    timers: Arc<RabbitTimers>,
    intake: Arc<Intake>,
    tasks: TaskTracker,
    fall: Fall,
    stopped: CancellationToken,
    closing: CancellationToken,
    settle_limit: Duration,
    _close_on_drop: DropGuard,
}

impl Rabbit {
    /// Connects and declares the topology. With the broker gone it succeeds as well, with a warning, and goes on trying;
    /// calls are then answered by `Retryable`. Wants a Tokio runtime, on which its tasks run.
    ///
    /// # Errors
    /// `Terminal` for a configuration that cannot work, or TLS that keeps a broker that is there from being used.
    pub async fn connect(config: &RabbitConfig, clock: Arc<dyn Clock>) -> PortResult<Self> {
        let broker = config.require_broker()?;
        let ladder = config.require_ladder()?;
        let (stopped, closing) = (CancellationToken::new(), CancellationToken::new());
        let topology = Arc::new(Topology::new(config));
        let lanes = config.shards + 1;
        let (unconfirmed_max, limit) = (config.unconfirmed_max, config.publish_limit);
        let publisher = Arc::new(Publisher::new(Arc::clone(&topology), lanes, unconfirmed_max, limit));
        let dead_letters = DeadLetters {
            topology: Arc::clone(&topology),
            publisher: Arc::clone(&publisher),
            limit: config.settle_limit,
        };
        let intake = Arc::new(Intake::new(
            Arc::clone(&topology),
            dead_letters.clone(),
            config.prefetch,
            stopped.clone(),
        ));
        let queue = Arc::new(RabbitQueue {
            routes: Routes {
                topology: Arc::clone(&topology),
                publisher: Arc::clone(&publisher),
                intake: Arc::clone(&intake),
                dead_letters: dead_letters.clone(),
                settle_limit: config.settle_limit,
            },
            publish_limit: limit,
            wanted: CancellationToken::new(),
            stopped: stopped.clone(),
        });
        let lane = config.shards;
        let schedule =
            Arc::new(Schedule { topology, publisher: Arc::clone(&publisher), lane, limit, clock, ladder });
        // One at hand is enough: a consumer that asks for the next has dealt with the last.
        let (woken_in, woken) = mpsc::channel(1);
        let timers = Arc::new(RabbitTimers {
            schedule: Arc::clone(&schedule),
            woken: Mutex::new(woken),
            wanted: CancellationToken::new(),
            stopped: stopped.clone(),
        });
        let wake_ups = WakeUps { schedule, dead_letters, woken: woken_in, stopped: stopped.clone() };

        let (tasks, fall) = (TaskTracker::new(), Fall::default());
        let close_on_drop = closing.clone().drop_guard();
        let at_once = CancellationToken::new();
        at_once.cancel();
        let start = |duty: Arc<dyn Duty>, wanted| {
            let first = Arc::new(FirstAttempt::default());
            let serving = serve(duty, broker.clone(), Arc::clone(&first), wanted, closing.clone());
            tasks.spawn(fall.watched("rabbitmq", serving));
            first
        };
        let first = start(publisher, at_once);
        let _ = start(Arc::new(IntakeDuty(Arc::clone(&intake))), queue.wanted.clone());
        let _ = start(Arc::new(wake_ups), timers.wanted.clone());
        first.come_to_something().await.map_err(|refusal| PortError::terminal(CONFIGURE, refusal))?;
        let settle_limit = config.settle_limit;
        Ok(Self {
            broker,
            queue,
            timers,
            intake,
            tasks,
            fall,
            stopped,
            closing,
            settle_limit,
            _close_on_drop: close_on_drop,
        })
    }

    /// Accepted buy requests.
    pub fn queue(&self) -> Arc<RabbitQueue> {
        Arc::clone(&self.queue)
    }

    /// Wake-ups.
    pub fn timers(&self) -> Arc<RabbitTimers> {
        Arc::clone(&self.timers)
    }

    /// Ends both queues: `next` returns `None`, `publish` an error, and what waits in this process goes back to the
    /// broker. What was delivered may still be settled. Idempotent.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// Waits until one of the tasks has panicked, which is a defect of this crate: what it did is done no more.
    pub async fn fallen(&self) {
        self.fall.noted().await;
    }

    /// Stops, waits until all that was delivered is settled, at most for [`RabbitConfig::settle_limit`], and says goodbye
    /// to the broker. What is not settled by then comes again.
    pub async fn close(&self) {
        self.stop();
        if timeout(self.settle_limit, self.intake.settled()).await.is_err() {
            warn!("batches are still in hand: they come again");
        }
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Serves a duty once it is wanted, until all is closed.
async fn serve(
    duty: Arc<dyn Duty>,
    broker: Broker,
    first: Arc<FirstAttempt>,
    wanted: CancellationToken,
    closing: CancellationToken,
) {
    if closing.run_until_cancelled(wanted.cancelled()).await.is_some() {
        keep_serving(duty.as_ref(), &broker, &first, &closing).await;
    }
}
