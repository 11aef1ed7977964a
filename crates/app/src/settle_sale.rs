//! Ends what is due and serves standby: woken by a timer, and by the sweeper each second.

use miaosha_domain::ids::SaleId;
use miaosha_domain::settle::{Settled, settle};

use crate::announce::announce;
use crate::model::Outcomes;
use crate::ports::{PortResult, Ports};

/// Settles a sale until nothing more is due, a transaction at a time, each announced after its commit. Idempotent: a
/// lost or doubled call is harmless. Also announces the book when nothing changed, so that followers know they are up
/// to date. Returns how many claims changed.
pub async fn settle_sale(ports: &Ports, id: SaleId) -> PortResult<u64> {
    let mut changed = 0;
    loop {
        let Some(mut tx) = ports.sales.lock(id).await? else { return Ok(changed) };
        let (terms, before) = (tx.terms(), tx.book());
        let standing = tx.standing().await?;
        let mut book = before;
        let Settled { changes, more } = settle(&terms, &mut book, standing, tx.now());
        if book != before || !changes.is_empty() {
            tx.commit(book, &changes).await?;
        } else {
            drop(tx);
        }
        changed += changes.len() as u64;
        let claims = changes.into_iter().map(|change| change.claim).collect();
        announce(ports, Outcomes { sale: id, book, claims, rejected: Vec::new() }).await;
        if !more {
            return Ok(changed);
        }
    }
}

/// Settles every sale that may still change by itself.
///
/// # Errors
/// The first failure; it does not hold up the sales after it.
pub async fn sweep(ports: &Ports) -> PortResult<u64> {
    let mut changed = 0;
    let mut failure = None;
    for id in ports.sales.list_unsettled().await? {
        match settle_sale(ports, id).await {
            Ok(changes) => changed += changes,
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(changed), Err)
}

#[cfg(test)]
mod tests;
