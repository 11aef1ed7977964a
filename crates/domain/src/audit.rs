//! What must be true after every commit, recounted from the rows: the invariants as far as one sale's data shows them.
//!
//! Independent of the rules: nothing here calls [`crate::decide`] or [`crate::settle`]. It runs in `verify`, in the
//! audit of a running server, and after every step of the simulation.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use crate::claim::{Claim, ClaimStatus};
use crate::ids::{PaymentId, SaleId, UserId};
use crate::payment::{Payment, PaymentStatus};
use crate::sale::{Book, Terms};
use crate::time::Timestamp;

/// One row of the history: a change of a claim, written in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimEvent {
    /// Orders the events of a sale by commit.
    pub id: u64,
    /// The sale.
    pub sale: SaleId,
    /// The person.
    pub user: UserId,
    /// The claim's `rev` after the change.
    pub rev: u64,
    /// The status before; `None` for a claim just made.
    pub from: Option<ClaimStatus>,
    /// The status after.
    pub to: ClaimStatus,
    /// Units.
    pub quantity: u32,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// An order, as far as the audit needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderFact {
    /// Whose.
    pub user: UserId,
    /// The payment that paid it.
    pub payment: PaymentId,
}

/// Everything that one sale wrote, read in one snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The sale.
    pub sale: SaleId,
    /// Its terms.
    pub terms: Terms,
    /// Its row.
    pub book: Book,
    /// Every claim.
    pub claims: Vec<Claim>,
    /// Every event, by `id`.
    pub events: Vec<ClaimEvent>,
    /// Every order.
    pub orders: Vec<OrderFact>,
    /// Every payment.
    pub payments: Vec<Payment>,
}

/// The invariants that rows can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// Units are conserved.
    I1,
    /// One claim per person and sale.
    I2,
    /// The history and the rows say the same.
    I4,
    /// Standby in order, before any newcomer.
    I5,
    /// A reservation ends once.
    I6,
    /// No money without a unit, no unit with two payers.
    I9,
}

impl Invariant {
    /// Every one that rows can show.
    pub const ALL: [Self; 6] = [Self::I1, Self::I2, Self::I4, Self::I5, Self::I6, Self::I9];
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A broken invariant and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// The figures or the person concerned.
    pub detail: String,
}

/// Units and people by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Units of reserved claims.
    pub reserved: u64,
    /// Units of paying claims.
    pub paying: u64,
    /// Units of paid claims.
    pub paid: u64,
    /// Units of refunded claims that were not restocked.
    pub refunded: u64,
    /// Units that people standing by wait for.
    pub standby: u64,
    /// Rows of rejected claims.
    pub rejected: u64,
    /// Orders.
    pub orders: u64,
    /// Payments given back after they had paid.
    pub refunds: u64,
}

/// Counts by state.
pub fn count(snapshot: &Snapshot) -> Counts {
    let mut counts = Counts { orders: snapshot.orders.len() as u64, ..Counts::default() };
    for claim in &snapshot.claims {
        let units = u64::from(claim.quantity);
        match claim.status {
            ClaimStatus::Reserved => counts.reserved += units,
            ClaimStatus::Paying => counts.paying += units,
            ClaimStatus::Paid => counts.paid += units,
            ClaimStatus::Refunded => counts.refunded += if claim.restocked { 0 } else { units },
            ClaimStatus::Standby => counts.standby += units,
            ClaimStatus::Rejected => counts.rejected += 1,
            ClaimStatus::Expired | ClaimStatus::Released | ClaimStatus::Left => {}
        }
    }
    counts.refunds =
        snapshot.claims.iter().filter(|claim| claim.status == ClaimStatus::Refunded).count() as u64;
    counts
}

/// Everything that is wrong; empty if nothing is. At most [`BROKEN_MAX`] findings.
pub fn audit(snapshot: &Snapshot) -> Vec<Broken> {
    let mut findings = Findings::default();
    check_units(snapshot, &mut findings);
    check_identity(snapshot, &mut findings);
    check_history(snapshot, &mut findings);
    check_order(snapshot, &mut findings);
    check_money(snapshot, &mut findings);
    findings.broken
}

/// The most findings that one audit reports.
pub const BROKEN_MAX: usize = 100;

#[derive(Default)]
struct Findings {
    broken: Vec<Broken>,
}

impl Findings {
    fn require(&mut self, holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) {
        if !holds && self.broken.len() < BROKEN_MAX {
            self.broken.push(Broken { invariant, detail: detail() });
        }
    }
}

fn check_units(snapshot: &Snapshot, findings: &mut Findings) {
    let book = &snapshot.book;
    let taken: u64 = snapshot.claims.iter().map(|claim| u64::from(claim.units_taken())).sum();
    findings.require(taken == u64::from(book.taken), Invariant::I1, || {
        format!("the sale counts {} taken units, its claims take {taken}", book.taken)
    });
    findings.require(taken <= u64::from(book.stock), Invariant::I1, || {
        format!("{taken} units are taken of a stock of {}", book.stock)
    });
}

