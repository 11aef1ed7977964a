//! Claims read many at a time: look-ups of one sale that arrive together are one read, and those of one person share it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{Change, ClaimStore, ClaimTx, Clock, PortError, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{SaleId, UserId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::patience::within;

/// How long the first look-up of a batch waits for company.
const WINDOW: Duration = Duration::from_millis(2);
/// The most people in one read.
const BATCH_LEN_MAX: usize = 1_000;
/// The most reads under way.
const READS_MAX: usize = 4;
/// The most people in batches that are not read yet; more are refused.
const WAITING_MAX: usize = 50_000;

const WHAT: &str = "looking claims up";

/// A [`ClaimStore`] that puts look-ups of single people together. A look-up sees at least what was committed before it
/// began, as the port promises: it joins no read that is under way.
#[derive(Clone)]
pub(super) struct BatchedClaims {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    read_within: Duration,
    open: Mutex<HashMap<SaleId, Batch>>,
    reads: Semaphore,
    waiting: AtomicUsize,
}

/// People who wait for one read.
struct Batch {
    users: HashSet<UserId>,
    answer: watch::Sender<Option<Found>>,
}

/// What a read came to, for all who wait for it.
type Found = Arc<PortResult<HashMap<UserId, Claim>>>;

impl BatchedClaims {
    /// The claims of `inner`. A read is given up after `read_within`.
    pub(super) fn new(
        inner: Arc<dyn ClaimStore>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
        read_within: Duration,
    ) -> Self {
        let (open, waiting) = (Mutex::default(), AtomicUsize::new(0));
        let reads = Semaphore::new(READS_MAX);
        Self { shared: Arc::new(Shared { inner, clock, tasks, read_within, open, reads, waiting }) }
    }

    /// Puts a person into the open batch of the sale; the first one sees to it that it is read.
    fn join(&self, sale: SaleId, user: UserId) -> PortResult<watch::Receiver<Option<Found>>> {
        let shared = &self.shared;
        let mut open = shared.open.lock();
        if shared.waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            return Err(PortError::Overloaded { what: WHAT });
        }
        let is_full = open.get(&sale).is_some_and(|batch| batch.users.len() >= BATCH_LEN_MAX);
        if is_full && let Some(full) = open.remove(&sale) {
            self.spawn(shared.clone().read(sale, full));
        }
        let is_new = !open.contains_key(&sale);
        let batch = open
            .entry(sale)
            .or_insert_with(|| Batch { users: HashSet::new(), answer: watch::Sender::new(None) });
        if batch.users.insert(user) {
            shared.waiting.fetch_add(1, Ordering::Relaxed);
        }
        let answer = batch.answer.subscribe();
        drop(open);
        if is_new {
            self.spawn(shared.clone().close_after_window(sale, answer.clone()));
        }
        Ok(answer)
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Tracked; nobody needs its handle.
        drop(self.shared.tasks.spawn(work));
    }
}

impl Shared {
    /// Reads the open batch of the sale after its window, unless it was full before.
    async fn close_after_window(self: Arc<Self>, sale: SaleId, of: watch::Receiver<Option<Found>>) {
        self.clock.sleep(WINDOW).await;
        let batch = {
            let mut open = self.open.lock();
            let is_it = open.get(&sale).is_some_and(|batch| batch.answer.subscribe().same_channel(&of));
            if is_it { open.remove(&sale) } else { None }
        };
        if let Some(batch) = batch {
            self.read(sale, batch).await;
        }
    }

    async fn read(self: Arc<Self>, sale: SaleId, batch: Batch) {
        let users: Vec<UserId> = batch.users.into_iter().collect();
        let read = async {
            let _turn = self.reads.acquire().await.expect("nobody closes it");
            self.inner.lookup_many(sale, &users).await
        };
        let found = within(Some(self.read_within), read).await;
        let found = found.unwrap_or_else(|| Err(PortError::retryable(WHAT, "it took too long")));
        self.waiting.fetch_sub(users.len(), Ordering::Relaxed);
        batch.answer.send_replace(Some(Arc::new(found)));
    }
}

/// The share of one person in what a read came to.
fn share_of(user: UserId, found: &Found) -> PortResult<HashMap<UserId, Claim>> {
    match found.as_ref() {
        Ok(claims) => Ok(claims.get(&user).map(|claim| (user, *claim)).into_iter().collect()),
        Err(PortError::Overloaded { what }) => Err(PortError::Overloaded { what }),
        Err(error @ PortError::Retryable { .. }) => Err(PortError::retryable(WHAT, error.to_string())),
        Err(error @ PortError::Terminal { .. }) => Err(PortError::terminal(WHAT, error.to_string())),
    }
}

#[async_trait]
impl ClaimStore for BatchedClaims {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let &[user] = users else { return self.shared.inner.lookup_many(sale, users).await };
        let mut answer = self.join(sale, user)?;
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(found)) => share_of(user, found),
            Ok(None) | Err(_) => Err(PortError::retryable(WHAT, "the node is shutting down")),
        }
    }

    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        self.shared.inner.list(sale, after, limit).await
    }

    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64> {
        self.shared.inner.position(sale, seq).await
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        self.shared.inner.list_event_ids(span, limit).await
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        self.shared.inner.list_changes(events).await
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        self.shared.inner.list_by_events(events).await
    }

    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        self.shared.inner.lock(sale, user).await
    }
}

#[cfg(test)]
mod tests;
