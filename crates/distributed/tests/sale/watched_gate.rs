//! A gate that notes when it refuses somebody.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::{Admission, Clock, Gate, GateReport, GateUpdate, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;

/// What the gates of all processes did.
#[derive(Debug, Default)]
pub(crate) struct GateLog {
    /// When somebody was refused, once for each batch.
    pub(crate) refused_at: Mutex<Vec<Timestamp>>,
    /// How many people were refused, each as often as it happened.
    pub(crate) refused: Mutex<usize>,
    /// How often a gate was loaded.
    pub(crate) opened: Mutex<usize>,
}

/// Passes everything on, and notes it.
pub(crate) struct WatchedGate {
    pub(crate) inner: Arc<dyn Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) log: Arc<GateLog>,
}

#[async_trait]
impl Gate for WatchedGate {
    async fn admit(&self, sale: SaleId, users: &[UserId]) -> PortResult<Admission> {
        let admission = self.inner.admit(sale, users).await?;
        if let Admission::Sorted(passages) = &admission {
            let refused = passages.iter().filter(|passage| !passage.passes()).count();
            if refused > 0 {
                self.log.refused_at.lock().push(self.clock.now());
                *self.log.refused.lock() += refused;
            }
        }
        Ok(admission)
    }

    async fn update(&self, sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        self.inner.update(sale, update).await
    }

    async fn top_up(&self, sale: SaleId, claims: &[Claim]) -> PortResult<()> {
        self.inner.top_up(sale, claims).await
    }

    async fn open(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        *self.log.opened.lock() += 1;
        self.inner.open(sale, limit).await
    }

    async fn open_anew(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        *self.log.opened.lock() += 1;
        self.inner.open_anew(sale, limit).await
    }

    async fn was_refused(&self, sale: SaleId, user: UserId) -> PortResult<bool> {
        self.inner.was_refused(sale, user).await
    }
}
