//! Who takes the money.

use async_trait::async_trait;
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use thiserror::Error;

use super::PortResult;

/// How somebody pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentMethod {
    /// A card of the built-in sandbox.
    Sandbox {
        /// The card's number.
        card: String,
    },
}

/// The method can never pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this card cannot pay here")]
pub struct InvalidCard;

/// A payment provider.
///
/// The payment's id is the idempotency key of every call: repeating a call changes nothing and answers with the state
/// as it is now. A call may take effect although its answer is lost (a `Retryable` error). No state is ever forgotten.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Whether the method could pay at all; asked before anything is stored. Without effect.
    ///
    /// # Errors
    /// [`InvalidCard`].
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard>;

    /// Sets the amount aside. `Authorised`, `Declined`, or `Pending` when it will be known later; `Voided` if the
    /// payment was voided before, and then no money is ever set aside for it.
    async fn authorise(
        &self,
        payment: PaymentId,
        amount: Money,
        method: &PaymentMethod,
    ) -> PortResult<ProviderState>;

    /// Takes what is set aside: `Captured`. A payment that is not authorised keeps its state.
    async fn capture(&self, payment: PaymentId) -> PortResult<ProviderState>;

    /// Lets go of what is set aside or pending, and bars the id, also one never heard of: `Voided`. Any later
    /// `authorise` of it is refused. A payment that was captured, declined or refunded keeps its state.
    async fn void(&self, payment: PaymentId) -> PortResult<ProviderState>;

    /// Gives back what was captured: `Refunded`. A payment that was not captured keeps its state.
    async fn refund(&self, payment: PaymentId) -> PortResult<ProviderState>;

    /// The state as it is now; `Unknown` for an id never heard of.
    async fn query(&self, payment: PaymentId) -> PortResult<ProviderState>;
}
