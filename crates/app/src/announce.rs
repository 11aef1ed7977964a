//! After a commit: tell everyone, and set the timers. Everything here may be lost or repeated without harm.

use std::sync::Arc;

use miaosha_domain::claim::{Claim, ClaimStatus};
use tracing::warn;

use crate::model::Outcomes;
use crate::ports::Ports;

/// Announces what was committed, and asks for a wake-up for each deadline among `claims`, once per deadline.
pub async fn announce(ports: &Ports, outcomes: Outcomes) {
    let sale = outcomes.sale;
    let mut deadlines: Vec<_> = outcomes.claims.iter().filter_map(reserved_until).collect();
    deadlines.sort_unstable();
    deadlines.dedup();
    ports.bus.publish(Arc::new(outcomes));
    for due in deadlines {
        if let Err(error) = ports.timers.schedule(sale, due).await {
            warn!(%sale, %error, "no timer for a deadline: the sweeper will find it");
        }
    }
}

fn reserved_until(claim: &Claim) -> Option<miaosha_domain::time::Timestamp> {
    claim.hold_until.filter(|_| claim.status == ClaimStatus::Reserved)
}
