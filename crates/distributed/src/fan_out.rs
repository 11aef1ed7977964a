//! The followers in this process.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::{BusEvent, OutcomeSubscription};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many events a follower may fall behind.
const BEHIND_MAX: usize = 1_024;

/// Hands events to every follower in this process. One that falls behind hears of a gap.
#[derive(Clone)]
pub(crate) struct FanOut {
    /// `None` once shut down.
    sender: Arc<Mutex<Option<broadcast::Sender<BusEvent>>>>,
}

impl FanOut {
    pub(crate) fn new() -> Self {
        Self { sender: Arc::new(Mutex::new(Some(broadcast::Sender::new(BEHIND_MAX)))) }
    }

    pub(crate) fn send(&self, event: BusEvent) {
        if let Some(sender) = &*self.sender.lock() {
            // An error says that nobody follows, which is fine.
            let _ = sender.send(event);
        }
    }

    /// Events from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription { events: self.sender.lock().as_ref().map(broadcast::Sender::subscribe) }
    }

    /// Followers hear what was sent before, then [`BusEvent::Closed`]. Idempotent.
    pub(crate) fn shut_down(&self) {
        self.sender.lock().take();
    }
}

/// `None` for a follower that came after the end.
pub(crate) struct Subscription {
    events: Option<broadcast::Receiver<BusEvent>>,
}

#[async_trait]
impl OutcomeSubscription for Subscription {
    async fn next(&mut self) -> BusEvent {
        let Some(events) = &mut self.events else { return BusEvent::Closed };
        match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => BusEvent::Gap,
            Err(RecvError::Closed) => BusEvent::Closed,
        }
    }
}
