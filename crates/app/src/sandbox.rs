//! A payment provider to try things with: four cards, and no money. It stands for a system outside.
//!
//! First the provider, then the rules, pure over what is kept of a payment. Where that is kept is the backends' part, by
//! [`SandboxStore`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;

use crate::ports::{Clock, InvalidCard, PaymentMethod, PaymentProvider, PortError, PortResult};

/// How long the slow card takes.
const PENDING_FOR: Duration = Duration::from_secs(5);
/// How often a step is tried that others get in the way of.
const TRIES_MAX: usize = 8;

/// Where the sandbox keeps its payments: apart from all that the site writes, and in transactions of its own, so that a
/// crash between the two is the same as with a real provider.
#[async_trait]
pub trait SandboxStore: Send + Sync {
    /// What is kept of a payment; [`Kept::UNKNOWN`] if nothing is.
    async fn load(&self, payment: PaymentId) -> PortResult<Kept>;

    /// Keeps `after` for good, if the payment's state is still `before`; whether it was. A payment never goes back to a
    /// state that it had.
    async fn replace(&self, payment: PaymentId, before: ProviderState, after: Kept) -> PortResult<bool>;
}

/// The sandbox.
pub struct Sandbox {
    store: Arc<dyn SandboxStore>,
    clock: Arc<dyn Clock>,
}

impl Sandbox {
    /// On what `store` keeps; pending payments end by `clock`.
    pub fn new(store: Arc<dyn SandboxStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The states before and after `step`, which is repeated if somebody else's came between.
    async fn step(
        &self,
        what: &'static str,
        payment: PaymentId,
        step: impl Fn(Kept, Timestamp) -> Kept + Send + Sync,
    ) -> PortResult<(ProviderState, ProviderState)> {
        for _ in 0..TRIES_MAX {
            let stored = self.store.load(payment).await?;
            let now = self.clock.now();
            let before = stored.as_of(now);
            let after = step(before, now);
            if after == stored || self.store.replace(payment, stored.state, after).await? {
                return Ok((before.state, after.state));
            }
        }
        Err(PortError::Overloaded { what })
    }
}

#[async_trait]
impl PaymentProvider for Sandbox {
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard> {
        Card::of(method).map(drop)
    }

    async fn authorise(
        &self,
        payment: PaymentId,
        _amount: Money,
        method: &PaymentMethod,
    ) -> PortResult<ProviderState> {
        const WHAT: &str = "authorise a payment";
        let card = Card::of(method).map_err(|invalid| PortError::terminal(WHAT, invalid))?;
        let (before, after) = self.step(WHAT, payment, |kept, now| kept.authorise(card, now)).await?;
        if card == Card::LosesAnswer && before == ProviderState::Unknown {
            return Err(PortError::retryable(WHAT, "the answer is lost, as this card asks for"));
        }
        Ok(after)
    }

    async fn capture(&self, payment: PaymentId) -> PortResult<ProviderState> {
        Ok(self.step("capture a payment", payment, |kept, _| kept.capture()).await?.1)
    }

    async fn void(&self, payment: PaymentId) -> PortResult<ProviderState> {
        Ok(self.step("void a payment", payment, |kept, _| kept.void()).await?.1)
    }

    async fn refund(&self, payment: PaymentId) -> PortResult<ProviderState> {
        Ok(self.step("refund a payment", payment, |kept, _| kept.refund()).await?.1)
    }

    async fn query(&self, payment: PaymentId) -> PortResult<ProviderState> {
        Ok(self.step("ask about a payment", payment, |kept, _| kept).await?.1)
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

/// What a card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    /// Pays.
    Pays,
    /// Is declined.
    Declined,
    /// Pays after [`PENDING_FOR`].
    PaysLater,
    /// Pays, and its first answer is lost.
    LosesAnswer,
}

impl Card {
    fn of(method: &PaymentMethod) -> Result<Self, InvalidCard> {
        let PaymentMethod::Sandbox { card } = method;
        match card.as_str() {
            "4242424242424242" => Ok(Self::Pays),
            "4000000000000002" => Ok(Self::Declined),
            "4000000000000259" => Ok(Self::PaysLater),
            "4000000000000341" => Ok(Self::LosesAnswer),
            _ => Err(InvalidCard),
        }
    }
}

/// What the sandbox keeps of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How it stands.
    pub state: ProviderState,
    /// When a pending payment is authorised.
    pub decided_at: Option<Timestamp>,
}

impl Kept {
    /// A payment that the sandbox never heard of.
    pub const UNKNOWN: Self = Self { state: ProviderState::Unknown, decided_at: None };

    fn settled(state: ProviderState) -> Self {
        Self { state, decided_at: None }
    }

    /// The same at `now`: a pending payment may have been authorised since.
    fn as_of(self, now: Timestamp) -> Self {
        match self.decided_at {
            Some(at) if at <= now => Self::settled(ProviderState::Authorised),
            _ => self,
        }
    }

    /// After an authorisation was asked for: only the first one of a payment counts.
    fn authorise(self, card: Card, now: Timestamp) -> Self {
        match (self.state, card) {
            (ProviderState::Unknown, Card::Pays | Card::LosesAnswer) => {
                Self::settled(ProviderState::Authorised)
            }
            (ProviderState::Unknown, Card::Declined) => Self::settled(ProviderState::Declined),
            (ProviderState::Unknown, Card::PaysLater) => {
                Self { state: ProviderState::Pending, decided_at: Some(now + PENDING_FOR) }
            }
            _ => self,
        }
    }

    /// After a capture was asked for.
    fn capture(self) -> Self {
        match self.state {
            ProviderState::Authorised => Self::settled(ProviderState::Captured),
            _ => self,
        }
    }

    /// After a void was asked for: also a payment never heard of is refused from then on.
    fn void(self) -> Self {
        match self.state {
            ProviderState::Unknown | ProviderState::Pending | ProviderState::Authorised => {
                Self::settled(ProviderState::Voided)
            }
            _ => self,
        }
    }

    /// After a refund was asked for.
    fn refund(self) -> Self {
        match self.state {
            ProviderState::Captured => Self::settled(ProviderState::Refunded),
            _ => self,
        }
    }
}

/// The states that a sandbox keeps.
const STATES: [ProviderState; 6] = [
    ProviderState::Pending,
    ProviderState::Authorised,
    ProviderState::Captured,
    ProviderState::Declined,
    ProviderState::Voided,
    ProviderState::Refunded,
];

/// The name of a state where it is kept.
pub const fn state_name(state: ProviderState) -> &'static str {
    match state {
        ProviderState::Unknown => "unknown",
        ProviderState::Pending => "pending",
        ProviderState::Authorised => "authorised",
        ProviderState::Captured => "captured",
        ProviderState::Declined => "declined",
        ProviderState::Voided => "voided",
        ProviderState::Refunded => "refunded",
    }
}

/// The kept state with this name.
pub fn lookup_state(name: &str) -> Option<ProviderState> {
    STATES.into_iter().find(|state| state_name(*state) == name)
}
