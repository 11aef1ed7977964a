//! Judges each commit against a ledger kept apart from the rows: which changes a claim may make, who is next, and what
//! the sale's row must add up to.

use miaosha_domain::audit::audit;
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;

use super::super::coverage::Mark;
use super::super::world::State;
use super::Promise;

use ClaimStatus::{Expired, Left, Paid, Paying, Refunded, Rejected, Released, Reserved, Standby};

impl State {
    /// A transaction was committed: `is_under_lock` if it held the sale's lock.
    pub(in super::super) fn hear_commit(
        &mut self,
        before: Book,
        is_under_lock: bool,
        changes: &[ClaimChange],
        now: Timestamp,
    ) {
        for change in changes {
            self.judge_change(change, &before, is_under_lock, now);
        }
        self.judge_book(&before);
        self.recount();
        let broken = audit(&self.store.rows);
        if let Some(first) = broken.into_iter().next() {
            self.require(false, first.invariant.into(), || format!("the product's audit: {}", first.detail));
        }
    }

    fn judge_change(&mut self, change: &ClaimChange, before: &Book, is_under_lock: bool, now: Timestamp) {
        let claim = change.claim;
        let known = self.auditor.latest(claim.user);
        self.note(|| format!("{:?} {:?} -> {:?}", claim.user, change.from, claim));
        match known {
            None => self.judge_newcomer(&claim, before, now),
            Some(known) => {
                self.require(change.from.is_some(), Promise::I2, || {
                    format!("{:?} has {known:?} and is given {claim:?}", claim.user)
                });
                self.judge_step(&known, change, is_under_lock, now);
            }
        }
        let actual = known.map(|known| known.status);
        self.require(change.from == actual, Promise::I4, || {
            format!("{:?} is changed from {:?}, but was {actual:?}", claim.user, change.from)
        });
        let rev = known.map_or(0, |known| known.rev);
        self.require(claim.rev == rev + 1, Promise::I4, || {
            format!("{:?} goes from rev {rev} to {}", claim.user, claim.rev)
        });
        if let Some(mark) = mark_of(actual, claim.status) {
            self.mark(mark);
        }
        match claim.status {
            Standby => self.auditor.standing.insert(claim.seq),
            _ => self.auditor.standing.remove(&claim.seq),
        };
        self.auditor.changed_at.insert(claim.user, self.now);
        self.auditor.history.entry(claim.user).or_default().push(claim);
    }

    fn judge_newcomer(&mut self, claim: &Claim, before: &Book, now: Timestamp) {
        let terms = self.plan.sale.terms;
        let standing = self.auditor.standing.len();
        let expected_seq = self.auditor.next_seq;
        self.require(claim.seq == expected_seq, Promise::I2, || {
            format!("{claim:?} should have seq {expected_seq}")
        });
        self.require(!before.closed, Promise::I5, || format!("{claim:?} was made after the close"));
        match claim.status {
            Reserved => {
                self.require(standing == 0 || before.standby_over, Promise::I5, || {
                    format!("{claim:?} is given a unit while {standing} stand by")
                });
                let deadline = Some(now + terms.hold);
                self.require(claim.deadline == deadline && claim.hold_until == deadline, Promise::I6, || {
                    format!("{claim:?} should be held until {deadline:?}")
                });
            }
            Standby => {
                let is_full = standing >= terms.standby_limit as usize;
                self.require(!is_full, Promise::I5, || format!("{claim:?} stands by beyond the limit"));
                let is_open = before.standby_open && !before.all_paid;
                self.require(is_open, Promise::I5, || {
                    format!("{claim:?} stands by while standby is closed: {before:?}")
                });
                let is_over = before.standby_over || now >= terms.ends_at + terms.standby_grace;
                self.require(!is_over, Promise::I5, || format!("{claim:?} stands by after standby is over"));
            }
            other => self.require(false, Promise::I6, || format!("{:?} begins as {other:?}", claim.user)),
        }
        self.auditor.next_seq += 1;
        self.auditor.made_at.insert(claim.user, self.now);
    }

    fn judge_step(&mut self, known: &Claim, change: &ClaimChange, is_under_lock: bool, now: Timestamp) {
        let claim = change.claim;
        let terms = self.plan.sale.terms;
        if (change.from, claim.status) == (Some(Standby), Reserved) {
            let first = self.auditor.standing.first().copied();
            self.require(first == Some(claim.seq), Promise::I5, || {
                format!("{claim:?} is promoted, but next is {first:?}")
            });
        }
        let is_legal = match (known.status, claim.status) {
            (Standby, Reserved) => {
                is_under_lock
                    && claim.deadline == Some(now + terms.hold)
                    && claim.hold_until == claim.deadline
            }
            (Standby, Left) => is_under_lock,
            (Standby, Rejected) => is_under_lock && (now >= terms.ends_at || self.store.rows.book.closed),
            (Reserved, Expired) => is_under_lock && known.hold_until.is_some_and(|until| until <= now),
            (Reserved, Released) => is_under_lock && known.hold_until.is_some_and(|until| until > now),
            (Reserved, Paying) => {
                let is_in_time = known.deadline.is_some_and(|deadline| now < deadline);
                is_in_time && claim.hold_until >= claim.deadline && claim.payment.is_some()
            }
            (Paying, Paid) => claim.payment == known.payment,
            (Paying, Reserved) => claim.hold_until == known.deadline && claim.payment.is_none(),
            (Paid, Refunded) => claim.payment == known.payment && !claim.restocked,
            (Refunded, Refunded) => is_under_lock && claim.restocked && !known.restocked,
            _ => false,
        };
        self.require(is_legal, Promise::I6, || format!("{known:?} becomes {claim:?} at {now:?}"));
        let is_promoted = known.status == Standby && claim.status == Reserved;
        let is_same = known.seq == claim.seq
            && known.quantity == claim.quantity
            && (is_promoted || known.deadline == claim.deadline);
        self.require(is_same, Promise::I3, || format!("{known:?} turns into {claim:?}"));
    }

