//! Money: how a reservation becomes a sale, and what is done about a payment that does not answer.
//!
//! Payments never touch the sale's row: they change one claim under its own lock. The pure steps of a payment are
//! here; calling the provider is in the use cases.

use std::time::Duration;

use thiserror::Error;

use crate::claim::{Claim, ClaimChange, ClaimStatus};
use crate::ids::{PaymentId, SaleId, UserId};
use crate::money::Money;
use crate::time::Timestamp;

/// One attempt to pay for one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Its id and the provider's idempotency key, stored before the provider is called.
    pub id: PaymentId,
    /// The sale.
    pub sale: SaleId,
    /// The person.
    pub user: UserId,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub status: PaymentStatus,
    /// When it was stored.
    pub started_at: Timestamp,
    /// Until when the claim is held for it.
    pub lease_until: Timestamp,
}

/// How far a payment is, as far as we have durably written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// Stored; what the provider did is not known yet.
    Started,
    /// Authorised and the unit is sold; the money is to be captured.
    CaptureDue,
    /// Captured. Final but for a refund.
    Captured,
    /// The provider said no. Final.
    Declined,
    /// Not wanted any more, or its fate unknown: to be voided, or refunded if it was captured.
    VoidDue,
    /// The provider will never take money under this id, or gave it back. Final.
    Voided,
    /// A captured payment is to be given back.
    RefundDue,
    /// Given back. Final.
    Refunded,
}

impl PaymentStatus {
    /// Every status, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::CaptureDue,
        Self::Captured,
        Self::Declined,
        Self::VoidDue,
        Self::Voided,
        Self::RefundDue,
        Self::Refunded,
    ];

    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::CaptureDue => "capture_due",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::VoidDue => "void_due",
            Self::Voided => "voided",
            Self::RefundDue => "refund_due",
            Self::Refunded => "refunded",
        }
    }

    /// The status called `name`, if there is one.
    pub fn lookup(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing remains to be asked or done.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Captured | Self::Declined | Self::Voided | Self::Refunded)
    }
}

/// What the provider knows of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderState {
    /// Never heard of it.
    Unknown,
    /// Waits for the payer or for a bank.
    Pending,
    /// The money is set aside.
    Authorised,
    /// The money was taken.
    Captured,
    /// Refused.
    Declined,
    /// Set-aside money was let go, or an id it had not heard of was barred.
    Voided,
    /// Taken money was given back.
    Refunded,
}

/// Why a checkout cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckOutError {
    /// The claim is paid.
    #[error("already paid")]
    AlreadyPaid,
    /// Another payment of the claim is under way.
    #[error("a payment is in progress")]
    PaymentInProgress,
    /// There is no reservation, or its deadline has passed.
    #[error("the reservation is over")]
    ReservationOver,
}

/// `reserved → paying`, only before the deadline; the unit is held until the later of deadline and lease end.
///
/// # Errors
/// [`CheckOutError`]; nothing is to be written.
pub fn begin(
    claim: Claim,
    payment: PaymentId,
    lease: Duration,
    now: Timestamp,
) -> Result<ClaimChange, CheckOutError> {
    match (claim.status, claim.deadline) {
        (ClaimStatus::Reserved, Some(deadline)) if now < deadline => {
            let hold_until = Some(deadline.max(now + lease));
            Ok(Claim { payment: Some(payment), hold_until, ..claim }.change_to(ClaimStatus::Paying))
        }
        (ClaimStatus::Paying, _) => Err(CheckOutError::PaymentInProgress),
        (ClaimStatus::Paid | ClaimStatus::Refunded, _) => Err(CheckOutError::AlreadyPaid),
        _ => Err(CheckOutError::ReservationOver),
    }
}

/// `paying → paid` under this payment. `None` if the claim is no longer paying under it: then the money goes back.
pub fn succeed(claim: Claim, payment: PaymentId) -> Option<ClaimChange> {
    is_paying_under(&claim, payment).then(|| Claim { hold_until: None, ..claim }.change_to(ClaimStatus::Paid))
}

/// `paying → reserved` after a decline or the end of the lease, held until the deadline, even one that has passed
/// (then [`crate::settle::settle`] ends it under the sale's lock). `None` if it is no longer paying under it.
pub fn fail(claim: Claim, payment: PaymentId) -> Option<ClaimChange> {
    is_paying_under(&claim, payment).then(|| {
        Claim { payment: None, hold_until: claim.deadline, ..claim }.change_to(ClaimStatus::Reserved)
    })
}

/// `paid → refunded`. `None` if the claim is not paid. The unit stays out until it is restocked.
pub fn refund(claim: Claim) -> Option<ClaimChange> {
    (claim.status == ClaimStatus::Paid).then(|| claim.change_to(ClaimStatus::Refunded))
}

fn is_paying_under(claim: &Claim, payment: PaymentId) -> bool {
    claim.status == ClaimStatus::Paying && claim.payment == Some(payment)
}

/// What to do next about a payment that is not final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing before the lease ends.
    Wait,
    /// Write the success (the claim becomes paid, or the payment is to be voided).
    Succeed,
    /// Write the decline.
    Fail,
    /// Call the provider's void, which bars the id for ever; of a started payment, first write that it is due.
    Void,
    /// Call the provider's capture.
    Capture,
    /// Call the provider's refund.
    Refund,
    /// Write that the money was taken.
    NoteCaptured,
    /// Write that the money went back or was never taken.
    NoteVoided,
}

/// What the reconciler does about `payment`, given what the provider says of it.
///
/// *Unknown* is never final: once the lease is over the payment is voided first, after which the provider must refuse
/// it, and only then does the claim go back. A success for a claim that is not paying under it any more goes back.
pub fn next_step(payment: &Payment, provider: ProviderState, now: Timestamp) -> NextStep {
    let lease_is_over = payment.lease_until <= now;
    match payment.status {
        PaymentStatus::Started => match provider {
            ProviderState::Authorised | ProviderState::Captured => NextStep::Succeed,
            ProviderState::Declined => NextStep::Fail,
            ProviderState::Voided | ProviderState::Refunded => NextStep::NoteVoided,
            ProviderState::Unknown | ProviderState::Pending if lease_is_over => NextStep::Void,
            ProviderState::Unknown | ProviderState::Pending => NextStep::Wait,
        },
        PaymentStatus::CaptureDue if provider == ProviderState::Captured => NextStep::NoteCaptured,
        PaymentStatus::CaptureDue => NextStep::Capture,
        PaymentStatus::VoidDue | PaymentStatus::RefundDue => match provider {
            ProviderState::Captured => NextStep::Refund,
            ProviderState::Voided | ProviderState::Refunded | ProviderState::Declined => NextStep::NoteVoided,
            ProviderState::Unknown | ProviderState::Pending | ProviderState::Authorised => NextStep::Void,
        },
        PaymentStatus::Captured
        | PaymentStatus::Declined
        | PaymentStatus::Voided
        | PaymentStatus::Refunded => NextStep::Wait,
    }
}

#[cfg(test)]
mod tests;
