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
