//! How changes of claims are written: the rows and their events, in a handful of statements however many they are.

use std::collections::HashMap;

use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::ids::{PaymentId, UserId};
use miaosha_domain::time::Timestamp;

use super::script::{List, Rows, Script};

pub(super) const INSERT: &str = "INSERT INTO claims (sale, user, status, rev, seq, quantity, deadline, hold_until, payment, restocked) VALUES ?";
/// By the primary key, whatever the server believes of other indexes: they would lead it over claims of others, which it
/// would lock on its way.
pub(super) const UPDATE: &str = "UPDATE claims FORCE INDEX (PRIMARY) \
     SET status = ?, rev = ?, deadline = ?, hold_until = ?, payment = ?, restocked = ? \
     WHERE sale = ? AND user IN (?) AND rev = ?";
pub(super) const INSERT_EVENTS: &str =
    "INSERT INTO claim_events (sale, user, rev, from_status, to_status, quantity, at) VALUES ?";

/// What claims become that are changed alike.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Alike {
    status: ClaimStatus,
    rev: u64,
    deadline: Option<Timestamp>,
    hold_until: Option<Timestamp>,
    payment: Option<PaymentId>,
    restocked: bool,
}

/// Adds the statements that write changes of one sale, as of `at`. They fail with a duplicate of the primary key, or
/// find too few rows, if a row is not at the `rev` before.
pub(super) fn add(script: &mut Script, changes: &[ClaimChange], at: Timestamp) {
    let Some(first) = changes.first() else { return };
    let sale = first.claim.sale;
    let (mut made, mut events) = (Rows::default(), Rows::default());
    let mut changed: HashMap<Alike, Vec<UserId>> = HashMap::new();
    for ClaimChange { from, claim } in changes {
        let Claim { user, status, rev, seq, quantity, deadline, hold_until, payment, restocked, .. } = *claim;
        events.add(&[&sale, &user, &rev, from, &status, &quantity, &at]);
        if from.is_none() {
            made.add(&[
                &sale,
                &user,
                &status,
                &rev,
                &seq,
                &quantity,
                &deadline,
                &hold_until,
                &payment,
                &restocked,
            ]);
        } else {
            let alike = Alike { status, rev, deadline, hold_until, payment, restocked };
            changed.entry(alike).or_default().push(user);
        }
    }
    if !made.is_empty() {
        script.add(INSERT, &[&made]);
    }
    for (alike, users) in &changed {
        let Alike { status, rev, deadline, hold_until, payment, restocked } = alike;
        script.add_finding(
            users.len(),
            UPDATE,
            &[status, rev, deadline, hold_until, payment, restocked, &sale, &List(users), &(rev - 1)],
        );
    }
    script.add(INSERT_EVENTS, &[&events]);
}
