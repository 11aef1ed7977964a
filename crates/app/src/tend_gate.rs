//! Keeps the gate of a sale as the database is: loads it when it knows nothing, and repairs it each second.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use tracing::info;

use crate::ports::{GateReport, PortResult, Ports};
use crate::settle_sale::SaleSettled;

/// A gate that refuses newcomers for this long, while the database has something for them, is loaded anew: people it
/// holds for in flight were lost on their way.
pub const FULL_TOLERATED: Duration = Duration::from_secs(2);

const CLAIMS_PAGE: u32 = 1_000;

/// Loads the gate of a sale from the database, unless somebody else was faster. Idempotent.
pub async fn load_gate(ports: &Ports, sale: SaleId) -> PortResult<()> {
    match filled(ports, sale).await? {
        Some(limit) => ports.gate.open(sale, limit).await,
        None => Ok(()),
    }
}

/// The same, whatever the gate knows: also forgets who was in flight.
pub async fn load_gate_anew(ports: &Ports, sale: SaleId) -> PortResult<()> {
    match filled(ports, sale).await? {
        Some(limit) => ports.gate.open_anew(sale, limit).await,
        None => Ok(()),
    }
}

/// Adds every claim of a sale to its gate, and gives the limit to open it with; `None` if there is no such sale.
async fn filled(ports: &Ports, sale: SaleId) -> PortResult<Option<GateLimit>> {
    // The limit before the claims: a claim made in between is counted as one too many, never as one too few.
    let Some(row) = ports.sales.lookup(sale).await? else { return Ok(None) };
    top_up(ports, sale).await?;
    Ok(Some(GateLimit::of(&row.book, &row.sale.terms)))
}

/// Adds every claim of a sale to its gate.
async fn top_up(ports: &Ports, sale: SaleId) -> PortResult<()> {
    let mut after = 0;
    loop {
        let claims = ports.claims.list(sale, after, CLAIMS_PAGE).await?;
        let Some(last) = claims.last() else { return Ok(()) };
        after = last.seq;
        ports.gate.top_up(sale, &claims).await?;
    }
}

/// What the sweeper remembers of each gate between two looks.
#[derive(Debug, Default)]
pub struct GateTender {
    /// Since when a gate refuses newcomers although the database has something for them.
    full_since: HashMap<SaleId, Timestamp>,
    /// Gates that had fewer claims than the database at the last look.
    lacked: HashSet<SaleId>,
}

impl GateTender {
    /// Repairs a gate, by what it said when it was told how things are: loads it if it knows nothing or stays full for
    /// no reason; tops it up if it twice had fewer claims than the database.
    ///
    /// Once is no reason: another process may be about to tell it.
    pub async fn tend(&mut self, ports: &Ports, sale: SaleId, settled: &SaleSettled) -> PortResult<()> {
        let (Some(limit), Some(report)) = (settled.limit, settled.gate) else { return Ok(()) };
        let GateReport::Known { claims, is_full } = report else {
            return load_gate(ports, sale).await;
        };
        if self.stays_full(sale, is_full && limit.is_open(), ports.clock.now()) {
            info!(%sale, "a gate stays full while there is something to get: loading it anew");
            load_gate_anew(ports, sale).await?;
            self.full_since.remove(&sale);
        }
        if self.lacks_again(sale, claims < limit.claims) {
            top_up(ports, sale).await?;
        }
        Ok(())
    }

    /// Forgets every sale that is not among these.
    pub(crate) fn forget_all_but(&mut self, sales: &HashSet<SaleId>) {
        self.full_since.retain(|sale, _| sales.contains(sale));
        self.lacked.retain(|sale| sales.contains(sale));
    }

    fn stays_full(&mut self, sale: SaleId, is_full: bool, now: Timestamp) -> bool {
        if !is_full {
            self.full_since.remove(&sale);
            return false;
        }
        let since = *self.full_since.entry(sale).or_insert(now);
        now.saturating_since(since) >= FULL_TOLERATED
    }

    fn lacks_again(&mut self, sale: SaleId, lacks: bool) -> bool {
        if !lacks {
            self.lacked.remove(&sale);
            return false;
        }
        !self.lacked.insert(sale)
    }
}

#[cfg(test)]
mod tests;
