//! A clock that stands still until it is told to move.

use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::Clock;
use miaosha_domain::time::Timestamp;
use tokio::sync::watch;

/// A clock for tests: time passes by [`ManualClock::advance`] only.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Lets `span` pass, and wakes whose sleep is over.
    pub fn advance(&self, span: Duration) {
        self.now.send_modify(|now| *now = *now + span);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn sleep(&self, span: Duration) {
        let mut watched = self.now.subscribe();
        let end = self.now() + span;
        watched.wait_for(|now| *now >= end).await.expect("the clock that sends is borrowed here");
    }
}
