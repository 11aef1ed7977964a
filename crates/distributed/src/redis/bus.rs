//! News of commits: at once to every follower in this process, and by sharded pub/sub to every other process.
//!
//! News is handed out locally without the way over Redis, so that a node that follows this bus hears what it commits itself
//! while Redis is gone, and nobody waits. Messages of its own that come back are dropped. Start with [`RedisBus`]; what comes in is
//! read in [`listener`], and what goes over the wire is in [`wire`].

mod listener;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, OutcomeBus, OutcomeSubscription};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::fan_out::FanOut;

use super::circuit::Circuit;
use super::keys::{CHANNELS, Keys, group_of};
use super::link::Link;
use wire::Header;

pub(crate) use listener::Listener;

/// How many news may wait on a channel to be sent.
const UNSENT_MAX: usize = 1_024;
/// Who has sent news repeats its number this long after, which is how long a loss at the end goes unnoticed; on a channel
/// that nobody else uses somebody says at least once in twice this time that it delivers.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// How often the number of the last news is repeated: as often as may all be lost together without anybody noticing.
const REPETITIONS: u32 = 10;

/// The bus, over Redis.
///
/// What a follower hears may have been lost elsewhere: each process numbers what it sends on a channel, and who finds a
/// hole in the numbers tells its followers of a gap. A lost connection, a silent channel, a message that cannot be
/// read and a follower too far behind are gaps, too; there are no more than about one a second.
pub struct RedisBus {
    fan_out: FanOut,
    channels: Vec<Channel>,
}

/// The sending side of a channel.
struct Channel {
    unsent: mpsc::Sender<Arc<Outcomes>>,
    /// News that found the queue full since the last one that was sent.
    dropped: Arc<AtomicU64>,
}

/// When this process last heard anything on a channel, from whomever; never while it does not listen.
#[derive(Clone, Default)]
pub(crate) struct LastHeard(Arc<watch::Sender<Option<Instant>>>);

impl LastHeard {
    fn note(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    fn at(&self) -> Option<Instant> {
        *self.0.borrow()
    }

    fn forget(&self) {
        self.0.send_replace(None);
    }

    async fn anything(&self) {
        // An error would say that it is dropped, which it is not while this runs.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}

impl RedisBus {
    /// A bus, and for each channel the task that sends what is published. They end when the bus is dropped. `last_heard` has
    /// an entry for each channel.
    pub(crate) fn new(
        fan_out: FanOut,
        origin: u64,
        keys: &Keys,
        last_heard: &[LastHeard],
        link: &Arc<Link>,
        timeout: Duration,
    ) -> (Self, Vec<Sender>) {
        let (channels, senders) = (0..CHANNELS)
            .map(|number| {
                let (unsent, waiting) = mpsc::channel(UNSENT_MAX);
                let dropped = Arc::new(AtomicU64::new(0));
                let sender = Sender {
                    header: Header { origin, number: 0 },
                    channel: keys.channel(number),
                    waiting,
                    dropped: Arc::clone(&dropped),
                    last_heard: last_heard[number].clone(),
                    patience: patience(origin, number),
                    sent_at: Instant::now(),
                    repetitions: 0,
                    link: Arc::clone(link),
                    circuit: Circuit::new(),
                    timeout,
                };
                (Channel { unsent, dropped }, sender)
            })
            .unzip();
        (Self { fan_out, channels }, senders)
    }

    /// Ends the bus: followers hear what was published or came in before, then [`BusEvent::Closed`]. Idempotent.
    pub fn shut_down(&self) {
        self.fan_out.shut_down();
    }
}

impl OutcomeBus for RedisBus {
    fn publish(&self, outcomes: Arc<Outcomes>) {
        let channel = &self.channels[group_of(outcomes.sale, CHANNELS)];
        self.fan_out.send(BusEvent::News(Arc::clone(&outcomes)));
        if channel.unsent.try_send(outcomes).is_err() {
            channel.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("miaosha_news_dropped_total").increment(1);
        }
    }

    fn subscribe(&self) -> Box<dyn OutcomeSubscription> {
        Box::new(self.fan_out.subscribe())
    }
}

/// Sends what is published on one channel, one after the other, so that the numbers arrive in order.
pub(crate) struct Sender {
    header: Header,
    channel: String,
    waiting: mpsc::Receiver<Arc<Outcomes>>,
    dropped: Arc<AtomicU64>,
    last_heard: LastHeard,
    patience: Duration,
    /// The last message, news or heartbeat, whether it arrived or not.
    sent_at: Instant,
    /// Heartbeats that are still owed to the last news.
    repetitions: u32,
    link: Arc<Link>,
    circuit: Circuit,
    timeout: Duration,
}

impl Sender {
    pub(crate) async fn run(mut self) {
        loop {
            let (heartbeat_at, last_heard) = (self.heartbeat_at(), self.last_heard.clone());
            let heartbeat_due = async {
                match heartbeat_at {
                    Some(at) => sleep_until(at).await,
                    None => last_heard.anything().await,
                }
            };
            tokio::select! {
                outcomes = self.waiting.recv() => {
                    let Some(outcomes) = outcomes else { return };
                    // What was dropped leaves a hole in the numbers, by which others know.
                    self.header.number += 1 + self.dropped.swap(0, Ordering::Relaxed);
                    self.repetitions = REPETITIONS;
                    self.send(wire::encode(self.header, &outcomes)).await;
                }
                () = heartbeat_due => {
                    self.header.number += self.dropped.swap(0, Ordering::Relaxed);
                    // Meanwhile somebody may have been heard.
                    let is_due = self.heartbeat_at().is_some_and(|at| at <= Instant::now());
                    if is_due && self.send(wire::encode_heartbeat(self.header)).await {
                        self.repetitions = self.repetitions.saturating_sub(1);
                    }
                }
            }
        }
    }

    /// When this process is to say that it is there, if nothing is heard until then. That a channel delivers is known by
    /// anybody's message, so one speaker is enough, however many listen: who has sent no news lately keeps silent while
    /// others speak, and who does not listen keeps silent anyway. All have a different patience, so that not all speak at
    /// once when the speaker is gone.
    fn heartbeat_at(&self) -> Option<Instant> {
        if self.repetitions > 0 {
            return Some(self.sent_at + HEARTBEAT_EVERY);
        }
        self.last_heard.at().map(|heard| heard.max(self.sent_at) + self.patience)
    }

    /// Whether Redis took it.
    async fn send(&mut self, message: Vec<u8>) -> bool {
        self.sent_at = Instant::now();
        let mut command = redis::cmd("SPUBLISH");
        command.arg(&self.channel).arg(message);
        let sent = self.link.call(&self.circuit, &command, self.timeout).await;
        if let Err(error) = &sent {
            debug!(%error, channel = self.channel, "news was not sent: others will find a hole");
            metrics::counter!("miaosha_news_dropped_total").increment(1);
        }
        sent.is_ok()
    }
}

/// From one to two times the time between heartbeats, by a process' random number, and for each channel another.
fn patience(origin: u64, channel: usize) -> Duration {
    let share = origin.to_ne_bytes()[channel % size_of::<u64>()];
    HEARTBEAT_EVERY + HEARTBEAT_EVERY * u32::from(share) / 256
}

impl std::fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBus").finish_non_exhaustive()
    }
}
