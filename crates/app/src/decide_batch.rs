//! Decides one batch of accepted requests: the only place where somebody gets a unit as a newcomer.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::decide::{Answer, Ask, Decision, decide};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::sale::Terms;
use tracing::{debug, error, warn};

use crate::announce::announce_sale;
use crate::model::{DatedBook, Outcomes, RequestBatch};
use crate::ports::{Admission, Delivery, Passage, PortResult, Ports};
use crate::tend_gate::load_gate;

const RETRY_AFTER_MIN: Duration = Duration::from_millis(20);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1);

/// Asks the gate, waits for the batch's turn, decides who passes, announces the outcomes and acknowledges last. A
/// redelivered batch skips the gate, finds its rows and repeats only the announcement.
///
/// Failures that may pass are retried in place for as long as they last. After a failure for good the batch is split
/// into single people, and a single person's request that fails for good is put aside.
///
/// # Errors
/// Only if settling the delivery itself fails; then it comes again.
pub async fn decide_batch(ports: &Ports, delivery: Box<dyn Delivery>) -> PortResult<()> {
    let Passed { asks, mut are_new } = pass_gate(ports, delivery.as_ref()).await;
    if asks.is_empty() {
        return delivery.ack().await;
    }
    delivery.take_turn().await;
    let mut retry_after = RETRY_AFTER_MIN;
    loop {
        match decide_once(ports, delivery.batch().sale, &asks, are_new).await {
            Ok(Verdict::Decided(terms, outcomes)) => {
                delivery.end_turn();
                count(ports, delivery.batch(), &outcomes);
                announce_sale(ports, &terms, outcomes).await;
                return delivery.ack().await;
            }
            Ok(Verdict::Parked) => return delivery.park().await,
            Ok(Verdict::NoSuchSale) => {
                error!(sale = %delivery.batch().sale, "a batch names a sale that does not exist");
                return delivery.discard().await;
            }
            // Whatever it was: somebody may have a claim.
            Err(error) if are_new => {
                debug!(sale = %delivery.batch().sale, %error, "deciding again, by the claims there are");
                are_new = false;
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

/// Those of a batch who pass the gate.
struct Passed<'a> {
    asks: Cow<'a, [Ask]>,
    /// Whether the gate says of all of them that they are new.
    are_new: bool,
}

/// Asks the gate, and tells the others of a batch that they are rejected. Everybody passes where the gate cannot be asked,
/// and of a batch that may have passed it before.
async fn pass_gate<'a>(ports: &Ports, delivery: &'a dyn Delivery) -> Passed<'a> {
    let RequestBatch { sale, asks, .. } = delivery.batch();
    let all = Passed { asks: Cow::Borrowed(asks), are_new: false };
    if delivery.is_redelivered() {
        return all;
    }
    let users: Vec<UserId> = asks.iter().map(|ask| ask.user).collect();
    let passages = match admit(ports, *sale, &users).await {
        Ok(Some(passages)) if passages.len() == asks.len() => passages,
        Ok(_) => return all,
        Err(error) => {
            debug!(%sale, %error, "deciding without the gate");
            return all;
        }
    };
    let are_new = passages.iter().all(|passage| *passage != Passage::Known);
    let refused: Vec<UserId> = users
        .into_iter()
        .zip(&passages)
        .filter(|(_, passage)| !passage.passes())
        .map(|(user, _)| user)
        .collect();
    if refused.is_empty() {
        return Passed { are_new, ..all };
    }
    metrics::counter!("miaosha_decisions_total", "outcome" => "refused").increment(refused.len() as u64);
    ports.bus.publish(Arc::new(Outcomes::of_rejected(*sale, refused)));
    let passed = asks.iter().zip(&passages).filter(|(_, passage)| passage.passes());
    Passed { asks: passed.map(|(ask, _)| *ask).collect(), are_new }
}

/// Asks the gate, and loads it first if it does not know the sale.
async fn admit(ports: &Ports, sale: SaleId, users: &[UserId]) -> PortResult<Option<Vec<Passage>>> {
    if let Admission::Sorted(passages) = ports.gate.admit(sale, users).await? {
        return Ok(Some(passages));
    }
    load_gate(ports, sale).await?;
    match ports.gate.admit(sale, users).await? {
        Admission::Sorted(passages) => Ok(Some(passages)),
        Admission::Unknown => Ok(None),
    }
}

enum Verdict {
    Decided(Terms, Outcomes),
    Parked,
    NoSuchSale,
}

/// One transaction: lock the sale, read the people's claims, decide, write.
///
/// If all are said to be new, and everybody gets a claim where nobody has one, reading is left out: if somebody has one after
/// all, the commit writes nothing. So what is committed is what would have been decided with their claims.
async fn decide_once(ports: &Ports, sale: SaleId, asks: &[Ask], are_new: bool) -> PortResult<Verdict> {
    let Some(mut tx) = ports.sales.lock(sale).await? else {
        return Ok(Verdict::NoSuchSale);
    };
    let (terms, book, as_of) = (tx.terms(), tx.book(), tx.now());
    let decide_with = |existing: &HashMap<UserId, Claim>| {
        let mut book = book;
        (decide(sale, &terms, &mut book, asks, existing, as_of), book)
    };
    let as_new = are_new
        .then(|| decide_with(&HashMap::new()))
        .filter(|(decision, _)| decision.gives_everybody_a_claim());
    let (decision, book) = if let Some(decided) = as_new {
        decided
    } else {
        let users: Vec<UserId> = asks.iter().map(|ask| ask.user).collect();
        decide_with(&tx.claims_of(&users).await?)
    };
    let Decision::Decided { answers, made } = decision else {
        return Ok(Verdict::Parked);
    };
    if !made.is_empty() {
        tx.commit(book, &made).await?;
    }
    Ok(Verdict::Decided(terms, outcomes(sale, DatedBook { book, as_of }, answers)))
}

fn outcomes(sale: SaleId, book: DatedBook, answers: Vec<Answer>) -> Outcomes {
    let mut outcomes = Outcomes::of_book(sale, book, Vec::new());
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
