//! Ends what is due and serves standby: woken by a timer, and by the sweeper each second.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::SaleId;
use miaosha_domain::settle::{Settled, has_work, settle};

use crate::announce::announce_sale;
use crate::model::{DatedBook, Outcomes};
use crate::ports::{GateReport, GateUpdate, PortResult, Ports, UnsettledSale};
use crate::tend_gate::GateTender;

/// Sales settled side by side: each is a transaction, which waits for whoever holds the sale's lock.
const SETTLED_AT_ONCE: usize = 4;
/// Gates told side by side, so that those on a node that stands still keep the others waiting once, not each.
const GATES_AT_ONCE: usize = 64;

/// Settles a sale until nothing more is due, a transaction at a time, each announced after its commit. Idempotent: a
/// lost or doubled call is harmless. Also announces the book when nothing changed, so that followers know they are up
/// to date.
pub async fn settle_sale(ports: &Ports, id: SaleId) -> PortResult<SaleSettled> {
    let mut settled = SaleSettled::default();
    loop {
        let Some(mut tx) = ports.sales.lock(id).await? else { return Ok(settled) };
        let (terms, before, as_of) = (tx.terms(), tx.book(), tx.now());
        let standing = tx.standing().await?;
        let mut book = before;
        let Settled { changes, more } = settle(&terms, &mut book, standing, as_of);
        if book != before || !changes.is_empty() {
            tx.commit(book, &changes).await?;
        } else {
            drop(tx);
        }
        settled.changed += changes.len() as u64;
        let claims = changes.into_iter().map(|change| change.claim).collect();
        let outcomes = Outcomes::of_book(id, DatedBook { book, as_of }, claims);
        settled.limit = Some(GateLimit::of(&book, &terms));
        settled.is_paused = book.paused;
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
    /// Whether the sale is paused.
    pub is_paused: bool,
}

/// Looks at every sale that may still change by itself: settles those where something is due, announces the book of the
/// others, and tends the gate of each, whose repairs go on meanwhile. Returns how many claims changed.
///
/// One read tells what is due where, so that a sale in which nothing happens costs no transaction.
///
/// # Errors
/// The first failure; it does not hold up the sales after it.
pub async fn sweep(ports: &Ports, tender: &mut GateTender) -> PortResult<u64> {
    let looks = tender.repair_during(look_at_all(ports)).await?;
    tender.forget_all_but(&looks.iter().map(|(sale, _)| *sale).collect());
    let mut changed = 0;
    let mut failure = None;
    for (sale, look) in looks {
        match look {
            Ok(settled) => {
                changed += settled.changed;
                tender.tend(ports, sale, &settled);
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(changed), Err)
}

/// Settles the sales where something is due, and announces the books of the others.
async fn look_at_all(ports: &Ports) -> PortResult<Vec<(SaleId, PortResult<SaleSettled>)>> {
    let sales = ports.sales.list_unsettled().await?;
    let (due, quiet): (Vec<UnsettledSale>, Vec<UnsettledSale>) = sales.into_iter().partition(is_due);
    // Before anything that waits: who hears a book takes it for new.
    for sale in &quiet {
        ports.bus.publish(Arc::new(book_of(sale)));
    }
    let settling = due.into_iter().map(|sale| settle_sale(ports, sale.id).map(move |done| (sale.id, done)));
    let mut looks: Vec<_> = stream::iter(settling).buffered(SETTLED_AT_ONCE).collect().await;
    let telling = quiet.into_iter().map(|sale| tell_gate(ports, sale).map(move |told| (sale.id, Ok(told))));
    looks.extend(stream::iter(telling).buffered(GATES_AT_ONCE).collect::<Vec<_>>().await);
    Ok(looks)
}

/// Sends the gate of a sale in which nothing is due its limit again.
async fn tell_gate(ports: &Ports, sale: UnsettledSale) -> SaleSettled {
    let limit = GateLimit::of(&sale.book, &sale.terms);
    let update = GateUpdate { limit, claims: &[], rejected: &[] };
    let gate = ports.gate.update(sale.id, update).await.ok();
    SaleSettled { changed: 0, limit: Some(limit), gate, is_paused: sale.book.paused }
}

fn is_due(sale: &UnsettledSale) -> bool {
    has_work(&sale.terms, &sale.book, sale.outlook, sale.now)
}

fn book_of(sale: &UnsettledSale) -> Outcomes {
    Outcomes::of_book(sale.id, DatedBook { book: sale.book, as_of: sale.now }, Vec::new())
}

#[cfg(test)]
mod tests;
