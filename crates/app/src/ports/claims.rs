//! Claims, orders, payments, and the transactions that change one claim without the sale's lock.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_domain::claim::{Claim, ClaimChange};
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::time::Timestamp;

use super::{Freshness, PortResult};
use crate::model::{Order, Shipping};

/// Claims.
///
/// Reads see committed data only, and at least everything whose commit any process was told of before they began.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// The claims of these people in this sale, of those who have one.
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>>;

    /// The claims of a sale with `seq` above `after`, by `seq`, at most `limit`.
    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>>;

    /// How many people stand by with a `seq` of at most this one: the place of the person who has it, from 1.
    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64>;

    /// The ids of all events written within the last `span` by the database's clock, in order, at most `limit` of the
    /// newest. Later calls may show ids below earlier ones; none is missed for longer than a transaction may last.
    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>>;

    /// What these events did, of those that there are.
    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>>;

    /// The claims, as they are now, that these events are about; each claim once.
    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>>;

    /// Begins a transaction that holds the lock of one claim's row, but not the sale's. `None` if there is no claim.
    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>>;
}

/// That a claim was made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The id of the event.
    pub event: u64,
    /// The sale.
    pub sale: SaleId,
    /// The person.
    pub user: UserId,
    /// The claim's `rev` after it.
    pub rev: u64,
}

/// A transaction on one claim. Dropping it, at any moment, leaves no trace.
#[async_trait]
pub trait ClaimTx: Send {
    /// The database's clock, read once after the lock was taken.
    fn now(&self) -> Timestamp;

    /// The claim, as of after the lock was taken.
    fn claim(&self) -> Claim;

    /// A payment of this claim, locked too.
    async fn payment(&mut self, id: PaymentId) -> PortResult<Option<Payment>>;

    /// Writes all or nothing, durable when it returns `Ok`, under the conditions of [`super::SaleTx::commit`]. It
    /// never ends a claim that holds a unit and never moves a unit: `change` is one of [`miaosha_domain::payment`].
    async fn commit(self: Box<Self>, write: ClaimWrite) -> PortResult<()>;
}

/// What one payment step writes.
#[derive(Debug, Clone, Default)]
pub struct ClaimWrite {
    /// The claim and its event.
    pub change: Option<ClaimChange>,
    /// The payment, made or updated.
    pub payment: Option<Payment>,
    /// Where the parcel goes; stored with a payment when it is made.
    pub shipping: Option<Shipping>,
    /// The order of a claim that was just paid.
    pub order: Option<Order>,
}

/// Orders.
///
/// Reads see committed data only. Unless they are [`Freshness::StaleOk`], they see at least everything whose commit any
/// process was told of before they began.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// The order, if it is this person's.
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>>;

    /// The order of this person in this sale.
    async fn lookup_by_sale(&self, user: UserId, sale: SaleId) -> PortResult<Option<Order>>;

    /// This person's orders with an id below `before`, newest first, at most `limit`.
    async fn list(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<Order>>;
}

/// Payments, as the reconciler sees them.
#[async_trait]
pub trait PaymentStore: Send + Sync {
    /// Payments that are not final and were stored at least `age` ago or whose lease is over, both by the database's
    /// clock; those with an id above `after`, in the order of id, at most `limit`.
    async fn list_unsettled(
        &self,
        age: Duration,
        after: Option<PaymentId>,
        limit: u32,
    ) -> PortResult<Vec<Payment>>;

    /// Where the parcel of a payment goes.
    async fn shipping_of(&self, id: PaymentId) -> PortResult<Option<Shipping>>;
}
