//! What the payment sandbox does with each card: pure rules over what it keeps of a payment. Backends add where it is
//! kept.

use std::time::Duration;

use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;

use crate::ports::{InvalidCard, PaymentMethod};

/// How long the slow card takes.
pub const PENDING_FOR: Duration = Duration::from_secs(5);

/// What a card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
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
    /// The card that a buyer gave.
    ///
    /// # Errors
    /// [`InvalidCard`] if the sandbox knows none with this number.
    pub fn of(method: &PaymentMethod) -> Result<Self, InvalidCard> {
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
    #[must_use]
    pub fn as_of(self, now: Timestamp) -> Self {
        match self.decided_at {
            Some(at) if at <= now => Self::settled(ProviderState::Authorised),
            _ => self,
        }
    }

    /// After an authorisation was asked for: only the first one of a payment counts.
    #[must_use]
    pub fn authorise(self, card: Card, now: Timestamp) -> Self {
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
    #[must_use]
    pub fn capture(self) -> Self {
        match self.state {
            ProviderState::Authorised => Self::settled(ProviderState::Captured),
            _ => self,
        }
    }

    /// After a void was asked for: also a payment never heard of is refused from then on.
    #[must_use]
    pub fn void(self) -> Self {
        match self.state {
            ProviderState::Unknown | ProviderState::Pending | ProviderState::Authorised => {
                Self::settled(ProviderState::Voided)
            }
            _ => self,
        }
    }

    /// After a refund was asked for.
    #[must_use]
    pub fn refund(self) -> Self {
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
