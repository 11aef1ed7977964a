//! Finishes payments that were left open: lost answers, crashes, leases that ended.
//!
//! *Unknown* is never final: a payment whose lease is over is voided first, after which the provider must refuse it,
//! and only then does its claim go back. That it is to be voided is written before: otherwise a success written in
//! between would sell a unit for money that the void lets go.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use miaosha_domain::payment::{NextStep, Payment, PaymentStatus, ProviderState, next_step};
use tracing::warn;

use crate::check_out::{conclude_failure, conclude_success, give_lease_up, note_captured};
use crate::ports::{PortResult, Ports};

/// How old a payment is before the provider is asked about it for the first time.
pub const ASK_AFTER: Duration = Duration::from_secs(5);

const PAGE: u32 = 500;
/// Payments that are looked at at once: a provider that is slow for one must not hold up the others' leases.
const AT_ONCE_MAX: usize = 16;
/// Give the lease up, void, refund what was captured all the same, note: no payment needs more steps at once.
const STEPS_MAX: u32 = 4;

/// Takes every open payment as far as it goes. Idempotent. Returns how many were looked at.
///
/// # Errors
/// Only if they cannot be listed; a payment that fails is tried again the next time, and holds up no other.
pub async fn reconcile_payments(ports: &Ports) -> PortResult<usize> {
    let mut looked_at = 0;
    let mut after = None;
    loop {
        let payments = ports.payments.list_unsettled(ASK_AFTER, after, PAGE).await?;
        let Some(last) = payments.last() else { return Ok(looked_at) };
        after = Some(last.id);
        looked_at += payments.len();
        stream::iter(payments).for_each_concurrent(AT_ONCE_MAX, |payment| finish(ports, payment)).await;
    }
}

async fn finish(ports: &Ports, payment: Payment) {
    if let Err(error) = reconcile(ports, payment).await {
        warn!(payment = %payment.id, %error, "a payment stays open: trying again later");
    }
}

async fn reconcile(ports: &Ports, payment: Payment) -> PortResult<()> {
    let mut payment = payment;
    let mut provider = ports.provider.query(payment.id).await?;
    for _ in 0..STEPS_MAX {
        match next_step(&payment, provider, ports.clock.now()) {
            NextStep::Wait => return Ok(()),
            NextStep::Succeed => {
                payment.status = match conclude_success(ports, payment).await? {
                    Some(_) => PaymentStatus::CaptureDue,
                    None => PaymentStatus::VoidDue,
                };
            }
            NextStep::Fail => return conclude_failure(ports, payment, PaymentStatus::Declined).await,
            NextStep::NoteVoided => return conclude_failure(ports, payment, ended_as(provider)).await,
            NextStep::NoteCaptured => return note_captured(ports, payment).await,
            // This node's clock only says when to ask.
            NextStep::Void if payment.status == PaymentStatus::Started => {
                let Some(known) = give_lease_up(ports, payment).await? else { return Ok(()) };
                payment = known;
            }
            NextStep::Void => provider = ports.provider.void(payment.id).await?,
            NextStep::Capture => provider = ports.provider.capture(payment.id).await?,
            NextStep::Refund => provider = ports.provider.refund(payment.id).await?,
        }
    }
    Ok(())
}

fn ended_as(provider: ProviderState) -> PaymentStatus {
    match provider {
        ProviderState::Refunded => PaymentStatus::Refunded,
        _ => PaymentStatus::Voided,
    }
}

#[cfg(test)]
mod tests;