fn check_identity(snapshot: &Snapshot, findings: &mut Findings) {
    let mut users = BTreeSet::new();
    let mut seqs = BTreeSet::new();
    for claim in &snapshot.claims {
        let is_first = users.insert(claim.user) && seqs.insert(claim.seq);
        findings.require(is_first, Invariant::I2, || format!("{:?} or seq {} twice", claim.user, claim.seq));
    }
    let made = snapshot.book.next_seq.saturating_sub(1);
    let is_dense = seqs.len() as u64 == made && seqs.last().copied().unwrap_or(0) == made;
    findings
        .require(is_dense, Invariant::I2, || format!("{} claims, but {made} seqs were given", seqs.len()));
}

/// Each claim's events lead from nothing to its row, one `rev` and one legal step at a time.
fn check_history(snapshot: &Snapshot, findings: &mut Findings) {
    let mut latest: HashMap<UserId, (u64, ClaimStatus)> = HashMap::new();
    for event in &snapshot.events {
        let (rev, status) = latest.get(&event.user).map_or((0, None), |&(rev, status)| (rev, Some(status)));
        findings.require(event.rev == rev + 1 && event.from == status, Invariant::I4, || {
            format!("{:?} has event rev {} from {:?} after rev {rev}", event.user, event.rev, event.from)
        });
        findings.require(event.to.may_follow(event.from), Invariant::I6, || {
            format!("{:?} went from {:?} to {:?}", event.user, event.from, event.to)
        });
        latest.insert(event.user, (event.rev, event.to));
    }
    for claim in &snapshot.claims {
        let told = latest.remove(&claim.user);
        findings.require(told == Some((claim.rev, claim.status)), Invariant::I4, || {
            format!("{:?} is {:?} at rev {}, its events say {told:?}", claim.user, claim.status, claim.rev)
        });
    }
    findings.require(latest.is_empty(), Invariant::I4, || {
        format!("{} people have events but no claim", latest.len())
    });
}

/// Replays standby: each promotion takes the lowest `seq`, and no newcomer gets a unit while somebody stands by.
fn check_order(snapshot: &Snapshot, findings: &mut Findings) {
    let book = &snapshot.book;
    let standing: u64 = (snapshot.claims.iter())
        .filter(|claim| claim.status == ClaimStatus::Standby)
        .map(|claim| u64::from(claim.quantity))
        .sum();
    findings.require(standing == u64::from(book.standing), Invariant::I5, || {
        format!("the sale counts {} standing by, its claims say {standing}", book.standing)
    });
    let is_idle = book.taken < book.stock && standing > 0 && !book.standby_over;
    findings.require(!is_idle, Invariant::I5, || format!("a unit is free while {standing} stand by"));

    let seqs: HashMap<UserId, u64> = snapshot.claims.iter().map(|claim| (claim.user, claim.seq)).collect();
    let mut waiting: BTreeSet<u64> = BTreeSet::new();
    for event in &snapshot.events {
        let Some(&seq) = seqs.get(&event.user) else { continue };
        match (event.from, event.to) {
            (None, ClaimStatus::Standby) => {
                waiting.insert(seq);
            }
            (None, ClaimStatus::Reserved) => {
                let standby_was_over = book.standby_over && event.at >= snapshot.terms.ends_at;
                findings.require(waiting.is_empty() || standby_was_over, Invariant::I5, || {
                    format!("{:?} got a unit as a newcomer while {} stood by", event.user, waiting.len())
                });
            }
            (Some(ClaimStatus::Standby), ClaimStatus::Reserved) => {
                findings.require(waiting.first() == Some(&seq), Invariant::I5, || {
                    format!("{:?} with seq {seq} was promoted before {:?}", event.user, waiting.first())
                });
                waiting.remove(&seq);
            }
            (Some(ClaimStatus::Standby), _) => {
                waiting.remove(&seq);
            }
            _ => {}
        }
    }
}

fn check_money(snapshot: &Snapshot, findings: &mut Findings) {
    let mut orders: HashMap<UserId, PaymentId> = HashMap::new();
    for order in &snapshot.orders {
        let is_first = orders.insert(order.user, order.payment).is_none();
        findings.require(is_first, Invariant::I9, || format!("{:?} has two orders", order.user));
    }
    let mut kept: HashMap<UserId, Vec<PaymentId>> = HashMap::new();
    for payment in &snapshot.payments {
        if matches!(payment.status, PaymentStatus::CaptureDue | PaymentStatus::Captured) {
            kept.entry(payment.user).or_default().push(payment.id);
        }
    }
    for claim in &snapshot.claims {
        let payments = kept.remove(&claim.user).unwrap_or_default();
        let order = orders.remove(&claim.user);
        let is_right = match claim.status {
            ClaimStatus::Paid => {
                order.is_some() && order == claim.payment && payments.as_slice() == order.as_slice()
            }
            ClaimStatus::Refunded => order.is_some() && order == claim.payment && payments.is_empty(),
            _ => order.is_none() && payments.is_empty(),
        };
        findings.require(is_right, Invariant::I9, || {
            format!("{:?} is {:?} with order {order:?} and kept {payments:?}", claim.user, claim.status)
        });
    }
    findings.require(orders.is_empty() && kept.is_empty(), Invariant::I9, || {
        format!("{} orders and {} payments of people without a claim", orders.len(), kept.len())
    });
}

#[cfg(test)]
mod tests;
