//! Redis Cluster: the gate, news of commits, the people cap, turns.
//!
//! It is never asked for the truth: it may forget, lag, fail over or be gone, and everything goes on without it, slower.
//! So every call fails within a bounded time, and at once while Redis is known to be away. Start with
//! [`Redis::connect`]; what Redis itself runs is in `redis/functions.lua`.

mod bus;
mod circuit;
mod config;
mod connection;
mod failure;
mod functions;
mod gate;
mod keys;
mod link;
mod people_cap;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::Random;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fall::Fall;
use crate::fan_out::FanOut;

use bus::{LastHeard, Listener};
use circuit::Circuits;
use connection::Target;
use keys::{CHANNELS, Keys};
use link::Link;

pub use bus::RedisBus;
pub use config::{OpenError, RedisConfig};
pub use gate::RedisGate;
pub use people_cap::RedisPeopleCap;
pub use turns::RedisTurns;

/// How long the start waits to hear other processes.
const LISTENING_MAX: Duration = Duration::from_secs(2);

/// The ports that Redis serves.
pub struct Redis {
    gate: Arc<RedisGate>,
    people_cap: Arc<RedisPeopleCap>,
    turns: Arc<RedisTurns>,
    bus: Arc<RedisBus>,
    link: Arc<Link>,
    /// Until it listens.
    listener: Mutex<Option<Listener>>,
    tasks: Tasks,
}

/// What runs until the end.
#[derive(Debug, Clone, Default)]
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    fall: Fall,
}

impl Redis {
    /// Connects, and keeps connecting again for as long as it is not closed. Succeeds also while Redis is away, which is
    /// logged. `random` tells this process' news from those of others.
    ///
    /// # Errors
    /// [`OpenError`] if the configuration cannot be used.
    pub async fn connect(config: &RedisConfig, random: &dyn Random) -> Result<Self, OpenError> {
        let redis = Self::connect_deaf(config, random).await?;
        redis.listen().await;
        Ok(redis)
    }

    /// As [`Redis::connect`], for a process that hears the news of others some other way until it calls [`Redis::listen`].
    pub async fn connect_deaf(config: &RedisConfig, random: &dyn Random) -> Result<Self, OpenError> {
        let target = Target::new(config)?;
        let keys = Keys::new(&config.key_prefix);
        let link = Link::open(target.clone()).await?;
        let circuits = Arc::new(Circuits::new());
        let mut origin = [0; 8];
        random.fill(&mut origin);
        let origin = u64::from_ne_bytes(origin);
        let fan_out = FanOut::new();
        let last_heard: Vec<LastHeard> = (0..CHANNELS).map(|_channel| LastHeard::default()).collect();
        let (bus, senders) =
            RedisBus::new(fan_out.clone(), origin, &keys, &last_heard, &link, config.batch_timeout);
        let redis = Self {
            gate: Arc::new(RedisGate::new(
                Arc::clone(&link),
                Arc::clone(&circuits),
                keys.clone(),
                config.request_timeout,
                config.batch_timeout,
            )),
            people_cap: Arc::new(RedisPeopleCap::new(
                Arc::clone(&link),
                circuits,
                keys.clone(),
                config.request_timeout,
            )),
            turns: Arc::new(RedisTurns::new(Arc::clone(&link), keys.clone(), config.request_timeout)),
            bus: Arc::new(bus),
            link: Arc::clone(&link),
            listener: Mutex::new(Some(Listener::new(target, &keys, origin, last_heard, fan_out))),
            tasks: Tasks::default(),
        };
        redis.tasks.spawn("redis link", async move { link.keep().await });
        for sender in senders {
            redis.tasks.spawn("redis sender", sender.run());
        }
        Ok(redis)
    }

    /// Hears the news of others from now on, and waits a little until it does. The second time it does nothing.
    pub fn listen(&self) -> impl Future<Output = ()> + Send + use<> {
        let (listener, tasks) = (self.listener.lock().take(), self.tasks.clone());
        async move {
            let Some(listener) = listener else { return };
            let (is_listening, listening) = oneshot::channel();
            tasks.spawn("redis listener", listener.run(is_listening));
            // News is heard late rather than never if this is not long enough.
            let _ = timeout(LISTENING_MAX, listening).await;
        }
    }

    /// The gates of all sales.
    pub fn gate(&self) -> Arc<RedisGate> {
        Arc::clone(&self.gate)
    }

    /// The places of all sales.
    pub fn people_cap(&self) -> Arc<RedisPeopleCap> {
        Arc::clone(&self.people_cap)
    }

    /// The turns of the site.
    pub fn turns(&self) -> Arc<RedisTurns> {
        Arc::clone(&self.turns)
    }

    /// The bus.
    pub fn bus(&self) -> Arc<RedisBus> {
        Arc::clone(&self.bus)
    }

    /// Waits until one of the tasks has panicked, which is a defect of this crate: what it did is done no more.
    pub async fn fallen(&self) {
        self.tasks.fall.noted().await;
    }

    /// Ends the bus, the connections and every task. Calls on ports afterwards are errors, news goes nowhere.
    /// Idempotent.
    pub async fn close(&self) {
        self.bus.shut_down();
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
        self.link.close();
    }
}

impl Tasks {
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, task) = (self.stop.clone(), self.fall.watched(name, task));
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }
}

impl Drop for Redis {
    /// As [`Redis::close`], but does not wait.
    fn drop(&mut self) {
        self.bus.shut_down();
        self.tasks.stop.cancel();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
