//! How units come back and who is next: ends, promotions, giving up, restocking.
//!
//! Everything here runs under the sale's lock. No transaction changes more than [`CHANGES_MAX`] claims, and each end
//! is in the same commit as the promotion that it allows, so that after every commit a free unit and a standing-by
//! person do not coexist.

use thiserror::Error;

use crate::claim::{Claim, ClaimChange, ClaimStatus};
use crate::sale::{Book, Terms};
use crate::time::Timestamp;

/// The most claims that one transaction changes.
pub const CHANGES_MAX: usize = 1_000;
/// The most ends of one transaction; as many promotions may follow from them.
pub const ENDS_MAX: usize = CHANGES_MAX / 2;

/// What is read under the lock before settling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Reservations whose `hold_until` has passed, at most [`ENDS_MAX`], the longest due first. They stay as they are
    /// until the transaction ends.
    pub due: Vec<Claim>,
    /// The first of those who stand by, by `seq`: [`CHANGES_MAX`], or all if they are fewer.
    pub heads: Vec<Claim>,
    /// How many claims are reserved or paying: those that are due, and others.
    pub holding: u64,
}

/// What is known of a sale's claims without its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// The first `hold_until` of its reservations.
    pub first_end: Option<Timestamp>,
    /// Whether any claim is reserved or paying.
    pub is_holding: bool,
}

/// What settling did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The claims to write, each once.
    pub changes: Vec<ClaimChange>,
    /// Whether another transaction has more to do at once. Never true of one that did nothing itself.
    pub more: bool,
}

/// Ends what is due, puts incoming stock up, serves standby by `seq`, and ends standby when it is over.
///
/// Idempotent: with nothing due it changes nothing. `book` gets a new version only if it changed.
pub fn settle(terms: &Terms, book: &mut Book, standing: Standing, now: Timestamp) -> Settled {
    let before = *book;
    let is_full = standing.due.len() >= ENDS_MAX;
    let mut work = Settlement::new(book, standing.heads, standing.holding);
    for claim in standing.due {
        debug_assert!(claim.is_due(now));
        work.end(claim, ClaimStatus::Expired);
    }
    work.put_up_incoming();
    work.finish(terms, before, now, is_full)
}

/// Whether [`settle`] may have something to do at `now`. If not, it would change nothing: all that it needs besides the
/// claims that [`Outlook`] tells of is in the book.
pub fn has_work(terms: &Terms, book: &Book, outlook: Outlook, now: Timestamp) -> bool {
    let holding = u64::from(outlook.is_holding);
    let mut after = *book;
    settle(terms, &mut after, Standing { due: Vec::new(), heads: Vec::new(), holding }, now);
    let has_due = outlook.first_end.is_some_and(|end| end <= now);
    let has_heads = after.standing > 0 && (after.standby_over || after.free() > 0);
    has_due || has_heads || after != *book
}

/// Gives up a standby or a reservation.
///
/// A reservation whose hold has already run out ends as `expired`, by [`settle`], and not here.
///
/// # Errors
/// [`GiveUpError`]; nothing is changed.
pub fn give_up(
    terms: &Terms,
    book: &mut Book,
    claim: Claim,
    standing: Standing,
    rev: Option<u64>,
    now: Timestamp,
) -> Result<Settled, GiveUpError> {
    if rev.is_some_and(|rev| rev != claim.rev) {
        return Err(GiveUpError::Changed);
    }
    let end = match claim.status {
        ClaimStatus::Standby => ClaimStatus::Left,
        ClaimStatus::Reserved if claim.is_due(now) => return Err(GiveUpError::Over),
        ClaimStatus::Reserved => ClaimStatus::Released,
        ClaimStatus::Paying => return Err(GiveUpError::PaymentInProgress),
        _ => return Err(GiveUpError::Over),
    };
    let before = *book;
    let heads = standing.heads.into_iter().filter(|head| head.user != claim.user).collect();
    let mut work = Settlement::new(book, heads, standing.holding);
    work.end(claim, end);
    Ok(work.finish(terms, before, now, false))
}

