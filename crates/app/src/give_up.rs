//! A person gives up a standby or a reservation.

use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::settle::{GiveUpError, Settled, give_up as give_up_rule};

use crate::announce::announce_sale;
use crate::model::{DatedBook, Outcomes};
use crate::ports::{PortResult, Ports};

/// What became of giving up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// The claim as it is now: `left` or `released`.
    Done(Claim),
    /// There is no such claim.
    NoClaim,
    /// Nothing was changed.
    Refused(GiveUpError),
}

/// Gives up; the unit goes to standby or back on sale in the same commit. With `rev`, only if the claim is still at it.
/// Repeating it is refused as over.
pub async fn give_up(ports: &Ports, sale: SaleId, user: UserId, rev: Option<u64>) -> PortResult<GivenUp> {
    let Some(mut tx) = ports.sales.lock(sale).await? else { return Ok(GivenUp::NoClaim) };
    let Some(claim) = tx.claims_of(&[user]).await?.remove(&user) else { return Ok(GivenUp::NoClaim) };
    let standing = tx.standing().await?;
    let (terms, mut book, as_of) = (tx.terms(), tx.book(), tx.now());
    let Settled { changes, .. } = match give_up_rule(&terms, &mut book, claim, standing, rev, as_of) {
        Ok(settled) => settled,
        Err(refusal) => return Ok(GivenUp::Refused(refusal)),
    };
    tx.commit(book, &changes).await?;
    let claims: Vec<Claim> = changes.into_iter().map(|change| change.claim).collect();
    let given_up = claims[0];
    let outcomes = Outcomes::of_book(sale, DatedBook { book, as_of }, claims);
    announce_sale(ports, &terms, outcomes).await;
    Ok(GivenUp::Done(given_up))
}

#[cfg(test)]
mod tests;
