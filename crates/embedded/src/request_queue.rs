//! Accepted buy requests on their way to a decision, within the process.
//!
//! Memory does not survive a crash, so a batch counts as handed over only when it has been decided: `publish` answers
//! once the delivery is acknowledged, which is after the commit.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Delivery, PortError, PortResult, RequestQueue};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

const PUBLISH: &str = "hand buy requests over";

/// A first-in, first-out queue of batches. A delivery that comes back goes to the front.
///
/// Of a batch that was parked or discarded, and of every batch that waits when the queue is shut down, the publisher
/// is told by a `Retryable` error.
#[derive(Debug)]
pub struct InProcessQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting_max: usize,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    is_shut_down: bool,
}

#[derive(Debug)]
struct Entry {
    batch: RequestBatch,
    is_redelivered: bool,
    receipt: Arc<Receipt>,
}

/// What the publisher of a batch waits for: all parts acknowledged, or the first that was not.
#[derive(Debug)]
struct Receipt {
    state: Mutex<ReceiptState>,
}

#[derive(Debug)]
struct ReceiptState {
    parts_left: usize,
    publisher: Option<oneshot::Sender<PortResult<()>>>,
}

impl InProcessQueue {
    /// How many batches may wait by default.
    pub const WAITING_MAX: usize = 4_096;

    /// A queue that refuses a batch as `Overloaded` while `waiting_max` wait.
    pub fn new(waiting_max: usize) -> Self {
        let (waiting, changed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { waiting_max, waiting, changed }) }
    }

    /// Ends the queue: nothing is delivered any more. What was delivered before may still be settled.
    pub fn shut_down(&self) {
        let entries = {
            let mut waiting = self.shared.waiting.lock();
            waiting.is_shut_down = true;
            std::mem::take(&mut waiting.entries)
        };
        self.shared.changed.notify_waiters();
        for entry in entries {
            entry.receipt.fail("the queue is shut down");
        }
    }
}

