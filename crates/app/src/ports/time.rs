//! Time and chance.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_domain::time::Timestamp;

/// The clock of this node. It judges windows and paces tasks; deadlines are set and judged by the clock of the
/// database, which transactions carry (`now()` of [`super::SaleTx`] and [`super::ClaimTx`]).
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Returns after `span`, never earlier.
    async fn sleep(&self, span: Duration);
}

/// Randomness that nobody can guess: order numbers, secrets, jitter.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
