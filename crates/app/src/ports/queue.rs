//! Accepted requests on their way to a decision, and wake-ups for deadlines.

use async_trait::async_trait;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;

use super::PortResult;
use crate::model::RequestBatch;

/// The queue of accepted buy requests.
#[async_trait]
pub trait RequestQueue: Send + Sync {
    /// Hands a batch over. `Ok` means that it survives the crash of any process and will be decided, at least once.
    /// After an error it may still be decided. Batches of one caller and one sale are delivered in the order of their
    /// calls, but for redeliveries.
    async fn publish(&self, batch: RequestBatch) -> PortResult<()>;

    /// How many callers of one process should wait in [`RequestQueue::next`], at the most: deliveries of different
    /// sales are then decided side by side. Of one sale a process is handed at most one that has its turn to be decided, and
    /// one that waits for it.
    fn lanes(&self) -> usize;

    /// Waits for the next delivery; `None` once the queue is shut down. Batches of one sale may come as one,
    /// in order and of at most 1,024 people. A delivery that is dropped before it is settled comes again.
    async fn next(&self) -> Option<Box<dyn Delivery>>;
}

/// One batch, for as long as it is not settled by one of the methods that consume it.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// What is to be decided.
    fn batch(&self) -> &RequestBatch;

    /// Whether an earlier delivery of the same batch may have been decided.
    fn is_redelivered(&self) -> bool;

    /// Waits until what this process was handed of the sale before has been decided, or has gone another way. Then it is
    /// this one's turn, until [`Delivery::end_turn`] or until it is settled or dropped, and the next of the sale may be
    /// handed over meanwhile. So batches are decided in the order in which they were delivered, but for redeliveries, while
    /// the gate is asked about the next one and people are told of the one before.
    ///
    /// A queue that hands a process one batch at a time has nothing to wait for.
    async fn take_turn(&self);

    /// Decided: the next has its turn. Harmless if this one had none.
    fn end_turn(&self);

    /// Done: it does not come again.
    async fn ack(self: Box<Self>) -> PortResult<()>;

    /// The sale is paused: the batch comes again later, or its publisher is told (by an error) that it was not taken.
    async fn park(self: Box<Self>) -> PortResult<()>;

    /// Replaces the batch by one batch per person, durable before this one is settled. Each of them comes alone.
    async fn split(self: Box<Self>) -> PortResult<()>;

    /// Puts the batch aside for a human, with an alarm.
    async fn discard(self: Box<Self>) -> PortResult<()>;
}

/// Wake-ups for deadlines. A lost or doubled wake-up is harmless: the sweeper finds what is due.
#[async_trait]
pub trait TimerQueue: Send + Sync {
    /// Asks for a wake-up for `sale`, not before `due`. Best effort.
    async fn schedule(&self, sale: SaleId, due: Timestamp) -> PortResult<()>;

    /// Waits for the next wake-up; `None` once shut down.
    async fn next(&self) -> Option<SaleId>;
}
