//! Reads of the simulated database: committed rows, as they are at one moment during the call.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::PortError;
use miaosha_app::model::{Order, SaleRow, Shipping};
use miaosha_app::ports::{
    Change, ClaimStore, ClaimTx, Freshness, OrderStore, PaymentStore, PortResult, SaleStore, SaleTx,
    UnsettledSale,
};
use miaosha_domain::audit::{ClaimEvent, Snapshot};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::sale::{Book, Sale};
use miaosha_domain::settle::Outlook;
use miaosha_domain::time::Timestamp;

use super::super::sabotage::Sabotage;
use super::super::world::State;
use super::{SimStore, Store};

impl Store {
    fn row(&self) -> SaleRow {
        SaleRow { sale: self.sale.clone(), book: self.rows.book }
    }

    fn unsettled(&self, now: Timestamp) -> UnsettledSale {
        let Snapshot { sale: id, terms, book, claims, .. } = &self.rows;
        let reserved = claims.iter().filter(|claim| claim.status == ClaimStatus::Reserved);
        let first_end = reserved.filter_map(|claim| claim.hold_until).min();
        let is_holding = claims.iter().any(|claim| claim.status.is_holding());
        UnsettledSale { id: *id, terms: *terms, book: *book, outlook: Outlook { first_end, is_holding }, now }
    }

    /// Whether the sale may still change by itself.
    pub(in super::super) fn is_unsettled(&self) -> bool {
        self.rows.book.may_change() || self.rows.claims.iter().any(|claim| claim.status.is_holding())
    }
}

impl SimStore {
    /// A read by this process, unless it is cut off.
    pub(super) async fn read<T>(
        &self,
        what: &'static str,
        read: impl FnOnce(&mut State) -> T + Send,
    ) -> PortResult<T> {
        let is_cut_off = {
            let state = self.world.state();
            state.processes.is_cut_off(self.process, state.now)
        };
        if is_cut_off {
            self.world.hop().await;
            return Err(PortError::retryable(what, "there is no connection"));
        }
        let process = self.process;
        let reads = |state: &mut State| {
            state.hear_contact(process);
            read(state)
        };
        self.world.read(what, reads).await
    }
}

#[async_trait]
impl SaleStore for SimStore {
    async fn create(&self, _sale: &Sale, _book: &Book) -> PortResult<()> {
        Err(PortError::terminal("storing a sale", "a run has one sale, which is there from the start"))
    }

    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>> {
        let read = |state: &mut State| (state.store.sale.id == id).then(|| state.store.row());
        self.read("reading a sale", read).await
    }

    async fn list(
        &self,
        before: Option<SaleId>,
        _limit: u32,
        _freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>> {
        let read = |state: &mut State| match before {
            Some(before) if before <= state.store.sale.id => Vec::new(),
            _ => vec![state.store.row()],
        };
        self.read("listing sales", read).await
    }

    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>> {
        let read = |state: &mut State| {
            let is_listed = state.store.is_unsettled() && state.sabotage != Some(Sabotage::LostTimer);
            if is_listed { vec![state.store.unsettled(state.now)] } else { Vec::new() }
        };
        self.read("listing unsettled sales", read).await
    }

    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        self.lock_sale(id).await
    }

    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>> {
        let read = |state: &mut State| (state.store.sale.id == id).then(|| state.store.rows.clone());
        self.read("reading a snapshot", read).await
    }
}

#[async_trait]
impl ClaimStore for SimStore {
    async fn lookup_many(&self, _sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let read = |state: &mut State| {
            let found = users.iter().filter_map(|user| state.store.claim(*user));
            found.map(|claim| (claim.user, claim)).collect()
        };
        self.read("looking claims up", read).await
    }

    async fn list(&self, _sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        let read = |state: &mut State| {
            let mut page: Vec<Claim> =
                state.store.rows.claims.iter().filter(|claim| claim.seq > after).copied().collect();
            page.sort_unstable_by_key(|claim| claim.seq);
            page.truncate(limit as usize);
            page
        };
        self.read("listing claims", read).await
    }

    async fn position(&self, _sale: SaleId, seq: u64) -> PortResult<u64> {
        let read = |state: &mut State| {
            let claims = state.store.rows.claims.iter();
            claims.filter(|claim| claim.status == ClaimStatus::Standby && claim.seq <= seq).count() as u64
        };
        self.read("counting standby", read).await
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        let read = |state: &mut State| {
            if state.sabotage == Some(Sabotage::Silence) {
                return Vec::new();
            }
            let since = state.now - span;
            let events = state.store.rows.events.iter().filter(|event| event.at >= since);
            let ids: Vec<u64> = events.map(|event| event.id).collect();
            let skipped = ids.len().saturating_sub(limit as usize);
            ids[skipped..].to_vec()
        };
        self.read("listing events", read).await
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        let read = |state: &mut State| {
            let named = state.store.rows.events.iter().filter(|event| events.contains(&event.id));
            let change = |event: &ClaimEvent| Change {
                event: event.id,
                sale: event.sale,
                user: event.user,
                rev: event.rev,
            };
            named.map(change).collect()
        };
        self.read("reading changes", read).await
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        let read = |state: &mut State| {
            let rows = &state.store.rows;
            let named = rows.events.iter().filter(|event| events.contains(&event.id));
            let users: BTreeSet<UserId> = named.map(|event| event.user).collect();
            users.into_iter().filter_map(|user| state.store.claim(user)).collect()
        };
        self.read("reading events", read).await
    }

    async fn lock(&self, _sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        self.lock_claim(user).await
    }
}

#[async_trait]
impl OrderStore for SimStore {
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>> {
        let read = |state: &mut State| {
            state.store.orders.iter().find(|order| order.user == user && order.id == id).cloned()
        };
        self.read("reading an order", read).await
    }

    async fn lookup_by_sale(&self, user: UserId, _sale: SaleId) -> PortResult<Option<Order>> {
        let read = |state: &mut State| state.store.orders.iter().find(|order| order.user == user).cloned();
        self.read("reading an order", read).await
    }

    async fn list(
        &self,
        user: UserId,
        _before: Option<OrderId>,
        _limit: u32,
        _freshness: Freshness,
    ) -> PortResult<Vec<Order>> {
        let read = |state: &mut State| {
            state.store.orders.iter().filter(|order| order.user == user).cloned().collect()
        };
        self.read("listing orders", read).await
    }
}

#[async_trait]
impl PaymentStore for SimStore {
    async fn list_unsettled(
        &self,
        age: Duration,
        after: Option<PaymentId>,
        limit: u32,
    ) -> PortResult<Vec<Payment>> {
        let read = |state: &mut State| {
            let now = state.now;
            let is_open = |payment: &Payment| {
                !payment.status.is_final()
                    && Some(payment.id) > after
                    && (payment.started_at + age <= now || payment.lease_until <= now)
            };
            let mut open: Vec<Payment> =
                state.store.rows.payments.iter().filter(|payment| is_open(payment)).copied().collect();
            open.sort_by_key(|payment| payment.id);
            open.truncate(limit as usize);
            open
        };
        self.read("listing open payments", read).await
    }

    async fn shipping_of(&self, id: PaymentId) -> PortResult<Option<Shipping>> {
        let read = |state: &mut State| state.store.shipping.get(&id).cloned();
        self.read("reading an address", read).await
    }
}
