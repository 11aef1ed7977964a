//! Judges what anybody is told: by the bus, by an answer, by a push. And what the queue and the provider are told.

use std::time::Duration;

use miaosha_app::board::{CLAIMS_CURRENT, SOLD_OUT_TRUSTED};
use miaosha_app::look_up_claim::{ClaimView, PersonalStanding};
use miaosha_app::model::{DatedBook, Outcomes, RequestBatch};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{PaymentId, UserId};
use miaosha_domain::payment::ProviderState;
use miaosha_domain::sale::Book;

use super::super::coverage::Mark;
use super::super::plan::SKEW_MAX;
use super::super::world::{DELAY_MAX, STALL_MAX, State};
use super::{Promise, Shown};

/// How old what a node says may be beyond what it trusts: its clock may be slow, and it may stand still between judging and
/// answering. What reaches it late is dated.
const HELD_UP_MAX: Duration = SKEW_MAX.saturating_add(STALL_MAX);
/// For how long a node may refuse newcomers by a book that is not the newest.
const SOLD_OUT_LAG_MAX: Duration = SOLD_OUT_TRUSTED.saturating_add(HELD_UP_MAX);
/// For how long a node may refuse newcomers without having heard of anything.
const SILENCE_MAX: Duration = SOLD_OUT_TRUSTED.saturating_add(DELAY_MAX).saturating_add(STALL_MAX);
/// For how long a look-up may not know that somebody has a claim: having found none in memory, it still asks the gate.
const MEMORY_LAG_MAX: Duration = CLAIMS_CURRENT.saturating_add(HELD_UP_MAX).saturating_add(DELAY_MAX);

/// What a look-up must at least find.
pub(in super::super) struct Expected {
    rev: u64,
    place: Option<u64>,
    /// Whether the claim was made before the book that the node has heard of.
    is_known: bool,
}

impl State {
    /// Somebody is told of a claim.
    pub(in super::super) fn hear_told(&mut self, claim: &Claim, by: &'static str) {
        let is_committed = self.auditor.is_committed(claim);
        self.require(is_committed, Promise::I4, || {
            format!("{by} tells of {claim:?}, which is not committed")
        });
    }

    /// Somebody is told of a rejection without a row, by a node that heard of it.
    pub(in super::super) fn hear_told_rejected(&mut self, user: UserId, by: &'static str) {
        let is_known = self.auditor.rejected_in.contains_key(&user);
        self.require(is_known, Promise::I4, || format!("{by} rejects {user:?}, whom nobody rejected"));
    }

    /// A process tells all others.
    pub(in super::super) fn hear_outcomes(&mut self, outcomes: &Outcomes, process: usize) {
        self.note(|| format!("process {process} announces {outcomes:?}"));
        for claim in &outcomes.claims {
            self.hear_told(claim, "the bus");
        }
        let Some(DatedBook { book, as_of }) = outcomes.book else {
            for user in &outcomes.rejected {
                self.hear_told_rejected(*user, "the bus");
            }
            return;
        };
        let known = self.auditor.books.get(&book.version).filter(|(known, _)| *known == book);
        let superseded_at = known.and_then(|(_, superseded_at)| *superseded_at);
        let is_known = known.is_some();
        self.require(is_known, Promise::I4, || format!("the bus tells of {book:?}, which is not committed"));
        self.require(superseded_at.is_none_or(|at| as_of <= at), Promise::I3, || {
            format!("the bus dates {book:?} {as_of:?}, which was superseded at {superseded_at:?}")
        });
        let terms = self.plan.sale.terms;
        let is_over = book.standby_over || self.now >= terms.ends_at + terms.standby_grace;
        let has_room = book.taken < book.stock || (book.standby_open && !book.all_paid && !is_over);
        self.require(outcomes.rejected.is_empty() || book.closed || !has_room, Promise::I5, || {
            format!("{:?} are rejected with room: {book:?}", outcomes.rejected)
        });
        for user in &outcomes.rejected {
            // A claim with a lower seq existed when this book was committed: the rejection was wrong then already.
            let claim = self.auditor.latest(*user);
            let was_there = claim.is_some_and(|claim| claim.seq < book.next_seq);
            self.require(!was_there, Promise::I3, || format!("{user:?} is rejected, with {claim:?}"));
            self.auditor.rejected_in.insert(*user, self.step);
            self.mark(Mark::NewcomerRejected);
        }
    }