#[async_trait]
impl RequestQueue for InProcessQueue {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        let (publisher, decided) = oneshot::channel();
        let receipt = Arc::new(Receipt::new(publisher));
        {
            let mut waiting = self.shared.waiting.lock();
            if waiting.is_shut_down {
                return Err(PortError::retryable(PUBLISH, "the queue is shut down"));
            }
            if waiting.entries.len() >= self.shared.waiting_max {
                return Err(PortError::Overloaded { what: PUBLISH });
            }
            waiting.entries.push_back(Entry { batch, is_redelivered: false, receipt });
        }
        self.shared.changed.notify_one();
        decided.await.unwrap_or_else(|_| Err(PortError::retryable(PUBLISH, "the queue is gone")))
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        loop {
            // Registered before looking, so that no change between the look and the wait is missed.
            let mut changed = pin!(self.shared.changed.notified());
            changed.as_mut().enable();
            {
                let mut waiting = self.shared.waiting.lock();
                if let Some(entry) = waiting.entries.pop_front() {
                    let shared = Arc::clone(&self.shared);
                    return Some(Box::new(InProcessDelivery { shared, entry: Some(entry) }));
                }
                if waiting.is_shut_down {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Shared {
    /// Puts entries back at the front, in their order; after the end of the queue it fails them.
    fn put_back(&self, entries: Vec<Entry>) {
        let mut waiting = self.waiting.lock();
        if waiting.is_shut_down {
            drop(waiting);
            for entry in entries {
                entry.receipt.fail("the queue is shut down");
            }
            return;
        }
        for entry in entries.into_iter().rev() {
            waiting.entries.push_front(entry);
            self.changed.notify_one();
        }
    }
}

/// The entry is there until the delivery is settled; dropping it unsettled puts it back.
struct InProcessDelivery {
    shared: Arc<Shared>,
    entry: Option<Entry>,
}

impl InProcessDelivery {
    fn settle(mut self) -> Entry {
        self.entry.take().expect("an entry is taken only here and on drop, and both end the delivery")
    }

    fn entry(&self) -> &Entry {
        self.entry.as_ref().expect("an entry is taken only when the delivery ends")
    }
}

#[async_trait]
impl Delivery for InProcessDelivery {
    fn batch(&self) -> &RequestBatch {
        &self.entry().batch
    }

    fn is_redelivered(&self) -> bool {
        self.entry().is_redelivered
    }

    async fn take_turn(&self) {}

    fn end_turn(&self) {}

    async fn ack(self: Box<Self>) -> PortResult<()> {
        self.settle().receipt.finish_part();
        Ok(())
    }

    async fn park(self: Box<Self>) -> PortResult<()> {
        self.settle().receipt.fail("the sale is paused");
        Ok(())
    }

    async fn split(self: Box<Self>) -> PortResult<()> {
        let shared = Arc::clone(&self.shared);
        let Entry { batch, is_redelivered, receipt } = self.settle();
        receipt.add_parts(batch.asks.len());
        let alone = |ask| RequestBatch { asks: vec![ask], ..batch };
        let entry = |batch| Entry { batch, is_redelivered, receipt: Arc::clone(&receipt) };
        shared.put_back(batch.asks.iter().copied().map(alone).map(entry).collect());
        receipt.finish_part();
        Ok(())
    }

    async fn discard(self: Box<Self>) -> PortResult<()> {
        let entry = self.settle();
        tracing::error!(batch = ?entry.batch, "a batch of buy requests could not be decided and was discarded");
        entry.receipt.fail("the batch could not be decided");
        Ok(())
    }
}

impl Drop for InProcessDelivery {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.shared.put_back(vec![Entry { is_redelivered: true, ..entry }]);
        }
    }
}

impl Receipt {
    fn new(publisher: oneshot::Sender<PortResult<()>>) -> Self {
        Self { state: Mutex::new(ReceiptState { parts_left: 1, publisher: Some(publisher) }) }
    }

    fn add_parts(&self, count: usize) {
        self.state.lock().parts_left += count;
    }

    fn finish_part(&self) {
        let mut state = self.state.lock();
        state.parts_left -= 1;
        if state.parts_left == 0 {
            state.tell(Ok(()));
        }
    }

    fn fail(&self, reason: &'static str) {
        self.state.lock().tell(Err(PortError::retryable(PUBLISH, reason)));
    }
}

impl ReceiptState {
    /// Tells the publisher, unless it was told before or has gone.
    fn tell(&mut self, result: PortResult<()>) {
        if let Some(publisher) = self.publisher.take() {
            let _ = publisher.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::{join, join_all};
    use miaosha_domain::decide::Ask;
    use miaosha_domain::ids::{SaleId, UserId};
    use miaosha_domain::time::Timestamp;
    use miaosha_testkit::contract::{poll_once, run};

    use super::*;

    fn batch(raw: u64) -> RequestBatch {
        let ask = Ask { user: UserId::new(raw).unwrap(), quantity: 1 };
        let sale = SaleId::new(1).unwrap();
        RequestBatch { sale, asks: vec![ask], accepted_at: Timestamp::from_millis(0) }
    }

    fn is_retryable(result: &PortResult<()>) -> bool {
        matches!(result, Err(PortError::Retryable { .. }))
    }

    #[test]
    fn a_publisher_waits_for_the_decision() {
        run(async {
            let queue = InProcessQueue::new(9);
            let mut publishing = queue.publish(batch(1));
            assert!(poll_once(publishing.as_mut()).await.is_none());
            let delivery = queue.next().await.unwrap();
            assert!(poll_once(publishing.as_mut()).await.is_none());
            delivery.ack().await.unwrap();
            publishing.await.unwrap();
        });
    }

    #[test]
    fn more_batches_than_may_wait_are_refused_without_effect() {
        run(async {
            let queue = InProcessQueue::new(2);
            let mut waiting = [queue.publish(batch(1)), queue.publish(batch(2))];
            for publishing in &mut waiting {
                assert!(poll_once(publishing.as_mut()).await.is_none());
            }
            let refused = queue.publish(batch(3)).await;
            assert!(matches!(refused, Err(PortError::Overloaded { .. })));
            for raw in 1..3 {
                let delivery = queue.next().await.unwrap();
                assert_eq!(*delivery.batch(), batch(raw));
                delivery.ack().await.unwrap();
            }
            assert!(poll_once(queue.next().as_mut()).await.is_none());
        });
    }

    #[test]
    fn who_waits_is_told_when_a_batch_is_parked_or_discarded() {
        run(async {
            let queue = InProcessQueue::new(9);
            let consume = async {
                queue.next().await.unwrap().park().await.unwrap();
                queue.next().await.unwrap().discard().await.unwrap();
            };
            let publishing = join_all([queue.publish(batch(1)), queue.publish(batch(2))]);
            let (published, ()) = join(publishing, consume).await;
            assert!(published.iter().all(is_retryable));
        });
    }

    #[test]
    fn one_discarded_part_is_enough_to_tell_the_publisher() {
        run(async {
            let queue = InProcessQueue::new(9);
            let asks = [1, 2].into_iter().flat_map(|raw| batch(raw).asks).collect();
            let consume = async {
                queue.next().await.unwrap().split().await.unwrap();
                queue.next().await.unwrap().discard().await.unwrap();
                queue.next().await.unwrap().ack().await.unwrap();
            };
            let (published, ()) = join(queue.publish(RequestBatch { asks, ..batch(1) }), consume).await;
            assert!(is_retryable(&published));
        });
    }

    #[test]
    fn the_shutdown_fails_what_waits_and_lets_what_was_delivered_be_settled() {
        run(async {
            let queue = InProcessQueue::new(9);
            let consume = async {
                let [first, second] = [queue.next().await.unwrap(), queue.next().await.unwrap()];
                queue.shut_down();
                first.ack().await.unwrap();
                drop(second);
                assert!(queue.next().await.is_none());
            };
            let publishing = join_all([1, 2, 3].map(|raw| queue.publish(batch(raw))));
            let (published, ()) = join(publishing, consume).await;
            assert!(published[0].is_ok());
            assert!(is_retryable(&published[1]) && is_retryable(&published[2]));
        });
    }

    #[test]
    fn what_comes_back_comes_first() {
        run(async {
            let queue = InProcessQueue::new(9);
            let consume = async {
                drop(queue.next().await.unwrap());
                for raw in 1..4 {
                    let delivery = queue.next().await.unwrap();
                    assert_eq!((delivery.batch(), delivery.is_redelivered()), (&batch(raw), raw == 1));
                    delivery.ack().await.unwrap();
                }
            };
            join(join_all([1, 2, 3].map(|raw| queue.publish(batch(raw)))), consume).await;
        });
    }
}