/// Puts the unit of a refunded claim back on sale: to the head of standby while standby is not over, else to `free`.
/// Once per claim; `None` if the claim is not a refunded one whose unit is still out.
pub fn restock(
    terms: &Terms,
    book: &mut Book,
    claim: Claim,
    standing: Standing,
    now: Timestamp,
) -> Option<Settled> {
    if claim.status != ClaimStatus::Refunded || claim.restocked {
        return None;
    }
    let before = *book;
    let mut work = Settlement::new(book, standing.heads, standing.holding);
    work.book.taken -= claim.quantity;
    work.changes.push(Claim { restocked: true, ..claim }.change_to(ClaimStatus::Refunded));
    Some(work.finish(terms, before, now, false))
}

/// Why a claim was not given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GiveUpError {
    /// A payment is under way.
    #[error("a payment is in progress")]
    PaymentInProgress,
    /// The claim has ended, or is about to.
    #[error("the claim is over")]
    Over,
    /// The claim is not at the `rev` that the caller saw.
    #[error("the claim has changed")]
    Changed,
}

/// One transaction's work on a book.
struct Settlement<'a> {
    book: &'a mut Book,
    heads: std::collections::VecDeque<Claim>,
    holding: u64,
    changes: Vec<ClaimChange>,
}

impl<'a> Settlement<'a> {
    fn new(book: &'a mut Book, heads: Vec<Claim>, holding: u64) -> Self {
        Self { book, heads: heads.into(), holding, changes: Vec::new() }
    }

    fn end(&mut self, claim: Claim, end: ClaimStatus) {
        if claim.status == ClaimStatus::Standby {
            self.book.standing -= claim.quantity;
        } else {
            self.book.taken -= claim.quantity;
            // A payment needs no lock of the sale: whoever gives up may have paid between being read and being counted.
            // Then the commit meets a changed row, and nothing of this is written.
            self.holding = self.holding.saturating_sub(1);
        }
        self.changes.push(claim.change_to(end));
    }

    /// Puts up everything if those who stand by fit into this transaction, else as many units as it may promote.
    fn put_up_incoming(&mut self) {
        let room = u32::try_from(ENDS_MAX.saturating_sub(self.changes.len())).unwrap_or(u32::MAX);
        let is_crowded = self.book.serves_standby() && self.book.standing > room;
        let units = if is_crowded { self.book.incoming.min(room) } else { self.book.incoming };
        self.book.incoming -= units;
        self.book.stock += units;
    }

    /// Serves standby, ends it when it is over, and turns the flags.
    fn finish(mut self, terms: &Terms, before: Book, now: Timestamp, is_full: bool) -> Settled {
        self.book.standby_over |= now >= terms.standby_ends_at();
        self.serve_standby(terms, now);
        self.end_standby(terms, now);
        let nothing_can_come_back = self.book.free() == 0 && self.book.incoming == 0 && self.holding == 0;
        self.book.all_paid = nothing_can_come_back;
        self.book.turn_standby(terms);
        let is_ending_standby = self.book.standby_over && self.book.standing > 0;
        let has_rest = is_full || self.book.incoming > 0 || is_ending_standby;
        let has_progressed = *self.book != before;
        if has_progressed {
            self.book.version += 1;
        }
        Settled { more: has_rest && has_progressed, changes: self.changes }
    }

    fn serve_standby(&mut self, terms: &Terms, now: Timestamp) {
        while self.book.serves_standby() {
            let free = self.book.free();
            let Some(head) = self.heads.pop_front_if(|head| head.quantity <= free) else { break };
            self.book.standing -= head.quantity;
            self.book.taken += head.quantity;
            self.book.serving_seq = head.seq;
            self.holding += 1;
            self.changes.push(head.promote(now, terms.hold));
        }
    }

    /// After the end, standby goes on while something is reserved or paying (and never beyond its grace).
    fn end_standby(&mut self, terms: &Terms, now: Timestamp) {
        let nothing_comes_back = self.holding == 0 && self.book.incoming == 0;
        self.book.standby_over |= now >= terms.ends_at && nothing_comes_back;
        while self.book.standby_over && self.changes.len() < CHANGES_MAX {
            let Some(head) = self.heads.pop_front() else { break };
            self.book.standing -= head.quantity;
            self.changes.push(head.change_to(ClaimStatus::Rejected));
        }
    }
}

#[cfg(test)]
mod tests;
