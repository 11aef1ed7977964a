//! What a person has in a sale, as it is now.

use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{OrderId, SaleId, UserId};
use tracing::debug;

use crate::board::{BoardSale, PersonalState};
use crate::ports::{PortResult, Ports};

/// What a person is told of his claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimView {
    /// The sale.
    pub sale: SaleId,
    /// How things stand.
    pub standing: PersonalStanding,
    /// The place in standby, from 1.
    pub position: Option<u64>,
    /// The order of a paid claim.
    pub order: Option<OrderId>,
}

/// How things stand for one person in one sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalStanding {
    /// Nothing.
    None,
    /// A request is on its way to a decision.
    Queued,
    /// Rejected without a row.
    Rejected,
    /// A claim.
    Claim(Claim),
}

impl PersonalStanding {
    /// The name in the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Queued => "queued",
            Self::Rejected => ClaimStatus::Rejected.name(),
            Self::Claim(claim) => claim.status.name(),
        }
    }

    /// The claim's `rev`; 0 without a row.
    pub const fn rev(&self) -> u64 {
        match self {
            Self::Claim(claim) => claim.rev,
            Self::None | Self::Queued | Self::Rejected => 0,
        }
    }
}

/// Looks a claim up: the row if there is one, else what this node or the gate remembers. The row is not read when this node knows,
/// as of at most a second ago, that there is none: a crowd that connects before the opening costs the database nothing.
/// The board learns nothing from it: what it learns here, its follower would not tell to the person's other sockets.
pub async fn look_up_claim(ports: &Ports, sale: &BoardSale, user: UserId) -> PortResult<ClaimView> {
    let id = sale.sale.id;
    let now = ports.clock.now();
    let row = if sale.had_no_claim(user, now) {
        None
    } else {
        ports.claims.lookup_many(id, &[user]).await?.remove(&user)
    };
    let Some(claim) = row else {
        let standing = match sale.personal_state(user, now) {
            // Made while the row was read, and heard of since.
            PersonalState::Claimed(claim) => return view_claim(ports, claim).await,
            PersonalState::Queued => PersonalStanding::Queued,
            PersonalState::Rejected => PersonalStanding::Rejected,
            PersonalState::Unknown if was_refused(ports, sale, user).await => PersonalStanding::Rejected,
            PersonalState::Unknown => PersonalStanding::None,
        };
        return Ok(ClaimView { sale: id, standing, position: None, order: None });
    };
    view_claim(ports, claim).await
}

/// Whether the gate refused this person; nobody was before the sale opened, and a gate that is gone remembers nobody.
async fn was_refused(ports: &Ports, sale: &BoardSale, user: UserId) -> bool {
    if sale.sale.terms.starts_at > ports.clock.now() {
        return false;
    }
    let refused = ports.gate.was_refused(sale.sale.id, user).await;
    refused.unwrap_or_else(|error| {
        debug!(sale = %sale.sale.id, %error, "nobody knows whether the gate refused somebody");
        false
    })
}

/// A claim as its person sees it, with the place or the order that belongs to its status.
pub async fn view_claim(ports: &Ports, claim: Claim) -> PortResult<ClaimView> {
    let position = match claim.status {
        ClaimStatus::Standby => Some(ports.claims.position(claim.sale, claim.seq).await?),
        _ => None,
    };
    let order = match claim.status {
        ClaimStatus::Paid | ClaimStatus::Refunded => {
            ports.orders.lookup_by_sale(claim.user, claim.sale).await?.map(|order| order.id)
        }
        _ => None,
    };
    Ok(ClaimView { sale: claim.sale, standing: PersonalStanding::Claim(claim), position, order })
}

#[cfg(test)]
mod tests;
