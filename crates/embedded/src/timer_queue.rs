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
