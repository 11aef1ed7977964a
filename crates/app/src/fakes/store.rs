//! Sales, claims, payments and orders in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_domain::audit::{ClaimEvent, OrderFact, Snapshot};
use miaosha_domain::claim::{Claim, ClaimChange, ClaimStatus};
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::sale::{Book, Sale, Terms};
use miaosha_domain::settle::{CHANGES_MAX, ENDS_MAX, Outlook, Standing};
use miaosha_domain::time::Timestamp;
use parking_lot::Mutex;

use super::{FakeClock, Faults, Journal};
use crate::model::{Order, SaleRow, Shipping, User};
use crate::ports::{
    Change, ClaimStore, ClaimTx, ClaimWrite, Clock, Freshness, NewUser, OrderStore, PaymentStore, PortError,
    PortResult, SaleStore, SaleTx, UnsettledSale, UserStore,
};

/// Everything stored.
pub(crate) struct FakeStore {
    journal: Journal,
    faults: Faults,
    clock: Arc<FakeClock>,
    data: Arc<Mutex<Data>>,
}

#[derive(Default)]
struct Data {
    sales: BTreeMap<SaleId, SaleRow>,
    claims: BTreeMap<(SaleId, UserId), Claim>,
    events: Vec<ClaimEvent>,
    hides_events: bool,
    payments: BTreeMap<PaymentId, Payment>,
    shipping: HashMap<PaymentId, Shipping>,
    orders: Vec<Order>,
}

impl FakeStore {
    pub(super) fn new(journal: Journal, faults: Faults, clock: Arc<FakeClock>) -> Self {
        Self { journal, faults, clock, data: Arc::default() }
    }

    pub(crate) fn put(&self, row: SaleRow) {
        self.data.lock().sales.insert(row.sale.id, row);
    }

    /// Shows no events, as if the commits that wrote them were still under way.
    pub(crate) fn hide_events(&self, are_hidden: bool) {
        self.data.lock().hides_events = are_hidden;
    }

    pub(crate) fn book(&self) -> Book {
        self.data.lock().sales[&super::sale_id()].book
    }

    pub(crate) fn claim(&self, user: UserId) -> Option<Claim> {
        self.data.lock().claims.get(&(super::sale_id(), user)).copied()
    }

    /// The newest payment.
    pub(crate) fn payment(&self) -> Payment {
        *self.data.lock().payments.values().next_back().expect("a payment was begun")
    }

    fn tx<T>(&self, sale: SaleId, subject: T) -> Tx<T> {
        let (journal, faults) = (self.journal.clone(), self.faults.clone());
        Tx { journal, faults, now: self.clock.now(), data: self.data.clone(), sale, subject }
    }
}

/// A transaction on a sale's book or on a claim. Nothing waits in these tests, so it needs no lock: what it writes is
/// held against the rows at its commit.
struct Tx<T> {
    journal: Journal,
    faults: Faults,
    now: Timestamp,
    data: Arc<Mutex<Data>>,
    sale: SaleId,
    subject: T,
}

impl Data {
    fn claims_of(&self, sale: SaleId) -> impl Iterator<Item = &Claim> {
        self.claims.values().filter(move |claim| claim.sale == sale)
    }

    fn by_seq(&self, sale: SaleId, status: ClaimStatus) -> Vec<Claim> {
        let mut claims: Vec<Claim> =
            self.claims_of(sale).filter(|claim| claim.status == status).copied().collect();
        claims.sort_by_key(|claim| claim.seq);
        claims
    }

    fn write(&mut self, changes: &[ClaimChange], at: Timestamp) -> PortResult<()> {
        let rev_of = |claim: &Claim| self.claims.get(&(claim.sale, claim.user)).map_or(0, |row| row.rev);
        if changes.iter().any(|change| rev_of(&change.claim) + 1 != change.claim.rev) {
            return Err(PortError::retryable("commit", "a row has changed"));
        }
        for ClaimChange { from, claim } in changes.iter().copied() {
            self.claims.insert((claim.sale, claim.user), claim);
            let Claim { sale, user, rev, status: to, quantity, .. } = claim;
            let id = self.events.len() as u64 + 1;
            self.events.push(ClaimEvent { id, sale, user, rev, from, to, quantity, at });
        }
        Ok(())
    }
}

