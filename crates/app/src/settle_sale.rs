//! Ends what is due and serves standby: woken by a timer, and by the sweeper each second.

use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::SaleId;
use miaosha_domain::settle::{Settled, settle};
use tracing::debug;

use crate::announce::announce_sale;
use crate::model::Outcomes;
use crate::ports::{GateReport, PortResult, Ports};
use crate::tend_gate::GateTender;

/// Settles a sale until nothing more is due, a transaction at a time, each announced after its commit. Idempotent: a
/// lost or doubled call is harmless. Also announces the book when nothing changed, so that followers know they are up
/// to date.
pub async fn settle_sale(ports: &Ports, id: SaleId) -> PortResult<SaleSettled> {
    let mut settled = SaleSettled::default();
    loop {
        let Some(mut tx) = ports.sales.lock(id).await? else { return Ok(settled) };
        let (terms, before) = (tx.terms(), tx.book());
        let standing = tx.standing().await?;
        let mut book = before;
        let Settled { changes, more } = settle(&terms, &mut book, standing, tx.now());
        if book != before || !changes.is_empty() {
            tx.commit(book, &changes).await?;
        } else {
            drop(tx);
        }
        settled.changed += changes.len() as u64;
        let claims = changes.into_iter().map(|change| change.claim).collect();
        let outcomes = Outcomes { sale: id, book: Some(book), claims, rejected: Vec::new() };
        settled.limit = Some(GateLimit::of(&book, &terms));
        settled.gate = announce_sale(ports, &terms, outcomes).await;
        if !more {
            return Ok(settled);
        }
    }
}

/// What became of settling a sale.
#[derive(Debug, Clone, Copy, Default)]
pub struct SaleSettled {
    /// How many claims changed.
    pub changed: u64,
    /// What the gate was told; `None` if there is no such sale.
    pub limit: Option<GateLimit>,
    /// What the gate holds now; `None` if it could not be reached.
    pub gate: Option<GateReport>,
}

/// Settles every sale that may still change by itself, and tends its gate. Returns how many claims changed.
///
/// # Errors
/// The first failure; it does not hold up the sales after it.
pub async fn sweep(ports: &Ports, tender: &mut GateTender) -> PortResult<u64> {
    let mut changed = 0;
    let mut failure = None;
    let sales = ports.sales.list_unsettled().await?;
    tender.forget_all_but(&sales);
    for id in sales {
        match settle_sale(ports, id).await {
            Ok(settled) => {
                changed += settled.changed;
                if let Err(error) = tender.tend(ports, id, &settled).await {
                    debug!(sale = %id, %error, "the gate was not tended: trying again with the next sweep");
                }
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(changed), Err)
}

#[cfg(test)]
mod tests;
