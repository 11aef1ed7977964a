//! The simulated database: one sale's committed rows, the locks, and the one place where anything is written.
//!
//! It promises what the ports promise and no more: READ COMMITTED, a lock for the sale and one for each claim, writes
//! that depend on the `rev` of the row, transactions that may be killed. Reads are in [`reads`], transactions in
//! [`transactions`].

mod locks;
mod reads;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use miaosha_app::model::{Order, Shipping};
use miaosha_domain::audit::{ClaimEvent, OrderFact, Snapshot};
use miaosha_domain::claim::{Claim, ClaimChange};
use miaosha_domain::ids::{PaymentId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::sale::{Book, Sale};
use miaosha_domain::time::Timestamp;

use super::sabotage::Sabotage;
use super::world::{State, World};

use locks::{Held, Locks};

/// What is committed, and who holds which lock.
pub(super) struct Store {
    pub(super) rows: Snapshot,
    sale: Sale,
    orders: Vec<Order>,
    shipping: BTreeMap<PaymentId, Shipping>,
    locks: Locks,
    last_event: u64,
}

/// The database as a process sees it.
#[derive(Clone)]
pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) process: usize,
}

/// What a transaction writes when it commits.
struct Write {
    now: Timestamp,
    first_event: u64,
    book: Option<Book>,
    changes: Vec<ClaimChange>,
    payment: Option<Payment>,
    shipping: Option<Shipping>,
    order: Option<Order>,
}

/// Why a commit wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The transaction lost its lock, or lasted too long.
    Killed,
    /// A row is not at the `rev` before the change.
    Changed,
}

impl Store {
    pub(super) fn new(sale: &Sale, stock: u32) -> Self {
        let rows = Snapshot {
            sale: sale.id,
            terms: sale.terms,
            book: Book::new(stock, &sale.terms),
            claims: Vec::new(),
            events: Vec::new(),
            orders: Vec::new(),
            payments: Vec::new(),
        };
        Self {
            rows,
            sale: sale.clone(),
            orders: Vec::new(),
            shipping: BTreeMap::new(),
            locks: Locks::default(),
            last_event: 0,
        }
    }

    pub(super) fn claim(&self, user: UserId) -> Option<Claim> {
        self.rows.claims.iter().find(|claim| claim.user == user).copied()
    }

    fn payment(&self, id: PaymentId) -> Option<Payment> {
        self.rows.payments.iter().find(|payment| payment.id == id).copied()
    }

    /// Ids for the events of a transaction that is about to commit: lower ones may become visible later.
    fn reserve_events(&mut self, count: usize) -> u64 {
        let first = self.last_event + 1;
        self.last_event += count as u64;
        first
    }

    fn put_claim(&mut self, change: &ClaimChange) {
        let row = self.rows.claims.iter_mut().find(|claim| claim.user == change.claim.user);
        match row {
            Some(row) if change.from.is_some() => *row = change.claim,
            _ => self.rows.claims.push(change.claim),
        }
    }

    fn put_payment(&mut self, payment: Payment) {
        match self.rows.payments.iter_mut().find(|known| known.id == payment.id) {
            Some(known) => *known = payment,
            None => self.rows.payments.push(payment),
        }
    }
}

impl State {
    /// Commits: all or nothing. The lock is free afterwards.
    fn write(&mut self, held: &Held, write: &Write) -> Result<(), Refusal> {
        if !self.store.locks.is_alive(held, self.now) {
            return Err(Refusal::Killed);
        }
        let lies_about_revs = self.sabotage == Some(Sabotage::DoubleDecision);
        let may_apply = |change: &ClaimChange| {
            let rev = self.store.claim(change.claim.user).map_or(0, |claim| claim.rev);
            rev + 1 == change.claim.rev
        };
        if !lies_about_revs && !write.changes.iter().all(may_apply) {
            return Err(Refusal::Changed);
        }
        let book_before = self.store.rows.book;
        if let Some(book) = write.book {
            let is_lost = self.sabotage == Some(Sabotage::LostBookWrite)
                && book.taken > book_before.taken
                && self.dice.one_in(4);
            if !is_lost {
                self.store.rows.book = book;
            }
        }
        for (id, change) in (write.first_event..).zip(&write.changes) {
            self.store.put_claim(change);
            self.store.rows.events.push(ClaimEvent {
                id,
                sale: change.claim.sale,
                user: change.claim.user,
                rev: change.claim.rev,
                from: change.from,
                to: change.claim.status,
                quantity: change.claim.quantity,
                at: write.now,
            });
        }
        if let Some(payment) = write.payment {
            self.store.put_payment(payment);
            if let Some(shipping) = &write.shipping {
                self.store.shipping.insert(payment.id, shipping.clone());
            }
        }
        if let Some(order) = &write.order {
            self.store.rows.orders.push(OrderFact { user: order.user, payment: order.payment });
            self.store.orders.push(order.clone());
        }
        self.store.rows.events.sort_by_key(|event| event.id);
        self.store.locks.release(held);
        self.hear_commit(book_before, write.book.is_some(), &write.changes, write.now);
        Ok(())
    }
}
