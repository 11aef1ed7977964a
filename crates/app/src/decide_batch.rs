//! Decides one batch of accepted requests: the only place where somebody gets a unit as a newcomer.

use std::time::Duration;

use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::decide::{Answer, Decision, decide};
use miaosha_domain::ids::UserId;
use tracing::{error, warn};

use crate::announce::announce;
use crate::model::{Outcomes, RequestBatch};
use crate::ports::{Delivery, PortResult, Ports};

const RETRY_AFTER_MIN: Duration = Duration::from_millis(20);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// Decides a delivery, announces the outcomes and acknowledges last. A redelivered batch finds its rows and repeats
/// only the announcement.
///
/// Failures that may pass are retried in place for as long as they last. After a failure for good the batch is split
/// into single people, and a single person's request that fails for good is put aside.
///
/// # Errors
/// Only if settling the delivery itself fails; then it comes again.
pub async fn decide_batch(ports: &Ports, delivery: Box<dyn Delivery>) -> PortResult<()> {
    let mut retry_after = RETRY_AFTER_MIN;
    loop {
        match decide_once(ports, delivery.batch()).await {
            Ok(Verdict::Decided(outcomes)) => {
                count(ports, delivery.batch(), &outcomes);
                announce(ports, outcomes).await;
                return delivery.ack().await;
            }
            Ok(Verdict::Parked) => return delivery.park().await,
            Ok(Verdict::NoSuchSale) => {
                error!(sale = %delivery.batch().sale, "a batch names a sale that does not exist");
                return delivery.discard().await;
            }
            Err(error) if error.is_terminal() && delivery.batch().asks.len() > 1 => {
                warn!(sale = %delivery.batch().sale, %error, "a batch cannot be decided: splitting it");
                return delivery.split().await;
            }
            Err(error) if error.is_terminal() => {
                error!(sale = %delivery.batch().sale, %error, "a request cannot be decided: putting it aside");
                return delivery.discard().await;
            }
            Err(error) => {
                warn!(sale = %delivery.batch().sale, %error, "deciding again in a moment");
                ports.clock.sleep(retry_after).await;
                retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
            }
        }
    }
}

enum Verdict {
    Decided(Outcomes),
    Parked,
    NoSuchSale,
}

/// One transaction: lock the sale, read the people's claims, decide, write.
async fn decide_once(ports: &Ports, batch: &RequestBatch) -> PortResult<Verdict> {
    let Some(mut tx) = ports.sales.lock(batch.sale).await? else {
        return Ok(Verdict::NoSuchSale);
    };
    let users: Vec<UserId> = batch.asks.iter().map(|ask| ask.user).collect();
    let existing = tx.claims_of(&users).await?;
    let mut book = tx.book();
    let decision = decide(batch.sale, &tx.terms(), &mut book, &batch.asks, &existing, tx.now());
    let Decision::Decided { answers, made } = decision else {
        return Ok(Verdict::Parked);
    };
    if !made.is_empty() {
        tx.commit(book, &made).await?;
    }
    Ok(Verdict::Decided(outcomes(batch, book, answers)))
}

fn outcomes(batch: &RequestBatch, book: miaosha_domain::sale::Book, answers: Vec<Answer>) -> Outcomes {
    let mut outcomes = Outcomes { sale: batch.sale, book, claims: Vec::new(), rejected: Vec::new() };
    for answer in answers {
        match answer {
            Answer::Claimed(claim) => outcomes.claims.push(claim),
            Answer::Rejected(user) => outcomes.rejected.push(user),
        }
    }
    outcomes
}

fn count(ports: &Ports, batch: &RequestBatch, outcomes: &Outcomes) {
    let with = |status| outcomes.claims.iter().filter(|claim| claim.status == status).count() as u64;
    let lag = ports.clock.now().saturating_since(batch.accepted_at);
    metrics::counter!("miaosha_decisions_total", "outcome" => "reserved")
        .increment(with(ClaimStatus::Reserved));
    metrics::counter!("miaosha_decisions_total", "outcome" => "standby")
        .increment(with(ClaimStatus::Standby));
    metrics::counter!("miaosha_decisions_total", "outcome" => "rejected")
        .increment(outcomes.rejected.len() as u64);
    metrics::histogram!("miaosha_decision_lag_seconds").record(lag.as_secs_f64());
}

#[cfg(test)]
mod tests;