    /// The gate refuses somebody, and has it on record. It may be wrong, as it may be late: who has a claim keeps it,
    /// and whose request is decided in spite of it is told so.
    pub(in super::super) fn hear_refused(&mut self, user: UserId) {
        self.auditor.rejected_in.insert(user, self.step);
        self.mark(Mark::NewcomerRefused);
    }

    /// A process read something, or heard of something.
    pub(in super::super) fn hear_contact(&mut self, process: usize) {
        self.auditor.contacts.insert(process, self.now);
    }

    /// A node answers by this book: never by an older one than before.
    pub(in super::super) fn hear_board(&mut self, process: usize, version: u64) {
        let incarnation = self.processes.incarnation(process);
        let before = self.auditor.boards.insert((process, incarnation), version);
        self.require(before <= Some(version), Promise::I3, || {
            format!("process {process} goes back from version {before:?} to {version}")
        });
    }

    /// A node refuses a newcomer from memory, having heard of `book`.
    pub(in super::super) fn hear_sold_out(&mut self, process: usize, user: UserId, book: &Book) {
        let contact_at = self.auditor.contacts.get(&process).copied();
        let is_in_touch = contact_at.is_some_and(|at| self.now.saturating_since(at) <= SILENCE_MAX);
        self.require(is_in_touch, Promise::I3, || {
            format!("process {process} refuses {user:?}, having heard nothing since {contact_at:?}")
        });
        let is_sold_out = book.all_paid || (book.stock == book.taken && !book.standby_open);
        self.require(is_sold_out, Promise::I3, || format!("{user:?} is told sold out by {book:?}"));
        let claim = self.auditor.latest(user);
        let was_there = claim.is_some_and(|claim| claim.seq < book.next_seq);
        self.require(!was_there, Promise::I3, || {
            format!("{user:?} is told sold out by {book:?}, with {claim:?}")
        });
        let superseded_at =
            self.auditor.books.get(&book.version).and_then(|(_, superseded_at)| *superseded_at);
        let is_recent = superseded_at.is_none_or(|at| self.now.saturating_since(at) <= SOLD_OUT_LAG_MAX);
        self.require(is_recent, Promise::I3, || {
            format!("{user:?} is told sold out by {book:?}, which was superseded at {superseded_at:?}")
        });
    }

    /// A 202 goes out.
    pub(in super::super) fn hear_accepted(&mut self, user: UserId) {
        let is_durable = self.auditor.durable_in.contains_key(&user);
        self.require(is_durable, Promise::I8, || format!("{user:?} is told queued, and is not"));
    }

    /// A person has a 202 in hand, and so a right to an outcome.
    pub(in super::super) fn hear_202(&mut self, user: UserId) {
        self.auditor.accepted.insert(user);
    }

    /// A look-up begins at a node that has heard of `book`: what it must at least find.
    pub(in super::super) fn expect_look_up(&self, user: UserId, book: &Book) -> Expected {
        let claim = self.store.claim(user);
        Expected {
            rev: claim.map_or(0, |claim| claim.rev),
            place: self.place_of(user),
            is_known: claim.is_some_and(|claim| claim.seq < book.next_seq),
        }
    }

    /// The place in standby of a person who stands by, from 1.
    fn place_of(&self, user: UserId) -> Option<u64> {
        let claim = self.auditor.latest(user).filter(|claim| claim.status == ClaimStatus::Standby)?;
        Some(self.auditor.standing.range(..=claim.seq).count() as u64)
    }

