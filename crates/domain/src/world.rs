//! A sale in memory, for the tests of the rules: rows and history as a store would keep them, moved by the real rules.
//!
//! After every commit it is audited, and checked once more by sentences written without a look at the rules. Random
//! histories of it are in [`properties`].

mod line;
mod properties;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::audit::{Broken, ClaimEvent, OrderFact, Snapshot, audit};
use crate::claim::{Claim, ClaimChange, ClaimStatus};
use crate::decide::{Answer, Ask, Decision, decide};
use crate::ids::{PaymentId, SaleId, UserId};
use crate::money::Money;
use crate::payment::{self, CheckOutError, Payment, PaymentStatus};
use crate::sale::{self, AddStockError, Book, Terms};
use crate::settle::{
    CHANGES_MAX, ENDS_MAX, GiveUpError, Outlook, Settled, Standing, give_up, has_work, restock,
    settle as settle_rule,
};
use crate::time::Timestamp;

pub(crate) const HOLD: Duration = Duration::from_secs(10);
pub(crate) const LEASE: Duration = Duration::from_secs(4);
pub(crate) const LASTS: Duration = Duration::from_mins(1);
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// The person with this number.
pub(crate) fn user(number: u64) -> UserId {
    UserId::new(number).unwrap()
}

/// One sale and everything it wrote.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) sale: SaleId,
    pub(crate) terms: Terms,
    pub(crate) book: Book,
    pub(crate) now: Timestamp,
    pub(crate) claims: BTreeMap<UserId, Claim>,
    pub(crate) events: Vec<ClaimEvent>,
    pub(crate) orders: Vec<OrderFact>,
    pub(crate) payments: BTreeMap<PaymentId, Payment>,
}

impl World {
    /// A sale that has just opened.
    pub(crate) fn new(stock: u32, standby_limit: u32) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        let terms =
            Terms { starts_at: now, ends_at: now + LASTS, hold: HOLD, standby_limit, standby_grace: GRACE };
        Self {
            sale: SaleId::new(1).unwrap(),
            terms,
            book: Book::new(stock, &terms),
            now,
            claims: BTreeMap::new(),
            events: Vec::new(),
            orders: Vec::new(),
            payments: BTreeMap::new(),
        }
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    /// Decides the requests of these people; `None` if they were parked.
    pub(crate) fn decide(&mut self, users: &[u64]) -> Option<Vec<Answer>> {
        let batch: Vec<Ask> = users.iter().map(|&number| Ask { user: user(number), quantity: 1 }).collect();
        let existing: HashMap<UserId, Claim> = batch
            .iter()
            .filter_map(|ask| self.claims.get(&ask.user))
            .map(|claim| (claim.user, *claim))
            .collect();
        let mut book = self.book;
        match decide(self.sale, &self.terms, &mut book, &batch, &existing, self.now) {
            Decision::Parked => None,
            Decision::Decided { answers, made } => {
                assert_eq!(made.is_empty(), book == self.book, "the book changes only if a claim is made");
                self.commit(book, &made);
                let asked: Vec<UserId> = answers.iter().map(Answer::user).collect();
                assert!(asked.iter().eq(batch.iter().map(|ask| &ask.user)), "one answer each, in order");
                Some(answers)
            }
        }
    }

    /// What a store reads before settling, within its bounds.
    pub(crate) fn standing(&self) -> Standing {
        let mut due: Vec<Claim> =
            self.claims.values().filter(|claim| claim.is_due(self.now)).copied().collect();
        due.sort_by_key(|claim| claim.hold_until);
        due.truncate(ENDS_MAX);
        let mut heads = self.with_status(ClaimStatus::Standby);
        heads.truncate(CHANGES_MAX);
        let holding = self.claims.values().filter(|claim| claim.status.is_holding()).count() as u64;
        Standing { due, heads, holding }
    }

    /// What a store tells without the lock.
    pub(crate) fn outlook(&self) -> Outlook {
        let reserved = self.with_status(ClaimStatus::Reserved);
        Outlook {
            first_end: reserved.iter().filter_map(|claim| claim.hold_until).min(),
            is_holding: self.claims.values().any(|claim| claim.status.is_holding()),
        }
    }

