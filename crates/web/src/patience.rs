//! How long a caller is kept waiting: for what this site does itself, less than a second; for what sets its own pace (a
//! payment provider, the hashing of a password), as long as that takes.
//!
//! Whoever has run out of patience is answered `unavailable`, and nothing is cut off: work that changes something runs to
//! its end in a task of its own ([`crate::writes`]).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::FromRequestParts;
use http::request::Parts;
use miaosha_app::ports::{InvalidCard, Passwords, PaymentMethod, PaymentProvider, PortResult};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// The patience of one caller; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    limit: Option<Duration>,
    /// When it is over; `None` while it does not count.
    until: Arc<watch::Sender<Option<Instant>>>,
}

impl Patience {
    /// Patience that lasts for `limit` from now on; without one, for ever.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, until: Arc::new(watch::Sender::new(limit.map(|limit| Instant::now() + limit))) }
    }

    /// Does work that sets its own pace. Afterwards the patience begins anew.
    pub(crate) async fn not_counting<T>(&self, work: impl Future<Output = T>) -> T {
        self.until.send_replace(None);
        let done = work.await;
        self.until.send_replace(self.limit.map(|limit| Instant::now() + limit));
        done
    }

    /// The outcome of `work`; `None` once the patience is over.
    pub(crate) async fn wait_for<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.is_over() => None,
        }
    }

    async fn is_over(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            let change = changes.changed();
            match until {
                None => drop(change.await),
                Some(until) => {
                    tokio::select! {
                        () = sleep_until(until) => return,
                        _ = change => {}
                    }
                }
            }
        }
    }

    /// The provider, whose pace does not count.
    pub(crate) fn unhurried_provider(&self, inner: &Arc<dyn PaymentProvider>) -> Arc<dyn PaymentProvider> {
        Arc::new(Unhurried { inner: inner.clone(), patience: self.clone() })
    }

    /// The hashing of passwords, whose pace does not count.
    pub(crate) fn unhurried_passwords(&self, inner: &Arc<dyn Passwords>) -> impl Passwords + use<> {
        Unhurried { inner: inner.clone(), patience: self.clone() }
    }
}

/// The outcome of `work`, which changes nothing; `None`, and it is dropped, after `limit`.
pub(crate) async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

impl<S: Sync> FromRequestParts<S> for Patience {
    type Rejection = Infallible;

    /// That of the caller; endless where nobody set a limit.
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self::new(None)))
    }
}

/// A port that sets its own pace.
struct Unhurried<Port: ?Sized> {
    patience: Patience,
    inner: Arc<Port>,
}

#[async_trait]
impl Passwords for Unhurried<dyn Passwords> {
    async fn hash(&self, password: String) -> PortResult<String> {
        self.patience.not_counting(self.inner.hash(password)).await
    }

    async fn verify(&self, password: String, hash: Option<String>) -> PortResult<bool> {
        self.patience.not_counting(self.inner.verify(password, hash)).await
    }
}

#[async_trait]
impl PaymentProvider for Unhurried<dyn PaymentProvider> {
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard> {
        self.inner.check(method)
    }

    async fn authorise(
        &self,
        payment: PaymentId,
        amount: Money,
        method: &PaymentMethod,
    ) -> PortResult<ProviderState> {
        self.patience.not_counting(self.inner.authorise(payment, amount, method)).await
    }

    async fn capture(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.patience.not_counting(self.inner.capture(payment)).await
    }

    async fn void(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.patience.not_counting(self.inner.void(payment)).await
    }

    async fn refund(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.patience.not_counting(self.inner.refund(payment)).await
    }

    async fn query(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.patience.not_counting(self.inner.query(payment)).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn patience_ends_after_its_limit_and_not_before() {
        let patience = Patience::new(Some(LIMIT));
        let began = Instant::now();
        assert_eq!(patience.wait_for(pending::<()>()).await, None);
        assert_eq!(began.elapsed(), LIMIT);
        assert_eq!(Patience::new(None).wait_for(sleep(LONG)).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_sets_its_own_pace_does_not_count() {
        let patience = Patience::new(Some(LIMIT));
        let began = Instant::now();
        let work = async {
            sleep(LIMIT / 2).await;
            patience.not_counting(sleep(LONG)).await;
            sleep(LIMIT * 3 / 4).await;
            pending::<()>().await;
        };
        assert_eq!(patience.wait_for(work).await, None);
        assert_eq!(began.elapsed(), LIMIT / 2 + LONG + LIMIT);
    }
}
