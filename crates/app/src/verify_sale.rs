//! Recounts a sale against its invariants.

use miaosha_domain::audit::{Broken, Counts, audit, count};
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::Book;
use tracing::error;

use crate::ports::{PortResult, Ports};

/// What a recount found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The sale.
    pub sale: SaleId,
    /// What its row counts.
    pub book: Book,
    /// What its rows add up to.
    pub counts: Counts,
    /// What is broken; empty if nothing is.
    pub broken: Vec<Broken>,
}

/// Recounts one snapshot of the sale; raises the alarm (metric and log) if anything is broken. `None` if there is no
/// such sale.
pub async fn verify_sale(ports: &Ports, id: SaleId) -> PortResult<Option<Verified>> {
    let Some(snapshot) = ports.sales.snapshot(id).await? else { return Ok(None) };
    let broken = audit(&snapshot);
    for finding in &broken {
        error!(sale = %id, invariant = %finding.invariant, detail = finding.detail, "an invariant is broken");
        metrics::counter!("miaosha_invariant_broken_total", "id" => finding.invariant.to_string())
            .increment(1);
    }
    Ok(Some(Verified { sale: id, book: snapshot.book, counts: count(&snapshot), broken }))
}
