//! Wake-ups for deadlines: a message waits in a queue in which everything expires after the same time, and is then
//! dead-lettered to the payment queue, from which whoever is free takes it.
//!
//! There is a queue for each of a few waits, a ladder. A wait between two rungs is walked in steps, each not longer
//! than what is left; a step may overshoot only by as much as nobody notices.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use miaosha_app::ports::{Clock, PortError, PortResult, TimerQueue};
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection::{Duty, Failure};
use super::dead_letters::DeadLetters;
use super::message::{WAKE_UP, WakeUp, decode_wake_up, encode_wake_up};
use super::publisher::{Message, Publisher, Unconfirmed, persistent};
use super::topology::{DUE, Topology, wait_key};

const SCHEDULE: &str = "schedule a wake-up";
const SET_UP_MAX: Duration = Duration::from_secs(15);
/// A wake-up may be this late by choice, to spare it further steps. The sweeper comes each second anyway.
const OVERSHOOT_MAX: Duration = Duration::from_millis(250);
/// Wake-ups are small and quickly done; a few at hand keep a consumer busy.
const PREFETCH: u16 = 32;
/// A wake-up that cannot be put back on the ladder is kept here and not given back: the broker counts what comes back.
const SEND_ON_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Wake-ups, shared by all consumers. Get it from [`super::Rabbit::timers`].
///
/// A wake-up comes at least once, not before it is due by the clock of the process that takes it, and outlives a
/// restart of everything. `schedule` answers within [`super::RabbitConfig::publish_limit`].
#[derive(Debug)]
pub struct RabbitTimers {
    pub(super) schedule: Arc<Schedule>,
    pub(super) woken: Mutex<mpsc::Receiver<SaleId>>,
    /// Cancelled by the first `next`: only then are wake-ups asked for.
    pub(super) wanted: CancellationToken,
    pub(super) stopped: CancellationToken,
}

/// Puts wake-ups on the ladder.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) topology: Arc<Topology>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) lane: usize,
    pub(super) limit: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ladder: Ladder,
}

#[async_trait]
impl TimerQueue for RabbitTimers {
    async fn schedule(&self, sale: SaleId, due: Timestamp) -> PortResult<()> {
        let scheduled = self.schedule.put(WakeUp { sale, due }).await;
        scheduled.map_err(|unconfirmed| PortError::retryable(SCHEDULE, unconfirmed))
    }

    async fn next(&self) -> Option<SaleId> {
        self.wanted.cancel();
        let woken = async { self.woken.lock().await.recv().await };
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => None,
            sale = woken => sale,
        }
    }
}

impl Schedule {
    fn remaining(&self, wake_up: WakeUp) -> Duration {
        wake_up.due.saturating_since(self.clock.now())
    }

    /// Durable when this returns.
    pub(super) async fn put(&self, wake_up: WakeUp) -> Result<(), Unconfirmed> {
        let key = self.ladder.rung(self.remaining(wake_up)).map_or_else(|| DUE.to_owned(), wait_key);
        let message = Message {
            exchange: self.topology.timers_exchange(),
            key,
            body: encode_wake_up(wake_up),
            properties: persistent(WAKE_UP),
        };
        self.publisher.publish(self.lane, message, self.limit).await
    }
}

/// The waits that there are queues for.
#[derive(Debug)]
pub(super) struct Ladder {
    /// Ascending, not empty.
    rungs: Vec<Duration>,
}

impl Ladder {
    /// `None` without any wait.
    pub(super) fn new(mut waits: Vec<Duration>) -> Option<Self> {
        waits.sort_unstable();
        waits.dedup();
        if waits.is_empty() { None } else { Some(Self { rungs: waits }) }
    }

    /// The wait to take next with `remaining` to go; `None` with nothing to go.
    fn rung(&self, remaining: Duration) -> Option<Duration> {
        if remaining.is_zero() {
            return None;
        }
        let above = self.rungs.partition_point(|rung| *rung < remaining);
        let below = above.checked_sub(1).map(|index| self.rungs[index]);
        let reached = self.rungs.get(above).copied();
        match (reached, below) {
            (Some(rung), _) if rung <= remaining + OVERSHOOT_MAX => Some(rung),
            (Some(rung), None) => Some(rung),
            (_, below) => below,
        }
    }
}

/// Takes wake-ups from the payment queue.
#[derive(Debug)]
pub(super) struct WakeUps {
    pub(super) schedule: Arc<Schedule>,
    pub(super) dead_letters: DeadLetters,
    pub(super) woken: mpsc::Sender<SaleId>,
    pub(super) stopped: CancellationToken,
}

