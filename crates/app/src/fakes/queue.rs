//! Queue, timers and bus in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{Faults, Journal, START, sale_id, user};
use crate::model::{Outcomes, RequestBatch};
use crate::ports::{
    BusEvent, Delivery, OutcomeBus, OutcomeSubscription, PortError, PortResult, RequestQueue, TimerQueue,
};

/// A queue whose confirms come when tests give them, or at once.
pub(crate) struct FakeQueue {
    faults: Faults,
    published: Mutex<Vec<RequestBatch>>,
    is_slow: Mutex<bool>,
    unconfirmed: Mutex<VecDeque<oneshot::Sender<bool>>>,
}

impl FakeQueue {
    pub(super) fn new(faults: Faults) -> Self {
        let (published, is_slow, unconfirmed) = Default::default();
        Self { faults, published, is_slow, unconfirmed }
    }

    /// From now on a batch waits for [`FakeQueue::confirm`].
    pub(crate) fn be_slow(&self) {
        *self.is_slow.lock() = true;
    }

    /// Confirms the oldest batch that waits, or fails it.
    pub(crate) fn confirm(&self, is_accepted: bool) {
        let waiting = self.unconfirmed.lock().pop_front().expect("a batch waits for its confirm");
        let _ = waiting.send(is_accepted);
    }

    /// The people of each batch handed over so far.
    pub(crate) fn batches(&self) -> Vec<Vec<u64>> {
        let people = |batch: &RequestBatch| batch.asks.iter().map(|ask| ask.user.get()).collect();
        self.published.lock().iter().map(people).collect()
    }
}

#[async_trait]
impl RequestQueue for FakeQueue {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        self.faults.around("publish", || {
            self.published.lock().push(batch);
            Ok(())
        })?;
        if !*self.is_slow.lock() {
            return Ok(());
        }
        let (confirm, confirmed) = oneshot::channel();
        self.unconfirmed.lock().push_back(confirm);
        match confirmed.await {
            Ok(true) => Ok(()),
            _ => Err(PortError::retryable("publish", "not confirmed")),
        }
    }

    fn lanes(&self) -> usize {
        1
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        None
    }
}

/// A delivery that notes in the journal how it was settled.
pub(crate) struct FakeDelivery {
    batch: RequestBatch,
    is_redelivered: bool,
    notes_turns: bool,
    journal: Journal,
}

impl FakeDelivery {
    pub(crate) fn new(journal: &Journal, people: &[u64]) -> Self {
        let asks = people.iter().map(|&number| Ask { user: user(number), quantity: 1 }).collect();
        let batch = RequestBatch { sale: sale_id(), asks, accepted_at: START };
        Self { batch, is_redelivered: false, notes_turns: false, journal: journal.clone() }
    }

    pub(crate) fn of_sale(mut self, sale: SaleId) -> Self {
        self.batch.sale = sale;
        self
    }

    pub(crate) fn again(mut self) -> Self {
        self.is_redelivered = true;
        self
    }

    /// Notes in the journal when its turn begins and ends.
    pub(crate) fn noting_turns(mut self) -> Self {
        self.notes_turns = true;
        self
    }
}

#[async_trait]
impl Delivery for FakeDelivery {
    fn batch(&self) -> &RequestBatch {
        &self.batch
    }

    fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    async fn take_turn(&self) {
        if self.notes_turns {
            self.journal.note("turn");
        }
    }

    fn end_turn(&self) {
        if self.notes_turns {
            self.journal.note("turn over");
        }
    }

    async fn ack(self: Box<Self>) -> PortResult<()> {
        self.journal.note("acked");
        Ok(())
    }

    async fn park(self: Box<Self>) -> PortResult<()> {
        self.journal.note("parked");
        Ok(())
    }

    async fn split(self: Box<Self>) -> PortResult<()> {
        self.journal.note("split");
        Ok(())
    }

    async fn discard(self: Box<Self>) -> PortResult<()> {
        self.journal.note("discarded");
        Ok(())
    }
}

/// Timers that only note what was asked of them.
pub(super) struct FakeTimers(Journal);

impl FakeTimers {
    pub(super) fn new(journal: Journal) -> Self {
        Self(journal)
    }
}

#[async_trait]
impl TimerQueue for FakeTimers {
    async fn schedule(&self, _: SaleId, due: Timestamp) -> PortResult<()> {
        self.0.note(format!("timer +{}", due.saturating_since(START).as_millis()));
        Ok(())
    }

    async fn next(&self) -> Option<SaleId> {
        None
    }
}

/// A bus with one follower, which may lose its news.
pub(crate) struct FakeBus {
    journal: Journal,
    is_lossy: Mutex<bool>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    events: Mutex<VecDeque<BusEvent>>,
    arrivals: Notify,
    shared: Mutex<Vec<BusEvent>>,
    reads_for_others: Mutex<bool>,
}

impl FakeBus {
    pub(super) fn new(journal: Journal) -> Self {
        Self { journal, is_lossy: Mutex::default(), inbox: Arc::default() }
    }

    /// From now on no news arrives.
    pub(crate) fn lose_everything(&self) {
        *self.is_lossy.lock() = true;
    }

    pub(crate) fn send(&self, event: BusEvent) {
        self.inbox.events.lock().push_back(event);
        self.inbox.arrivals.notify_one();
    }

    /// From now on it is for the follower to read for others.
    pub(crate) fn let_it_read_for_others(&self) {
        *self.inbox.reads_for_others.lock() = true;
    }

    /// What was shared with others since the last call.
    pub(crate) fn take_shared(&self) -> Vec<BusEvent> {
        std::mem::take(&mut self.inbox.shared.lock())
    }
}

impl OutcomeBus for FakeBus {
    fn publish(&self, outcomes: Arc<Outcomes>) {
        let claims = outcomes.claims.iter().map(|claim| format!("{} {}", claim.user, claim.status.name()));
        let rejected = outcomes.rejected.iter().map(|user| format!("{user} rejected"));
        let people: Vec<String> = claims.chain(rejected).collect();
        self.journal.note(format!("told {}", people.join(", ")).trim_end());
        if !*self.is_lossy.lock() {
            self.send(BusEvent::News(outcomes));
        }
    }

    fn subscribe(&self) -> Box<dyn OutcomeSubscription> {
        Box::new(Subscription(self.inbox.clone()))
    }
}

struct Subscription(Arc<Inbox>);

#[async_trait]
impl OutcomeSubscription for Subscription {
    async fn next(&mut self) -> BusEvent {
        loop {
            if let Some(event) = self.0.events.lock().pop_front() {
                return event;
            }
            self.0.arrivals.notified().await;
        }
    }

    fn share(&self, event: BusEvent) -> bool {
        self.0.shared.lock().push(event);
        *self.0.reads_for_others.lock()
    }
}