    /// Whether a sweep would settle it.
    pub(crate) fn has_work(&self) -> bool {
        has_work(&self.terms, &self.book, self.outlook(), self.now)
    }

    /// One transaction of settling.
    pub(crate) fn settle_once(&mut self) -> Settled {
        let mut book = self.book;
        let settled = settle_rule(&self.terms, &mut book, self.standing(), self.now);
        if !self.has_work() {
            assert!(settled.changes.is_empty() && book == self.book, "there was something to do");
        }
        self.commit_settled(book, &settled);
        settled
    }

    /// Settles until nothing more is due; the number of transactions.
    pub(crate) fn settle(&mut self) -> usize {
        let transactions_max = 3 + self.claims.len() / 100 + self.book.incoming as usize / 100;
        (1..=transactions_max).find(|_| !self.settle_once().more).expect("settling comes to an end")
    }

    pub(crate) fn give_up(&mut self, number: u64, rev: Option<u64>) -> Result<(), GiveUpError> {
        let claim = self.claims[&user(number)];
        let mut book = self.book;
        let settled = give_up(&self.terms, &mut book, claim, self.standing(), rev, self.now);
        if settled.is_err() {
            assert_eq!(book, self.book, "a refusal changes nothing");
        }
        self.commit_settled(book, &settled?);
        Ok(())
    }

    /// Begins a payment, under a new id.
    pub(crate) fn begin(&mut self, number: u64) -> Result<PaymentId, CheckOutError> {
        let id = PaymentId::new(self.payments.len() as u64 + 1).unwrap();
        let change = payment::begin(self.claims[&user(number)], id, LEASE, self.now)?;
        let started = Payment {
            id,
            sale: self.sale,
            user: user(number),
            amount: Money::from_minor(100, "USD".parse().unwrap()).unwrap(),
            status: PaymentStatus::Started,
            started_at: self.now,
            lease_until: self.now + LEASE,
        };
        self.payments.insert(id, started);
        self.commit(self.book, &[change]);
        Ok(id)
    }

    /// The provider has set the money aside; whether the claim was sold for it.
    pub(crate) fn succeed(&mut self, id: PaymentId) -> bool {
        let owner = self.payments[&id].user;
        if self.payments[&id].status.is_final() {
            return false;
        }
        let Some(change) = payment::succeed(self.claims[&owner], id) else {
            return false;
        };
        self.set_payment(id, PaymentStatus::CaptureDue);
        self.orders.push(OrderFact { user: owner, payment: id });
        self.commit(self.book, &[change]);
        true
    }

    /// The payment was declined, or its lease ended; whether its claim went back.
    pub(crate) fn fail(&mut self, id: PaymentId) -> bool {
        let Some(change) = payment::fail(self.claims[&self.payments[&id].user], id) else { return false };
        self.set_payment(id, PaymentStatus::Declined);
        self.commit(self.book, &[change]);
        true
    }

    /// Begins a payment and pays.
    pub(crate) fn pay(&mut self, number: u64) {
        let id = self.begin(number).expect("the claim is reserved");
        assert!(self.succeed(id));
        self.set_payment(id, PaymentStatus::Captured);
    }

    /// Gives the money of a paid claim back; whether there was any.
    pub(crate) fn refund(&mut self, number: u64) -> bool {
        let claim = self.claims[&user(number)];
        let Some(change) = payment::refund(claim) else { return false };
        self.set_payment(claim.payment.unwrap(), PaymentStatus::RefundDue);
        self.commit(self.book, &[change]);
        true
    }

    /// Puts the unit of a refunded claim back; whether it was out.
    pub(crate) fn restock(&mut self, number: u64) -> bool {
        let mut book = self.book;
        let claim = self.claims[&user(number)];
        let Some(settled) = restock(&self.terms, &mut book, claim, self.standing(), self.now) else {
            assert_eq!(book, self.book);
            return false;
        };
        self.commit_settled(book, &settled);
        true
    }