impl WakeUps {
    async fn open(&self, connection: &Connection) -> Result<(Channel, Consumer), Failure> {
        let channel = connection.create_channel().await?;
        self.schedule.topology.declare(&channel).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let queue = self.schedule.topology.payments_queue().into();
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "".into(), options, none).await?;
        Ok((channel, consumer))
    }

    /// Hands a wake-up out, or puts what is left of its wait back on the ladder; then acknowledges.
    async fn receive(&self, delivery: Delivery) -> Result<(), Failure> {
        let kind = delivery.properties.kind().as_ref().map(|kind| kind.as_str().to_owned());
        match decode_wake_up(kind.as_deref(), &delivery.data) {
            Ok(wake_up) if self.schedule.remaining(wake_up).is_zero() => {
                // A full channel is the bound on what is at hand; it is never closed, as the timers hold its other end.
                let _ = self.woken.send(wake_up.sale).await;
            }
            Ok(wake_up) => {
                while let Err(unconfirmed) = self.schedule.put(wake_up).await {
                    warn!(%unconfirmed, "a wake-up is not sent on yet: trying again");
                    tokio::time::sleep(SEND_ON_AGAIN_AFTER).await;
                }
            }
            Err(error) => {
                self.dead_letters.put_aside_undecodable(self.schedule.lane, &delivery, &error).await;
            }
        }
        delivery.acker.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    async fn work(&self, mut consumer: Consumer) -> Failure {
        loop {
            let delivery = match consumer.next().await {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return error.into(),
                None => return Failure::ConsumerEnded(self.schedule.topology.payments_queue()),
            };
            if let Err(failure) = self.receive(delivery).await {
                return failure;
            }
        }
    }
}

#[async_trait]
impl Duty for WakeUps {
    fn name(&self) -> &'static str {
        "timers"
    }

    async fn serve(&self, connection: &Connection, ready: &CancellationToken) -> Failure {
        let (channel, consumer) = match timeout(SET_UP_MAX, self.open(connection)).await {
            Err(_) => return Failure::Slow("subscribing to the timers"),
            Ok(Err(failure)) => return failure,
            Ok(Ok(opened)) => opened,
        };
        ready.cancel();
        if let Some(failure) = self.stopped.run_until_cancelled(self.work(consumer)).await {
            return failure;
        }
        // Closing the channel returns what this process holds to the others.
        drop(channel);
        std::future::pending().await
    }

    fn lost(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(ms: &[u64]) -> Ladder {
        Ladder::new(ms.iter().copied().map(Duration::from_millis).collect()).unwrap()
    }

    fn rung(ladder: &Ladder, ms: u64) -> Option<u128> {
        ladder.rung(Duration::from_millis(ms)).map(|rung| rung.as_millis())
    }

    #[test]
    fn the_smallest_wait_that_overshoots_by_little_is_taken_else_the_largest_below() {
        let ladder = ladder(&[60_000, 100, 1_000]);
        assert_eq!(rung(&ladder, 60_000), Some(60_000));
        assert_eq!(rung(&ladder, 59_800), Some(60_000));
        assert_eq!(rung(&ladder, 59_700), Some(1_000));
        assert_eq!(rung(&ladder, 3_600_000), Some(60_000));
        assert_eq!(rung(&ladder, 500), Some(100));
        assert_eq!(rung(&ladder, 1), Some(100));
        assert_eq!(rung(&ladder, 0), None);
    }

    #[test]
    fn a_ladder_without_a_short_wait_still_waits() {
        assert_eq!(rung(&ladder(&[60_000]), 500), Some(60_000));
        assert!(Ladder::new(Vec::new()).is_none());
    }

    /// For every wait of up to two hours. The longest way has eleven steps of ten minutes, one of five, four of one, one of
    /// half a minute, two each of 10, 3, 1 and 0.3 seconds, and one of a tenth.
    #[test]
    fn every_wait_ends_in_a_few_steps_and_late_by_little() {
        let ladder = Ladder::new(super::super::RabbitConfig::new("").waits).unwrap();
        let steps = (0..7_200_000).map(|remaining_ms| {
            let mut remaining = Duration::from_millis(remaining_ms);
            let mut steps = 0;
            while let Some(rung) = ladder.rung(remaining) {
                assert!(rung <= remaining + OVERSHOOT_MAX);
                remaining = remaining.saturating_sub(rung);
                steps += 1;
            }
            steps
        });
        assert_eq!(steps.max(), Some(26));
    }
}
