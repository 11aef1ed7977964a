//! Sales, and the transactions under a sale's lock.

use std::collections::HashMap;

use async_trait::async_trait;
use miaosha_domain::audit::Snapshot;
use miaosha_domain::claim::{Claim, ClaimChange};
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::sale::{Book, Sale, Terms};
use miaosha_domain::settle::{Outlook, Standing};
use miaosha_domain::time::Timestamp;

use super::{Freshness, PortResult};
use crate::model::SaleRow;

/// Sales.
///
/// Reads see committed data only. Unless they are [`Freshness::StaleOk`], they see at least everything whose commit any
/// process was told of before they began.
#[async_trait]
pub trait SaleStore: Send + Sync {
    /// Stores a new sale with its product. Durable when it returns. Storing the same id again changes nothing.
    async fn create(&self, sale: &Sale, book: &Book) -> PortResult<()>;

    /// The sale, if there is one.
    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>>;

    /// Sales with an id below `before`, newest first, at most `limit`.
    async fn list(
        &self,
        before: Option<SaleId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>>;

    /// Every sale that may still change by itself, in the order of id: each whose standby is not over, and of the
    /// others each where somebody stands by, reserves or pays, or where units wait to be put up. All are as of one moment
    /// of committed data. Every process asks each second, so it is one question however many sales there are.
    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>>;

    /// Begins a transaction that holds the lock of the sale's row; waits for other holders. `None` if there is no
    /// such sale.
    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>>;

    /// Everything the sale wrote, as one snapshot of committed data; does not hold up writers. `None` if there is no
    /// such sale.
    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>>;
}

/// A sale that may still change by itself, as of the moment at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsettledSale {
    /// Its id.
    pub id: SaleId,
    /// Its terms.
    pub terms: Terms,
    /// Its book.
    pub book: Book,
    /// What its claims promise.
    pub outlook: Outlook,
    /// The database's clock at that moment.
    pub now: Timestamp,
}

impl UnsettledSale {
    /// Whether anybody was ever given a unit or a place in standby, by its book.
    pub const fn has_claims(&self) -> bool {
        self.book.next_seq > 1 || self.book.taken > 0 || self.book.standing > 0
    }
}

/// A transaction under a sale's lock. At most one exists for a sale at any time. Dropping it, at any moment, leaves no
/// trace.
///
/// Everything read is as of after the lock was taken: nothing that another holder of this lock committed is missed.
#[async_trait]
pub trait SaleTx: Send {
    /// The database's clock, read once after the lock was taken.
    fn now(&self) -> Timestamp;

    /// The sale's terms.
    fn terms(&self) -> Terms;

    /// The sale's book.
    fn book(&self) -> Book;

    /// The claims of these people in this sale, of those who have one.
    async fn claims_of(&mut self, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>>;

    /// What is needed to settle, within the bounds that [`Standing`] names. No payment step changes what is due before this
    /// transaction has ended, and a claim that a step holds at this moment is left out or waited for.
    async fn standing(&mut self) -> PortResult<Standing>;

    /// Writes the book, the claims, and an event for each change, all or nothing, durable when it returns `Ok`.
    ///
    /// A change applies only to a row that is still at the `rev` before it (or does not exist, for a claim just made);
    /// if one does not, nothing at all is written and the error is `Retryable`. After any `Retryable` error the
    /// transaction may or may not have been committed; repeating the whole use case is safe.
    async fn commit(self: Box<Self>, book: Book, changes: &[ClaimChange]) -> PortResult<()>;
}
