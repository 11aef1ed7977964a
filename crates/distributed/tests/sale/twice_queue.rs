//! A queue that redelivers: the first acknowledgement of each request gets lost.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Delivery, PortResult, RequestQueue};

/// The requests that went through the queues of all processes: batches may come together.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// Those that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Those that were decided, and whose acknowledgement was withheld.
    pub(crate) withheld: AtomicU64,
    /// Those that were decided again, and acknowledged.
    pub(crate) acknowledged: AtomicU64,
}

impl Deliveries {
    /// Accepted, withheld, acknowledged.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [&self.accepted, &self.withheld, &self.acknowledged].map(|count| count.load(Ordering::SeqCst))
    }
}

/// How a redelivery comes about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Withheld {
    /// The delivery is dropped: it comes again at once, to the same process.
    Dropped,
    /// The delivery is held for as long as the process lives: then it comes again to another.
    UntilDeath,
}

/// Withholds the acknowledgement of whatever was not delivered before.
pub(crate) struct TwiceQueue {
    pub(crate) inner: Arc<dyn RequestQueue>,
    pub(crate) withheld: Withheld,
    pub(crate) deliveries: Arc<Deliveries>,
}

#[async_trait]
impl RequestQueue for TwiceQueue {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        let requests = batch.asks.len() as u64;
        self.inner.publish(batch).await?;
        self.deliveries.accepted.fetch_add(requests, Ordering::SeqCst);
        Ok(())
    }

    fn lanes(&self) -> usize {
        self.inner.lanes()
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        let inner = self.inner.next().await?;
        Some(Box::new(TwiceDelivery { inner, withheld: self.withheld, deliveries: self.deliveries.clone() }))
    }
}

struct TwiceDelivery {
    inner: Box<dyn Delivery>,
    withheld: Withheld,
    deliveries: Arc<Deliveries>,
}

#[async_trait]
impl Delivery for TwiceDelivery {
    fn batch(&self) -> &RequestBatch {
        self.inner.batch()
    }

    fn is_redelivered(&self) -> bool {
        self.inner.is_redelivered()
    }

    async fn take_turn(&self) {
        self.inner.take_turn().await;
    }

    fn end_turn(&self) {
        self.inner.end_turn();
    }

    async fn ack(self: Box<Self>) -> PortResult<()> {
        let requests = self.inner.batch().asks.len() as u64;
        if !self.inner.is_redelivered() {
            self.deliveries.withheld.fetch_add(requests, Ordering::SeqCst);
            return match self.withheld {
                Withheld::Dropped => Ok(()),
                Withheld::UntilDeath => pending().await,
            };
        }
        self.inner.ack().await?;
        self.deliveries.acknowledged.fetch_add(requests, Ordering::SeqCst);
        Ok(())
    }

    async fn park(self: Box<Self>) -> PortResult<()> {
        self.inner.park().await
    }

    async fn split(self: Box<Self>) -> PortResult<()> {
        self.inner.split().await
    }

    async fn discard(self: Box<Self>) -> PortResult<()> {
        self.inner.discard().await
    }
}
