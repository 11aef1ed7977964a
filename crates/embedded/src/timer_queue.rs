//! Wake-ups for deadlines, in memory: after a restart they are scheduled anew from the rows.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::{Clock, PortError, PortResult, TimerQueue};
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Wake-ups, each once for a sale and a moment, the earliest first. It has no task: those who wait for a wake-up sleep
/// until it is due.
#[derive(Debug)]
pub struct InProcessTimers {
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    due: BTreeSet<(Timestamp, SaleId)>,
    is_shut_down: bool,
}

/// What a waiter finds.
enum Found {
    Due(SaleId),
    Later(Timestamp),
    Nothing,
    ShutDown,
}

impl InProcessTimers {
    /// The most wake-ups that wait; further ones are refused, and the sweeper stands in for them.
    pub const WAITING_MAX: usize = 100_000;

    /// Timers by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, pending: Mutex::default(), changed: Notify::new() }
    }

    /// Ends the queue: whoever waits gets `None`.
    pub fn shut_down(&self) {
        self.pending.lock().is_shut_down = true;
        self.changed.notify_waiters();
    }

    fn take_due(&self) -> Found {
        let mut pending = self.pending.lock();
        if pending.is_shut_down {
            return Found::ShutDown;
        }
        match pending.due.first().copied() {
            None => Found::Nothing,
            Some((due, _)) if due > self.clock.now() => Found::Later(due),
            Some(first @ (_, sale)) => {
                pending.due.remove(&first);
                Found::Due(sale)
            }
        }
    }
}

#[async_trait]
impl TimerQueue for InProcessTimers {
    async fn schedule(&self, sale: SaleId, due: Timestamp) -> PortResult<()> {
        let mut pending = self.pending.lock();
        if pending.due.len() >= Self::WAITING_MAX {
            return Err(PortError::Overloaded { what: "schedule a wake-up" });
        }
        pending.due.insert((due, sale));
        if pending.due.first() == Some(&(due, sale)) {
            self.changed.notify_waiters();
        }
        Ok(())
    }

    async fn next(&self) -> Option<SaleId> {
        loop {
            // Registered before looking, so that no change between the look and the wait is missed.
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.take_due() {
                Found::Due(sale) => return Some(sale),
                Found::ShutDown => return None,
                Found::Nothing => changed.await,
                Found::Later(due) => {
                    let span = due.saturating_since(self.clock.now());
                    tokio::select! {
                        () = changed => {}
                        () = self.clock.sleep(span) => {}
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use miaosha_testkit::contract::{ManualClock, poll_once, run};

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn sale(raw: u64) -> SaleId {
        SaleId::new(raw).unwrap()
    }

    #[test]
    fn wake_ups_come_by_the_clock_the_earliest_first() {
        run(async {
            let clock = Arc::new(ManualClock::new(NOON));
            let timers = InProcessTimers::new(Arc::clone(&clock) as _);
            for raw in [3, 1, 2] {
                timers.schedule(sale(raw), NOON + SECOND * u32::try_from(raw).unwrap()).await.unwrap();
            }
            for raw in 1..4 {
                let mut waiting = timers.next();
                assert!(poll_once(waiting.as_mut()).await.is_none());
                clock.advance(Duration::from_millis(999));
                assert!(poll_once(waiting.as_mut()).await.is_none());
                assert!(poll_once(timers.next().as_mut()).await.is_none());
                clock.advance(Duration::from_millis(1));
                assert_eq!(waiting.await, Some(sale(raw)));
            }
        });
    }

    #[test]
    fn a_sale_is_woken_once_for_a_moment() {
        run(async {
            let timers = InProcessTimers::new(Arc::new(ManualClock::new(NOON)));
            for due in [NOON, NOON, NOON - SECOND] {
                timers.schedule(sale(1), due).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(timers.next().await, Some(sale(1)));
            }
            assert!(poll_once(timers.next().as_mut()).await.is_none());
        });
    }

    #[test]
    fn of_two_who_wait_each_gets_a_wake_up() {
        run(async {
            let clock = Arc::new(ManualClock::new(NOON));
            let timers = InProcessTimers::new(Arc::clone(&clock) as _);
            let (mut first, mut second) = (timers.next(), timers.next());
            assert!(poll_once(first.as_mut()).await.is_none());
            assert!(poll_once(second.as_mut()).await.is_none());
            timers.schedule(sale(1), NOON + SECOND).await.unwrap();
            timers.schedule(sale(2), NOON + SECOND).await.unwrap();
            clock.advance(SECOND);
            let (first, second) = futures_util::future::join(first, second).await;
            assert_eq!([first, second], [Some(sale(1)), Some(sale(2))]);
        });
    }

    #[test]
    fn more_wake_ups_than_may_wait_are_refused() {
        run(async {
            let timers = InProcessTimers::new(Arc::new(ManualClock::new(NOON)));
            for raw in 1..=InProcessTimers::WAITING_MAX {
                timers.schedule(sale(raw as u64), NOON).await.unwrap();
            }
            let refused = timers.schedule(sale(u64::from(u32::MAX)), NOON).await;
            assert!(matches!(refused, Err(PortError::Overloaded { .. })));
        });
    }
}