    /// What may happen to the sale's row.
    fn judge_book(&mut self, before: &Book) {
        let book = self.store.rows.book;
        if book == *before {
            return;
        }
        self.require(book.version > before.version, Promise::I4, || {
            format!("the book changes without a new version: {before:?} to {book:?}")
        });
        let only_grows = book.stock >= before.stock
            && book.stock + book.incoming >= before.stock + before.incoming
            && book.serving_seq >= before.serving_seq
            && book.closed >= before.closed
            && book.standby_over >= before.standby_over;
        self.require(only_grows, Promise::I1, || format!("the book goes back: {before:?} to {book:?}"));
        self.mark_book(before, &book);
        if let Some((_, superseded_at)) = self.auditor.books.get_mut(&before.version) {
            *superseded_at = Some(self.now);
        }
        self.auditor.books.insert(book.version, (book, None));
    }

    fn mark_book(&mut self, before: &Book, book: &Book) {
        let turns = [
            (!before.paused && book.paused, Mark::SalePaused),
            (before.paused && !book.paused, Mark::SaleResumed),
            (!before.closed && book.closed, Mark::SaleClosed),
            (book.stock > before.stock, Mark::StockAdded),
            (!before.all_paid && book.all_paid, Mark::AllPaidSet),
            (before.all_paid && !book.all_paid, Mark::AllPaidCleared),
            (before.standby_open && !book.standby_open, Mark::StandbyClosed),
            (!before.standby_open && book.standby_open, Mark::StandbyReopened),
            (!before.standby_over && book.standby_over, Mark::StandbyOver),
        ];
        for (_, mark) in turns.into_iter().filter(|(turned, _)| *turned) {
            self.mark(mark);
        }
    }

    /// What the row must say, added up from the claims.
    fn recount(&mut self) {
        let book = self.store.rows.book;
        let claims = &self.store.rows.claims;
        let limit = self.plan.sale.terms.standby_limit;
        let units = |takes: &dyn Fn(&Claim) -> bool| -> u32 {
            claims.iter().filter(|claim| takes(claim)).map(|claim| claim.quantity).sum()
        };
        let taken = units(&|claim| match claim.status {
            Reserved | Paying | Paid => true,
            Refunded => !claim.restocked,
            Standby | Expired | Released | Left | Rejected => false,
        });
        let standing = units(&|claim| claim.status == Standby);
        let holding = units(&|claim| matches!(claim.status, Reserved | Paying));
        let is_same_ledger = claims.len() == self.auditor.history.len();
        let next_seq = self.auditor.next_seq;
        self.require(taken <= book.stock, Promise::I1, || format!("{taken} taken of {}", book.stock));
        self.require(taken == book.taken, Promise::I1, || format!("{taken} taken, the row says {book:?}"));
        self.require(is_same_ledger, Promise::I2, || "a person has two claims".to_owned());
        self.require(book.next_seq == next_seq, Promise::I2, || {
            format!("the next seq is {next_seq}, the row says {book:?}")
        });
        self.require(standing == book.standing, Promise::I5, || {
            format!("{standing} stand by, the row says {book:?}")
        });
        let free = book.stock.saturating_sub(taken);
        self.require(free == 0 || standing == 0 || book.standby_over, Promise::I5, || {
            format!("{free} free while {standing} stand by")
        });
        self.require(!book.all_paid || (free == 0 && holding == 0), Promise::I5, || {
            format!("all paid, with {free} free and {holding} holding")
        });
        let must_be_closed = standing >= limit || book.standby_over;
        let must_be_open = free > 0 && !must_be_closed;
        let is_right = if book.standby_open { !must_be_closed } else { !must_be_open };
        self.require(is_right, Promise::I5, || format!("standby is turned wrongly: {book:?}"));
    }
}

fn mark_of(from: Option<ClaimStatus>, to: ClaimStatus) -> Option<Mark> {
    Some(match (from, to) {
        (None, Reserved) => Mark::ClaimReserved,
        (None, Standby) => Mark::ClaimStoodBy,
        (Some(Standby), Reserved) => Mark::ClaimPromoted,
        (Some(Standby), Left) => Mark::ClaimLeft,
        (Some(Standby), Rejected) => Mark::ClaimRejected,
        (Some(Reserved), Paying) => Mark::ClaimPaying,
        (Some(Reserved), Expired) => Mark::ClaimExpired,
        (Some(Reserved), Released) => Mark::ClaimReleased,
        (Some(Paying), Paid) => Mark::ClaimPaid,
        (Some(Paying), Reserved) => Mark::ClaimBack,
        (Some(Paid), Refunded) => Mark::ClaimRefunded,
        (Some(Refunded), Refunded) => Mark::ClaimRestocked,
        _ => return None,
    })
}
