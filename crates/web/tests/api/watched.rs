//! Ports that are watched: how often they are called, how fresh reads are asked to be; and that fail or hang when told to.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::model::{Order, RequestBatch, SaleRow, User};
use miaosha_app::ports::{
    Change, ClaimStore, ClaimTx, Delivery, Freshness, NewUser, OrderStore, PortError, PortResult, Ports,
    RequestQueue, SaleStore, SaleTx, UnsettledSale, UserStore,
};
use miaosha_domain::audit::Snapshot;
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{OrderId, SaleId, UserId};
use miaosha_domain::sale::{Book, Sale};
use parking_lot::Mutex;

/// How watched ports behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    /// Every call fails for now.
    Failing,
    /// No call comes back until the mood is another.
    Hanging,
}

/// What is seen of all watched ports together.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    mood: tokio::sync::watch::Sender<Mood>,
    calls: AtomicUsize,
    freshness: Mutex<Vec<Freshness>>,
}

impl Watch {
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How fresh each list since the last time was asked to be.
    pub(crate) fn take_freshness(&self) -> Vec<Freshness> {
        std::mem::take(&mut self.freshness.lock())
    }

    async fn enter(&self) -> PortResult<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut moods = self.mood.subscribe();
        let mood = *moods.wait_for(|mood| *mood != Mood::Hanging).await.unwrap();
        match mood {
            Mood::Failing => Err(PortError::retryable("being watched", "told to fail")),
            Mood::Well | Mood::Hanging => Ok(()),
        }
    }
}

/// These ports, watched.
pub(crate) fn watch(ports: &mut Ports) -> Arc<Watch> {
    let watch = Arc::new(Watch::default());
    let of = watch.clone();
    ports.sales = Arc::new(Watched { watch: of.clone(), inner: ports.sales.clone() });
    ports.claims = Arc::new(Watched { watch: of.clone(), inner: ports.claims.clone() });
    ports.orders = Arc::new(Watched { watch: of.clone(), inner: ports.orders.clone() });
    ports.users = Arc::new(Watched { watch: of.clone(), inner: ports.users.clone() });
    ports.queue = Arc::new(Watched { watch: of, inner: ports.queue.clone() });
    watch
}

struct Watched<Port: ?Sized> {
    watch: Arc<Watch>,
    inner: Arc<Port>,
}

#[async_trait]
impl SaleStore for Watched<dyn SaleStore> {
    async fn create(&self, sale: &Sale, book: &Book) -> PortResult<()> {
        self.watch.enter().await?;
        self.inner.create(sale, book).await
    }

    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>> {
        self.watch.enter().await?;
        self.inner.lookup(id).await
    }

    async fn list(
        &self,
        before: Option<SaleId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>> {
        self.watch.freshness.lock().push(freshness);
        self.watch.enter().await?;
        self.inner.list(before, limit, freshness).await
    }

    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>> {
        self.watch.enter().await?;
        self.inner.list_unsettled().await
    }

    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        self.watch.enter().await?;
        self.inner.lock(id).await
    }

    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>> {
        self.watch.enter().await?;
        self.inner.snapshot(id).await
    }
}

#[async_trait]
impl ClaimStore for Watched<dyn ClaimStore> {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        self.watch.enter().await?;
        self.inner.lookup_many(sale, users).await
    }

    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        self.watch.enter().await?;
        self.inner.list(sale, after, limit).await
    }

    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64> {
        self.watch.enter().await?;
        self.inner.position(sale, seq).await
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        self.watch.enter().await?;
        self.inner.list_event_ids(span, limit).await
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        self.watch.enter().await?;
        self.inner.list_changes(events).await
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        self.watch.enter().await?;
        self.inner.list_by_events(events).await
    }

    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        self.watch.enter().await?;
        self.inner.lock(sale, user).await
    }
}

#[async_trait]
impl OrderStore for Watched<dyn OrderStore> {
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>> {
        self.watch.enter().await?;
        self.inner.lookup(user, id).await
    }

    async fn lookup_by_sale(&self, user: UserId, sale: SaleId) -> PortResult<Option<Order>> {
        self.watch.enter().await?;
        self.inner.lookup_by_sale(user, sale).await
    }

    async fn list(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<Order>> {
        self.watch.freshness.lock().push(freshness);
        self.watch.enter().await?;
        self.inner.list(user, before, limit, freshness).await
    }
}

#[async_trait]
impl UserStore for Watched<dyn UserStore> {
    async fn create(&self, user: &User) -> PortResult<NewUser> {
        self.watch.enter().await?;
        self.inner.create(user).await
    }

    async fn create_missing(&self, users: &[User]) -> PortResult<Vec<UserId>> {
        self.watch.enter().await?;
        self.inner.create_missing(users).await
    }

    async fn lookup(&self, id: UserId) -> PortResult<Option<User>> {
        self.watch.enter().await?;
        self.inner.lookup(id).await
    }

    async fn lookup_by_email(&self, email: &str) -> PortResult<Option<User>> {
        self.watch.enter().await?;
        self.inner.lookup_by_email(email).await
    }
}

#[async_trait]
impl RequestQueue for Watched<dyn RequestQueue> {
    async fn publish(&self, batch: RequestBatch) -> PortResult<()> {
        self.watch.enter().await?;
        self.inner.publish(batch).await
    }

    fn lanes(&self) -> usize {
        self.inner.lanes()
    }

    async fn next(&self) -> Option<Box<dyn Delivery>> {
        self.inner.next().await
    }
}