    /// A look-up is answered.
    pub(in super::super) fn hear_look_up(&mut self, user: UserId, before: &Expected, view: &ClaimView) {
        let standing = &view.standing;
        match standing {
            PersonalStanding::Claim(claim) => self.hear_told(claim, "a look-up"),
            PersonalStanding::Rejected => self.hear_told_rejected(user, "a look-up"),
            PersonalStanding::None | PersonalStanding::Queued => {}
        }
        let rev = standing.rev();
        // That there is no claim may be answered from memory, by a node that knows every claim of the book it has heard
        // of; a claim is read.
        let made_at = self.auditor.made_at.get(&user).copied();
        let is_new = made_at.is_some_and(|at| self.now.saturating_since(at) <= MEMORY_LAG_MAX);
        let is_excused = rev == 0 && is_new && !before.is_known;
        self.require(rev >= before.rev || is_excused, Promise::I3, || {
            format!("{user:?} looks up rev {}, made at {made_at:?}, and is told {standing:?}", before.rev)
        });
        // Whoever stands by only ever moves ahead.
        let place_now = self.place_of(user);
        let is_in_line = match (view.position, before.place) {
            (Some(told), Some(place)) => told <= place && place_now.is_none_or(|now| now <= told),
            _ => true,
        };
        self.require(is_in_line, Promise::I5, || {
            format!("{user:?} goes from {:?} to {place_now:?} and is told {:?}", before.place, view.position)
        });
        let status = match standing {
            PersonalStanding::Claim(claim) => Some(claim.status),
            _ => None,
        };
        let is_whole = match status {
            Some(ClaimStatus::Paid | ClaimStatus::Refunded) => view.order.is_some(),
            Some(ClaimStatus::Standby) => view.position.is_some(),
            _ => true,
        };
        self.require(is_whole, Promise::I7, || format!("{user:?} is told only a part: {view:?}"));
        self.mark(match standing {
            PersonalStanding::None => Mark::LookedNone,
            PersonalStanding::Queued => Mark::LookedQueued,
            PersonalStanding::Rejected => Mark::LookedRejected,
            PersonalStanding::Claim(_) => Mark::LookedClaim,
        });
    }

    /// A device shows something else.
    pub(in super::super) fn hear_shown(&mut self, user: UserId, device: u8, shown: Shown) {
        self.note(|| format!("{user:?} sees on device {device}: {shown:?}"));
        self.auditor.shown.insert((user, device), shown);
    }

    /// A batch is durable in the queue.
    pub(in super::super) fn hear_durable(&mut self, batch: &RequestBatch) {
        self.note(|| format!("durable: {:?}", batch.asks));
        for ask in &batch.asks {
            self.auditor.durable_in.insert(ask.user, self.step);
        }
    }

    /// A batch that was handed out in step `handed_out_at` is acknowledged: each of its people must have a claim, or
    /// must have been rejected, aloud, since.
    pub(in super::super) fn hear_ack(&mut self, batch: &RequestBatch, handed_out_at: u64) {
        for ask in &batch.asks {
            let has_claim = self.auditor.history.contains_key(&ask.user);
            let rejected_in = self.auditor.rejected_in.get(&ask.user);
            let is_rejected = rejected_in.is_some_and(|step| *step >= handed_out_at);
            self.require(has_claim || is_rejected, Promise::I8, || {
                format!("the request of {:?} is acknowledged, and not decided", ask.user)
            });
        }
    }

    /// A batch is put aside for a human.
    pub(in super::super) fn hear_discard(&mut self, batch: &RequestBatch) {
        let poison = self.auditor.poison;
        let is_poison = batch.asks.len() == 1 && poison == Some(batch.asks[0].user);
        self.require(is_poison, Promise::I8, || format!("{:?} is put aside for no reason", batch.asks));
    }

    /// The provider moves money.
    pub(in super::super) fn hear_money(
        &mut self,
        payment: PaymentId,
        before: ProviderState,
        after: ProviderState,
    ) {
        self.note(|| format!("the provider: {payment:?} {before:?} -> {after:?}"));
        let rows = &self.store.rows;
        let claim = rows.claims.iter().find(|claim| claim.payment == Some(payment)).copied();
        let status = claim.map(|claim| claim.status);
        let is_right = match after {
            ProviderState::Captured => {
                matches!(status, Some(ClaimStatus::Paid | ClaimStatus::Refunded))
            }
            ProviderState::Voided | ProviderState::Refunded => status != Some(ClaimStatus::Paid),
            _ => true,
        };
        self.require(is_right, Promise::I9, || {
            format!("{payment:?} goes from {before:?} to {after:?}, with {claim:?}")
        });
    }
}
