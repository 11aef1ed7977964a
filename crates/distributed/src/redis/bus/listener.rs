//! What other processes say: one subscription for this process, and the gaps in it.
//!
//! The connection is given up at the first sign that something was lost on it, and made anew: that is simpler to get
//! right than knowing what a client library repairs by itself. That a channel still delivers is known by what comes over
//! it; where nobody else says anything, this process itself does ([`super::Sender`]), and hears that.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::BusEvent;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::info;

use crate::fan_out::FanOut;
use crate::lateness::Lateness;

use super::super::connection::{CONNECT_MAX, ConnectError, Connection, Target};
use super::super::keys::{CHANNELS, Keys};
use super::{LastHeard, wire};

/// Messages that may wait to be read.
const UNREAD_MAX: usize = 4_096;
/// A channel over which nothing came for so long delivers nothing: somebody would have spoken.
const SILENCE_MAX: Duration = Duration::from_secs(4);
const SUBSCRIBE_MAX: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// A gap makes every follower read everything again, so no more than one is told in this time.
const GAP_EVERY: Duration = Duration::from_secs(1);
/// Processes whose numbers are remembered; more than there ever are at once.
const ORIGINS_MAX: usize = 4_096;

/// Reads what other processes say.
pub(crate) struct Listener {
    target: Target,
    channels: Vec<String>,
    origin: u64,
    /// Of each channel; never while it is not subscribed to.
    last_heard: Vec<LastHeard>,
    fan_out: FanOut,
    /// By process and channel, the number of the last news known of.
    heard: HashMap<(u64, usize), u64>,
    gap: Gap,
    /// Who waits for the first subscriptions; `None` once they were there.
    is_listening: Option<oneshot::Sender<()>>,
}

/// Something that was lost and that followers were not told of yet.
#[derive(Debug, Default)]
struct Gap {
    is_untold: bool,
    told_at: Option<Instant>,
}

/// What comes over a connection.
enum Heard {
    Message {
        channel: String,
        payload: Vec<u8>,
    },
    /// Some of it was lost, or may be from now on.
    Lost,
}

impl Listener {
    pub(crate) fn new(
        target: Target,
        keys: &Keys,
        origin: u64,
        last_heard: Vec<LastHeard>,
        fan_out: FanOut,
    ) -> Self {
        let channels = (0..CHANNELS).map(|number| keys.channel(number)).collect();
        Self {
            target,
            channels,
            origin,
            last_heard,
            fan_out,
            heard: HashMap::new(),
            gap: Gap::default(),
            is_listening: None,
        }
    }

    /// Listens for ever, through outages of any length. `is_listening` hears when all channels are subscribed to for the
    /// first time; whoever holds its other end has no followers yet.
    pub(crate) async fn run(mut self, is_listening: oneshot::Sender<()>) {
        self.is_listening = Some(is_listening);
        loop {
            if let Ok((connection, unread)) = self.connect().await {
                self.listen(connection, unread).await;
                info!("the news is interrupted: subscribing again");
                self.gap.is_untold = true;
            }
            self.tell_gap();
            sleep(RETRY_AFTER).await;
        }
    }

    async fn connect(&self) -> Result<(Connection, mpsc::Receiver<Heard>), ConnectError> {
        let (sender, unread) = mpsc::channel(UNREAD_MAX);
        let connecting = self.target.connect(Some(move |push: PushInfo| pass_on(&sender, push)));
        let connection = timeout(CONNECT_MAX, connecting).await.unwrap_or(Err(ConnectError::Late))?;
        Ok((connection, unread))
    }