fn written(changes: &[ClaimChange]) -> String {
    let names = changes.iter().map(|change| format!("{} {}", change.claim.user, change.claim.status.name()));
    format!("wrote {}", names.collect::<Vec<_>>().join(", ")).trim_end().to_owned()
}

#[async_trait]
impl SaleStore for FakeStore {
    async fn create(&self, sale: &Sale, book: &Book) -> PortResult<()> {
        self.put(SaleRow { sale: sale.clone(), book: *book });
        Ok(())
    }

    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>> {
        self.faults.around("sale lookup", || Ok(self.data.lock().sales.get(&id).cloned()))
    }

    async fn list(
        &self,
        before: Option<SaleId>,
        limit: u32,
        _freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>> {
        self.faults.around("sale list", || {
            let data = self.data.lock();
            let older = data.sales.values().rev().filter(|row| before.is_none_or(|id| row.sale.id < id));
            Ok(older.take(limit as usize).cloned().collect())
        })
    }

    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>> {
        let data = self.data.lock();
        let unsettled = |SaleRow { sale, book }: &SaleRow| {
            let reserved = data.by_seq(sale.id, ClaimStatus::Reserved);
            let first_end = reserved.iter().filter_map(|claim| claim.hold_until).min();
            let is_holding = data.claims_of(sale.id).any(|claim| claim.status.is_holding());
            (book.may_change() || is_holding).then(|| UnsettledSale {
                id: sale.id,
                terms: sale.terms,
                book: *book,
                outlook: Outlook { first_end, is_holding },
                now: self.clock.now(),
            })
        };
        Ok(data.sales.values().filter_map(unsettled).collect())
    }

    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        self.faults.around("sale lock", || {
            let row = self.data.lock().sales.get(&id).cloned();
            Ok(row.map(|row| Box::new(self.tx(id, row)) as Box<dyn SaleTx>))
        })
    }

    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>> {
        self.faults.around("snapshot", || {
            let data = self.data.lock();
            Ok(data.sales.get(&id).map(|row| Snapshot {
                sale: id,
                terms: row.sale.terms,
                book: row.book,
                claims: data.claims_of(id).copied().collect(),
                events: data.events.clone(),
                orders: data.orders.iter().map(|o| OrderFact { user: o.user, payment: o.payment }).collect(),
                payments: data.payments.values().copied().collect(),
            }))
        })
    }
}

#[async_trait]
impl SaleTx for Tx<SaleRow> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn terms(&self) -> Terms {
        self.subject.sale.terms
    }

    fn book(&self) -> Book {
        self.subject.book
    }

    async fn claims_of(&mut self, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        self.faults.around("claims of a sale", || {
            let data = self.data.lock();
            Ok(users.iter().filter_map(|&user| Some((user, *data.claims.get(&(self.sale, user))?))).collect())
        })
    }

    async fn standing(&mut self) -> PortResult<Standing> {
        let data = self.data.lock();
        let mut due = data.by_seq(self.sale, ClaimStatus::Reserved);
        due.retain(|claim| claim.is_due(self.now));
        due.truncate(ENDS_MAX);
        let mut heads = data.by_seq(self.sale, ClaimStatus::Standby);
        heads.truncate(CHANGES_MAX);
        let holding = data.claims_of(self.sale).filter(|claim| claim.status.is_holding()).count() as u64;
        Ok(Standing { due, heads, holding })
    }

    async fn commit(self: Box<Self>, book: Book, changes: &[ClaimChange]) -> PortResult<()> {
        self.faults.around("sale commit", || {
            let mut data = self.data.lock();
            data.write(changes, self.now)?;
            data.sales.get_mut(&self.sale).expect("sales are never deleted").book = book;
            self.journal.note(written(changes));
            Ok(())
        })
    }
}

