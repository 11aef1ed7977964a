//! A buyer pays for a reservation.
//!
//! `reserved → paying` is stored with the payment's id before the provider is called; the unit is sold before the money
//! is captured. Whatever is left open here (a lost answer, a crash) is finished by [`crate::reconcile_payments`].
//!
//! A check-out that has begun must run to its end: run it in a task of its own, not in one that a client can cancel.

mod conclude;

use std::time::Duration;

use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use miaosha_domain::money::Money;
use miaosha_domain::payment::{CheckOutError, Payment, PaymentStatus, ProviderState, begin};
use tracing::warn;

use crate::announce::announce_claim;
use crate::model::{Order, SaleRow, Shipping};
use crate::ports::{ClaimWrite, PaymentMethod, PortError, PortResult, Ports};

pub(crate) use conclude::{conclude_failure, conclude_success, give_lease_up, note_captured};

/// How long a payment may hold a claim, if not configured otherwise.
pub const LEASE_DEFAULT: Duration = Duration::from_mins(1);

/// What a buyer asks for.
#[derive(Debug, Clone)]
pub struct CheckOut {
    /// The sale, from the checkout token.
    pub sale: SaleId,
    /// The buyer, from the checkout token.
    pub user: UserId,
    /// The reservation that the token was made for.
    pub seq: u64,
    /// How to pay.
    pub method: PaymentMethod,
    /// Where the parcel goes.
    pub shipping: Shipping,
    /// How long the payment may hold the claim.
    pub lease: Duration,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedOut {
    /// Paid.
    Ordered(Box<Order>),
    /// Under way; the end comes with the claim.
    Paying,
    /// The provider said no; the reservation stands until its deadline.
    Declined,
    /// The method can never pay; nothing was stored.
    InvalidCard,
    /// Nothing was stored.
    Refused(CheckOutError),
}

/// Pays.
pub async fn check_out(ports: &Ports, request: CheckOut) -> PortResult<CheckedOut> {
    if ports.provider.check(&request.method).is_err() {
        return Ok(CheckedOut::InvalidCard);
    }
    let Some(SaleRow { sale, .. }) = ports.sales.lookup(request.sale).await? else {
        return Ok(CheckedOut::Refused(CheckOutError::ReservationOver));
    };
    let Some(tx) = ports.claims.lock(request.sale, request.user).await? else {
        return Ok(CheckedOut::Refused(CheckOutError::ReservationOver));
    };
    let (claim, now) = (tx.claim(), tx.now());
    if claim.seq != request.seq {
        return Ok(CheckedOut::Refused(CheckOutError::ReservationOver));
    }
    let id = PaymentId::new(ports.ids.next()).map_err(|error| PortError::terminal("making an id", error))?;
    let change = match begin(claim, id, request.lease, now) {
        Ok(change) => change,
        Err(refusal) => return Ok(CheckedOut::Refused(refusal)),
    };
    let payment = Payment {
        id,
        sale: request.sale,
        user: request.user,
        amount: amount_of(sale.price, claim.quantity)?,
        status: PaymentStatus::Started,
        started_at: now,
        lease_until: now + request.lease,
    };
    let write = ClaimWrite {
        change: Some(change),
        payment: Some(payment),
        shipping: Some(request.shipping),
        order: None,
    };
    tx.commit(write).await?;
    announce_claim(ports, change.claim).await;
    pay(ports, payment, &request.method).await
}

fn amount_of(price: Money, quantity: u32) -> PortResult<Money> {
    price.times(quantity).map_err(|error| PortError::terminal("adding up a price", error))
}

/// Calls the provider, unless the lease is over, and writes what it says. What it leaves open is reconciled.
async fn pay(ports: &Ports, payment: Payment, method: &PaymentMethod) -> PortResult<CheckedOut> {
    if ports.clock.now() >= payment.lease_until {
        return Ok(CheckedOut::Paying);
    }
    let state = match ports.provider.authorise(payment.id, payment.amount, method).await {
        Ok(state) => state,
        Err(error) => {
            warn!(payment = %payment.id, %error, "the provider did not answer: asking it later");
            return Ok(CheckedOut::Paying);
        }
    };
    let written = match state {
        ProviderState::Authorised | ProviderState::Captured => sell(ports, payment).await,
        ProviderState::Declined => {
            conclude_failure(ports, payment, PaymentStatus::Declined).await.map(|()| CheckedOut::Declined)
        }
        ProviderState::Unknown | ProviderState::Pending | ProviderState::Voided | ProviderState::Refunded => {
            Ok(CheckedOut::Paying)
        }
    };
    written.or_else(|error| {
        warn!(payment = %payment.id, %error, "a payment's end was not written: reconciling it later");
        Ok(CheckedOut::Paying)
    })
}

/// Sells the unit, then captures.
async fn sell(ports: &Ports, payment: Payment) -> PortResult<CheckedOut> {
    let Some(order) = conclude_success(ports, payment).await? else {
        return Ok(CheckedOut::Refused(CheckOutError::ReservationOver));
    };
    match ports.provider.capture(payment.id).await {
        Ok(ProviderState::Captured) => {
            if let Err(error) = note_captured(ports, payment).await {
                warn!(payment = %payment.id, %error, "a capture was not noted: reconciling it later");
            }
        }
        Ok(state) => warn!(payment = %payment.id, ?state, "the capture did not take: trying again later"),
        Err(error) => warn!(payment = %payment.id, %error, "the capture did not answer: trying again later"),
    }
    Ok(CheckedOut::Ordered(Box::new(order)))
}

/// A new order id.
fn new_order_id(ports: &Ports) -> PortResult<OrderId> {
    OrderId::new(ports.ids.next()).map_err(|error| PortError::terminal("making an id", error))
}

#[cfg(test)]
mod tests;
