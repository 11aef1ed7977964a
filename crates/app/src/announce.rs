//! After a commit: tell everyone, set the timers, tell the gate. Everything here may be lost or repeated without harm.

use std::sync::Arc;

use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::sale::Terms;
use tracing::warn;

use crate::model::Outcomes;
use crate::ports::{GateReport, GateUpdate, Ports};

/// Announces a claim that a payment's transaction committed, and asks for a wake-up at its deadline.
pub async fn announce_claim(ports: &Ports, claim: Claim) {
    tell(ports, Arc::new(Outcomes::of_claims(claim.sale, vec![claim]))).await;
}

/// Announces what a transaction under the sale's lock committed, also to the gate, and asks for a wake-up once for each
/// deadline. Says what the gate holds now, if it could be reached and the book is known.
pub async fn announce_sale(ports: &Ports, terms: &Terms, outcomes: Outcomes) -> Option<GateReport> {
    let outcomes = Arc::new(outcomes);
    tell(ports, Arc::clone(&outcomes)).await;
    let limit = GateLimit::of(&outcomes.book?.book, terms);
    let update = GateUpdate { limit, claims: &outcomes.claims, rejected: &outcomes.rejected };
    ports.gate.update(outcomes.sale, update).await.ok()
}

async fn tell(ports: &Ports, outcomes: Arc<Outcomes>) {
    let sale = outcomes.sale;
    let mut deadlines: Vec<_> = outcomes.claims.iter().filter_map(reserved_until).collect();
    deadlines.sort_unstable();
    deadlines.dedup();
    ports.bus.publish(outcomes);
    for due in deadlines {
        if let Err(error) = ports.timers.schedule(sale, due).await {
            warn!(%sale, %error, "no timer for a deadline: the sweeper will find it");
        }
    }
}

fn reserved_until(claim: &Claim) -> Option<miaosha_domain::time::Timestamp> {
    claim.hold_until.filter(|_| claim.status == ClaimStatus::Reserved)
}