    /// Passes on what comes in until something is lost. Channels on a node that is away are waited for beside it.
    async fn listen(&mut self, connection: Connection, mut unread: mpsc::Receiver<Heard>) {
        let (sender, mut subscribed) = mpsc::channel(CHANNELS);
        let mut subscribing = pin!(subscribe(connection, self.channels.clone(), sender));
        self.last_heard.iter().for_each(LastHeard::forget);
        let mut looks = interval(GAP_EVERY / 2);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lateness = Lateness::default();
        loop {
            tokio::select! {
                // What has come is taken before anything is judged.
                biased;
                heard = unread.recv() => {
                    let Some(Heard::Message { channel, payload }) = heard else { return };
                    let Some(channel) = self.channels.iter().position(|known| *known == channel) else { continue };
                    self.last_heard[channel].note();
                    self.read(channel, &payload);
                }
                Some(channel) = subscribed.recv() => {
                    self.last_heard[channel].note();
                    let are_all = self.last_heard.iter().all(|heard| heard.at().is_some());
                    self.note_subscribed(are_all);
                }
                due = looks.tick() => {
                    let is_silent = |at: Instant| at.elapsed() > SILENCE_MAX;
                    if !lateness.excuses(due)
                        && self.last_heard.iter().filter_map(LastHeard::at).any(is_silent) {
                        return;
                    }
                }
                never = &mut subscribing => match never {},
            }
            self.tell_gap();
        }
    }

    /// What was said before was not heard, which matters unless nobody could have followed yet.
    fn note_subscribed(&mut self, are_all: bool) {
        match self.is_listening.take() {
            None => self.gap.is_untold = true,
            Some(waiting) if are_all => self.gap.is_untold |= waiting.send(()).is_err(),
            waiting => self.is_listening = waiting,
        }
    }

    fn read(&mut self, channel: usize, payload: &[u8]) {
        let Ok((header, body)) = wire::decode_header(payload) else {
            self.gap.is_untold = true;
            return;
        };
        if header.origin == self.origin {
            return;
        }
        let Ok(news) = wire::decode_body(body) else {
            self.gap.is_untold = true;
            return;
        };
        if self.heard.len() >= ORIGINS_MAX * CHANNELS {
            self.heard.clear();
        }
        // Of a process that was not heard before, what it has sent until now was lost.
        let last = self.heard.entry((header.origin, channel)).or_insert(0);
        let follows = *last + u64::from(news.is_some());
        self.gap.is_untold |= header.number > follows;
        *last = header.number.max(*last);
        if let Some(news) = news {
            self.fan_out.send(BusEvent::News(Arc::new(news)));
        }
    }

    fn tell_gap(&mut self) {
        let may_tell = self.gap.told_at.is_none_or(|at| at.elapsed() >= GAP_EVERY);
        if self.gap.is_untold && may_tell {
            self.gap = Gap { is_untold: false, told_at: Some(Instant::now()) };
            metrics::counter!("miaosha_news_gaps_total").increment(1);
            self.fan_out.send(BusEvent::Gap);
        }
    }
}

/// Subscribes to every channel, as soon as the node that it is on is there, and keeps the connection for as long as it
/// runs: dropping it ends the subscriptions.
async fn subscribe(
    mut connection: Connection,
    channels: Vec<String>,
    subscribed: mpsc::Sender<usize>,
) -> Infallible {
    let mut missing: Vec<usize> = (0..channels.len()).collect();
    while !missing.is_empty() {
        for number in std::mem::take(&mut missing) {
            let subscribing = connection.subscribe(&channels[number]);
            match timeout(SUBSCRIBE_MAX, subscribing).await {
                Ok(Ok(())) => drop(subscribed.send(number).await),
                _ => missing.push(number),
            }
        }
        sleep(RETRY_AFTER).await;
    }
    pending().await
}

/// Runs on the connection's own task, so it neither waits nor reads.
fn pass_on(unread: &mpsc::Sender<Heard>, push: PushInfo) -> Result<(), ()> {
    let heard = match (push.kind, <[Value; 2]>::try_from(push.data)) {
        (PushKind::SMessage, Ok([Value::BulkString(channel), Value::BulkString(payload)])) => {
            Heard::Message { channel: String::from_utf8_lossy(&channel).into_owned(), payload }
        }
        // A channel that moved to another node is unsubscribed from by the node it was on.
        (PushKind::Disconnection | PushKind::SUnsubscribe, _) => Heard::Lost,
        _ => return Ok(()),
    };
    match unread.try_send(heard) {
        // What does not fit is missed by its number, or by the silence.
        Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
        Err(TrySendError::Closed(_)) => Err(()),
    }
}