    /// Adds stock and settles once, in one transaction, as the use case does.
    pub(crate) fn add_stock(&mut self, units: u32) -> Result<Settled, AddStockError> {
        let mut book = self.book;
        sale::add_stock(&self.terms, &mut book, units, self.now)?;
        let settled = settle_rule(&self.terms, &mut book, self.standing(), self.now);
        self.commit_settled(book, &settled);
        Ok(settled)
    }

    /// Closes and settles once, in one transaction, as the use case does.
    pub(crate) fn close(&mut self) -> Settled {
        let mut book = self.book;
        sale::close(&mut book);
        let settled = settle_rule(&self.terms, &mut book, self.standing(), self.now);
        self.commit_settled(book, &settled);
        settled
    }

    pub(crate) fn status(&self, number: u64) -> Option<ClaimStatus> {
        self.claims.get(&user(number)).map(|claim| claim.status)
    }

    /// The claims with this status, by `seq`.
    pub(crate) fn with_status(&self, status: ClaimStatus) -> Vec<Claim> {
        let mut claims: Vec<Claim> =
            self.claims.values().filter(|claim| claim.status == status).copied().collect();
        claims.sort_by_key(|claim| claim.seq);
        claims
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            sale: self.sale,
            terms: self.terms,
            book: self.book,
            claims: self.claims.values().copied().collect(),
            events: self.events.clone(),
            orders: self.orders.clone(),
            payments: self.payments.values().copied().collect(),
        }
    }

    fn set_payment(&mut self, id: PaymentId, status: PaymentStatus) {
        self.payments.get_mut(&id).expect("the payment was begun").status = status;
    }

    fn commit_settled(&mut self, book: Book, settled: &Settled) {
        assert!(settled.changes.len() <= CHANGES_MAX, "{} changes", settled.changes.len());
        let holding = |claim: &&Claim| claim.status.is_holding();
        self.commit(book, &settled.changes);
        let is_all_paid = book.stock == book.taken
            && book.incoming == 0
            && self.claims.values().filter(holding).count() == 0;
        assert_eq!(book.all_paid, is_all_paid);
    }

    /// Writes rows as a store does, each only over the `rev` before it, and checks everything.
    fn commit(&mut self, book: Book, changes: &[ClaimChange]) {
        let before = std::mem::replace(&mut self.book, book);
        assert_eq!(
            book.version > before.version,
            book != before,
            "a change, and only that, is a new version"
        );
        let mut written = BTreeSet::new();
        for change in changes {
            let claim = change.claim;
            assert!(written.insert(claim.user), "{:?} is written twice", claim.user);
            let row = self.claims.insert(claim.user, claim);
            assert_eq!(row.map_or(0, |row| row.rev) + 1, claim.rev);
            assert_eq!(row.map(|row| row.status), change.from);
            assert!(row.is_none_or(|row| row.seq == claim.seq), "the seq never changes");
            self.events.push(ClaimEvent {
                id: self.events.len() as u64 + 1,
                sale: self.sale,
                user: claim.user,
                rev: claim.rev,
                from: change.from,
                to: claim.status,
                quantity: claim.quantity,
                at: self.now,
            });
        }
        self.check(&before);
    }

    fn check(&self, before: &Book) {
        assert_eq!(audit(&self.snapshot()), Vec::<Broken>::new());
        let book = &self.book;
        let free = book.stock.checked_sub(book.taken).expect("nothing is promised beyond the stock");
        if free > 0 && !book.standby_over {
            assert_eq!(book.standing, 0, "a free unit and a standing-by person do not coexist");
        }
        let mut is_open = before.standby_open || free > 0;
        if book.standing >= self.terms.standby_limit || book.standby_over {
            is_open = false;
        }
        assert_eq!(book.standby_open, is_open, "open if a unit is free, closed if full, else as it was");
        assert!(book.standby_over || !before.standby_over, "standby is over for good");
        assert!(book.serving_seq >= before.serving_seq, "standby is served by seq");
        assert!(!(book.all_paid && free > 0));
        for claim in self.claims.values().filter(|claim| claim.status.is_holding()) {
            assert!(claim.deadline.is_some() && claim.hold_until >= claim.deadline);
        }
    }
}
