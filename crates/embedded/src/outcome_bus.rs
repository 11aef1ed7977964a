//! News of commits, within the process.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::Outcomes;
use miaosha_app::ports::{BusEvent, OutcomeBus, OutcomeSubscription};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Hands news to every follower in this process. A follower that falls behind by more than the bound hears of a gap.
#[derive(Debug)]
pub struct InProcessBus {
    /// `None` once shut down.
    sender: Mutex<Option<broadcast::Sender<Arc<Outcomes>>>>,
}

impl InProcessBus {
    /// How many news a follower may fall behind by default.
    pub const BEHIND_MAX: usize = 1_024;

    /// A bus on which nobody falls behind by more than `behind_max` news.
    pub fn new(behind_max: usize) -> Self {
        Self { sender: Mutex::new(Some(broadcast::Sender::new(behind_max))) }
    }

    /// Ends the bus: followers hear what was published before, then [`BusEvent::Closed`].
    pub fn shut_down(&self) {
        self.sender.lock().take();
    }
}

impl OutcomeBus for InProcessBus {
    fn publish(&self, outcomes: Arc<Outcomes>) {
        if let Some(sender) = &*self.sender.lock() {
            // An error says that nobody follows, which is fine.
            let _ = sender.send(outcomes);
        }
    }

    fn subscribe(&self) -> Box<dyn OutcomeSubscription> {
        Box::new(InProcessSubscription {
            news: self.sender.lock().as_ref().map(broadcast::Sender::subscribe),
        })
    }
}

/// `None` for a follower that came after the end.
struct InProcessSubscription {
    news: Option<broadcast::Receiver<Arc<Outcomes>>>,
}

#[async_trait]
impl OutcomeSubscription for InProcessSubscription {
    async fn next(&mut self) -> BusEvent {
        let Some(news) = &mut self.news else { return BusEvent::Closed };
        match news.recv().await {
            Ok(outcomes) => BusEvent::News(outcomes),
            Err(RecvError::Lagged(_)) => BusEvent::Gap,
            Err(RecvError::Closed) => BusEvent::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use miaosha_domain::ids::SaleId;
    use miaosha_testkit::contract::run;

    use super::*;

    fn news() -> Arc<Outcomes> {
        let sale = SaleId::new(1).unwrap();
        Arc::new(Outcomes::of_rejected(sale, Vec::new()))
    }

    #[test]
    fn a_follower_too_far_behind_hears_of_a_gap_and_then_the_newest() {
        run(async {
            let bus = InProcessBus::new(4);
            let mut follower = bus.subscribe();
            for _ in 0..9 {
                bus.publish(news());
            }
            assert!(matches!(follower.next().await, BusEvent::Gap));
            for _ in 0..4 {
                assert!(matches!(follower.next().await, BusEvent::News(_)));
            }
            bus.shut_down();
            assert!(matches!(follower.next().await, BusEvent::Closed));
        });
    }
}