#[async_trait]
impl ClaimStore for FakeStore {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let data = self.data.lock();
        Ok(users.iter().filter_map(|&user| Some((user, *data.claims.get(&(sale, user))?))).collect())
    }

    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        self.journal.note("claims read");
        let data = self.data.lock();
        let mut claims: Vec<Claim> = data.claims_of(sale).filter(|c| c.seq > after).copied().collect();
        claims.sort_by_key(|claim| claim.seq);
        claims.truncate(limit as usize);
        Ok(claims)
    }

    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64> {
        let standing = self.data.lock().by_seq(sale, ClaimStatus::Standby);
        Ok(standing.iter().filter(|claim| claim.seq <= seq).count() as u64)
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        self.faults.around("event ids", || {
            let data = self.data.lock();
            let since = self.clock.now() - span;
            let shown = data.events.iter().filter(|event| event.at >= since && !data.hides_events);
            let recent: Vec<u64> = shown.map(|event| event.id).collect();
            Ok(recent[recent.len().saturating_sub(limit as usize)..].to_vec())
        })
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        self.faults.around("changes", || {
            let data = self.data.lock();
            let named = data.events.iter().filter(|event| events.contains(&event.id));
            let change = |event: &ClaimEvent| Change {
                event: event.id,
                sale: event.sale,
                user: event.user,
                rev: event.rev,
            };
            Ok(named.map(change).collect())
        })
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        self.journal.note(format!("{} events read", events.len()));
        self.faults.around("claims by events", || {
            let data = self.data.lock();
            let about = data.events.iter().filter(|event| events.contains(&event.id));
            let mut people: Vec<_> = about.map(|event| (event.sale, event.user)).collect();
            people.sort_unstable();
            people.dedup();
            Ok(people.iter().map(|key| data.claims[key]).collect())
        })
    }

    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        self.faults.around("claim lock", || {
            let claim = self.data.lock().claims.get(&(sale, user)).copied();
            Ok(claim.map(|claim| Box::new(self.tx(sale, claim)) as Box<dyn ClaimTx>))
        })
    }
}

#[async_trait]
impl ClaimTx for Tx<Claim> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn claim(&self) -> Claim {
        self.subject
    }

    async fn payment(&mut self, id: PaymentId) -> PortResult<Option<Payment>> {
        Ok(self.data.lock().payments.get(&id).copied())
    }

    async fn commit(self: Box<Self>, write: ClaimWrite) -> PortResult<()> {
        self.faults.around("claim commit", || {
            let mut data = self.data.lock();
            data.write(write.change.as_slice(), self.now)?;
            let mut entry = write.change.map_or_else(|| "wrote".to_owned(), |change| written(&[change]));
            if let Some(payment) = write.payment {
                entry = format!("{entry}, payment {}", payment.status.name());
                data.payments.insert(payment.id, payment);
                data.shipping.extend(write.shipping.map(|shipping| (payment.id, shipping)));
            }
            data.orders.extend(write.order);
            self.journal.note(entry);
            Ok(())
        })
    }
}

#[async_trait]
impl OrderStore for FakeStore {
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>> {
        Ok(self.data.lock().orders.iter().find(|o| o.id == id && o.user == user).cloned())
    }

    async fn lookup_by_sale(&self, user: UserId, sale: SaleId) -> PortResult<Option<Order>> {
        Ok(self.data.lock().orders.iter().find(|o| o.sale == sale && o.user == user).cloned())
    }

    async fn list(&self, _: UserId, _: Option<OrderId>, _: u32, _: Freshness) -> PortResult<Vec<Order>> {
        unreachable!("no use case lists orders")
    }
}

#[async_trait]
impl PaymentStore for FakeStore {
    async fn list_unsettled(
        &self,
        age: Duration,
        after: Option<PaymentId>,
        limit: u32,
    ) -> PortResult<Vec<Payment>> {
        let now = self.clock.now();
        let is_due = |payment: &&Payment| {
            Some(payment.id) > after && (payment.started_at + age <= now || payment.lease_until <= now)
        };
        let data = self.data.lock();
        let open = data.payments.values().filter(|payment| !payment.status.is_final());
        Ok(open.filter(is_due).take(limit as usize).copied().collect())
    }

    async fn shipping_of(&self, id: PaymentId) -> PortResult<Option<Shipping>> {
        Ok(self.data.lock().shipping.get(&id).cloned())
    }
}

#[async_trait]
impl UserStore for FakeStore {
    async fn create(&self, _: &User) -> PortResult<NewUser> {
        unreachable!("these tests make no accounts")
    }

    async fn create_missing(&self, _: &[User]) -> PortResult<Vec<UserId>> {
        unreachable!("these tests make no accounts")
    }

    async fn lookup(&self, _: UserId) -> PortResult<Option<User>> {
        unreachable!("these tests make no accounts")
    }

    async fn lookup_by_email(&self, _: &str) -> PortResult<Option<User>> {
        unreachable!("these tests make no accounts")
    }
}
