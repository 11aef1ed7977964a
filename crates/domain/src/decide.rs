//! Who gets the unit: the one rule for a batch of buy requests.

use std::collections::HashMap;

use crate::claim::{Claim, ClaimChange, ClaimStatus};
use crate::ids::{SaleId, UserId};
use crate::sale::{Book, SaleState, Terms};
use crate::time::Timestamp;

/// A person asks for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Who.
    pub user: UserId,
    /// How many units; 1 for now.
    pub quantity: u32,
}

/// What became of one person's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The person has this claim, made now or earlier.
    Claimed(Claim),
    /// No unit and no standby. Leaves no row: if units come back, a later request is decided anew.
    Rejected(UserId),
}

impl Answer {
    /// Whom it answers.
    pub const fn user(&self) -> UserId {
        match self {
            Self::Claimed(claim) => claim.user,
            Self::Rejected(user) => *user,
        }
    }
}

/// What to do with a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The sale is paused and has not ended: keep the batch for later, nothing changes.
    Parked,
    /// Decided: one answer for each request, in the order of the batch, and the rows to write.
    Decided {
        /// One for each request, in order; a person who is in the batch twice has the same answer twice.
        answers: Vec<Answer>,
        /// The claims made, in the order of `seq`.
        made: Vec<ClaimChange>,
    },
}

impl Decision {
    /// Whether everybody in the batch has a claim by it.
    pub fn gives_everybody_a_claim(&self) -> bool {
        match self {
            Self::Parked => false,
            Self::Decided { answers, .. } => {
                answers.iter().all(|answer| matches!(answer, Answer::Claimed(_)))
            }
        }
    }
}

/// Decides a batch under the sale's lock.
///
/// `existing` holds the claims of the batch's people, read after the lock was taken; or it is empty because nobody is
/// thought to have one, and then the commit must refuse if somebody has. Whoever has one keeps it. Each of the others, in
/// the order of the batch, gets a reservation while a unit is free and nobody stands by, else standby while that is open,
/// else a rejection. The window is not judged here: what was accepted in time is decided however late. After a close
/// everybody without a claim is rejected. A pause ends with the sale: it could not be resumed any more, and what was
/// parked would stay so for ever.
///
/// `book` is changed, with a new version, only if a claim is made. Deciding the same batch again, with the claims it
/// made in `existing`, changes nothing and answers the same (but for rejections when units have come back).
pub fn decide(
    sale: SaleId,
    terms: &Terms,
    book: &mut Book,
    batch: &[Ask],
    existing: &HashMap<UserId, Claim>,
    now: Timestamp,
) -> Decision {
    if book.state(terms, now) == SaleState::Paused {
        return Decision::Parked;
    }
    let standby_is_over = book.standby_over || now >= terms.standby_ends_at();
    let mut made: Vec<ClaimChange> = Vec::new();
    let mut made_for: HashMap<UserId, Claim> = HashMap::new();
    let mut answers = Vec::with_capacity(batch.len());
    for ask in batch {
        let known = existing.get(&ask.user).or_else(|| made_for.get(&ask.user));
        if let Some(claim) = known {
            answers.push(Answer::Claimed(*claim));
            continue;
        }
        let Some(claim) = admit(sale, terms, book, standby_is_over, *ask, now) else {
            answers.push(Answer::Rejected(ask.user));
            continue;
        };
        made.push(ClaimChange { from: None, claim });
        made_for.insert(ask.user, claim);
        answers.push(Answer::Claimed(claim));
    }
    if !made.is_empty() {
        book.version += 1;
    }
    Decision::Decided { answers, made }
}

/// The claim of a newcomer, counted in the book; `None` is a rejection.
fn admit(
    sale: SaleId,
    terms: &Terms,
    book: &mut Book,
    standby_is_over: bool,
    ask: Ask,
    now: Timestamp,
) -> Option<Claim> {
    if book.closed {
        return None;
    }
    let has_unit = book.free() >= ask.quantity && !book.serves_standby();
    let may_stand_by = book.standby_open && !book.all_paid && !standby_is_over;
    let status = match (has_unit, may_stand_by) {
        (true, _) => ClaimStatus::Reserved,
        (false, true) => ClaimStatus::Standby,
        (false, false) => return None,
    };
    let seq = book.next_seq;
    book.next_seq += 1;
    match status {
        ClaimStatus::Reserved => book.taken += ask.quantity,
        _ => book.standing += ask.quantity,
    }
    book.turn_standby(terms);
    let deadline = (status == ClaimStatus::Reserved).then(|| now + terms.hold);
    Some(Claim {
        sale,
        user: ask.user,
        status,
        rev: 1,
        seq,
        quantity: ask.quantity,
        deadline,
        hold_until: deadline,
        payment: None,
        restocked: false,
    })
}

#[cfg(test)]
mod tests;
