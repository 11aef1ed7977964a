//! Keeps the gate of a sale as the database is: loads it when it knows nothing, and repairs it each second.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{self, BoxFuture, Either};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use tracing::{debug, info};

use crate::claim_pages::ClaimPages;
use crate::ports::{GateReport, PortResult, Ports};
use crate::settle_sale::SaleSettled;

/// A gate that refuses newcomers for this long, while the database has something for them, is loaded anew: people it
/// holds for in flight were lost on their way.
pub const FULL_TOLERATED: Duration = Duration::from_secs(2);

/// Gates repaired side by side; the others have to wait, since each reads every claim of its sale.
const REPAIRED_AT_ONCE: usize = 4;

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
    let mut pages = ClaimPages::of(sale);
    while let Some(claims) = pages.next(ports).await? {
        ports.gate.top_up(sale, &claims).await?;
    }
    Ok(())
}

/// What the sweeper remembers of each gate between two looks, and the repairs under way.
///
/// Repairs go on beside the sweeps, so that one that takes long (a gate of a million claims) holds up no deadline.
#[derive(Debug, Default)]
pub struct GateTender {
    /// Since when a gate refuses newcomers although the database has something for them.
    full_since: HashMap<SaleId, Timestamp>,
    /// Gates that had fewer claims than the database at the last look.
    lacked: HashSet<SaleId>,
    repairs: FuturesUnordered<BoxFuture<'static, SaleId>>,
    under_repair: HashSet<SaleId>,
}

/// What a gate needs.
#[derive(Debug, Clone, Copy)]
enum Repair {
    Load,
    LoadAnew,
    TopUp,
}

impl GateTender {
    /// Judges a gate by what it said when it was told how things are, and begins to repair it: loads it if it knows nothing
    /// or stays full for no reason; tops it up if it twice had fewer claims than the database.
    ///
    /// Once is no reason: another process may be about to tell it. A paused sale's gate may be full of people whose
    /// requests are parked.
    pub fn tend(&mut self, ports: &Ports, sale: SaleId, settled: &SaleSettled) {
        let (Some(limit), Some(report)) = (settled.limit, settled.gate) else { return };
        if self.under_repair.contains(&sale) || self.under_repair.len() >= REPAIRED_AT_ONCE {
            return;
        }
        let repair = match report {
            GateReport::Unknown => Some(Repair::Load),
            GateReport::Known { claims, is_full } => {
                let is_full = is_full && limit.is_open() && !settled.is_paused;
                let lacks = self.lacks_again(sale, claims < limit.claims);
                let stays_full = self.stays_full(sale, is_full, ports.clock.now());
                stays_full.then_some(Repair::LoadAnew).or(lacks.then_some(Repair::TopUp))
            }
        };
        if let Some(repair) = repair {
            self.under_repair.insert(sale);
            self.repairs.push(Box::pin(carry_out(ports.clone(), sale, repair)));
        }
    }

    /// Goes on with the repairs for as long as `work` takes.
    pub async fn repair_during<T>(&mut self, work: impl Future<Output = T> + Send) -> T {
        let mut work = pin!(work);
        loop {
            match future::select(self.repairs.next(), work.as_mut()).await {
                Either::Left((Some(sale), _)) => self.note_repaired(sale),
                Either::Left((None, _)) => return work.await,
                Either::Right((done, _)) => return done,
            }
        }
    }

    /// What a gate said before its repair says nothing of it any more.
    fn note_repaired(&mut self, sale: SaleId) {
        self.under_repair.remove(&sale);
        self.full_since.remove(&sale);
        self.lacked.remove(&sale);
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
        now.is_past(since, FULL_TOLERATED)
    }

    fn lacks_again(&mut self, sale: SaleId, lacks: bool) -> bool {
        if !lacks {
            self.lacked.remove(&sale);
            return false;
        }
        !self.lacked.insert(sale)
    }
}

/// Repairs a gate; what fails is found again by a later look.
async fn carry_out(ports: Ports, sale: SaleId, repair: Repair) -> SaleId {
    let repaired = match repair {
        Repair::Load => load_gate(&ports, sale).await,
        Repair::LoadAnew => {
            info!(%sale, "a gate stays full while there is something to get: loading it anew");
            load_gate_anew(&ports, sale).await
        }
        Repair::TopUp => top_up(&ports, sale).await,
    };
    if let Err(error) = repaired {
        debug!(%sale, %error, "the gate was not repaired: trying again after the next sweep");
    }
    sale
}

#[cfg(test)]
mod tests;
