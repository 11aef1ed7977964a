//! Claims, and the transactions that change one claim without touching its sale.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{Change, ClaimStore, ClaimTx, ClaimWrite, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Failure;
use super::rows::{self, claim_columns, payment_columns};
use super::sale_store::{SELECT_CLAIM, claims_of, list};
use super::transaction::HeldTransaction;
use super::{Database, changes, order_store, payment_store};

const SELECT_PAGE: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c WHERE c.sale = ?1 AND c.seq > ?2 ORDER BY c.seq LIMIT ?3"
);
const COUNT_AHEAD: &str = "SELECT count(*) FROM claims WHERE sale = ?1 AND status = 'standby' AND seq <= ?2";
const SELECT_EVENT_IDS: &str =
    "SELECT id FROM claim_events WHERE at >= ?1 ORDER BY at DESC, id DESC LIMIT ?2";
const SELECT_CHANGE: &str = "SELECT id, sale, user, rev FROM claim_events WHERE id = ?1";
const SELECT_BY_EVENT: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claim_events e JOIN claims c ON c.sale = e.sale AND c.user = e.user WHERE e.id = ?1"
);
const SELECT_PAYMENT: &str =
    concat!("SELECT ", payment_columns!(), " FROM payments WHERE id = ?1 AND sale = ?2 AND user = ?3");

/// [`ClaimStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqliteClaimStore {
    database: Arc<Database>,
}

impl SqliteClaimStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl ClaimStore for SqliteClaimStore {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let users = users.to_vec();
        self.database.read("look claims up", move |connection| claims_of(connection, sale, &users)).await
    }

    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        self.database
            .read("list claims", move |connection| {
                list(connection, SELECT_PAGE, params![sale.get(), after, limit], rows::claim)
            })
            .await
    }

    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64> {
        self.database
            .read("count who stands by", move |connection| {
                let mut count = connection.prepare_cached(COUNT_AHEAD)?;
                Ok(count.query_row([sale.get(), seq], |row| row.get(0))?)
            })
            .await
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        let since = self.database.clock.now() - span;
        self.database
            .read("list the newest events", move |connection| {
                let params = params![since.as_millis(), limit];
                let mut ids = list(connection, SELECT_EVENT_IDS, params, |row| row.get(0))?;
                ids.sort_unstable();
                Ok(ids)
            })
            .await
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        let events = events.to_vec();
        self.database
            .read("look events up", move |connection| {
                let mut select = connection.prepare_cached(SELECT_CHANGE)?;
                let mut changes = Vec::new();
                for event in events {
                    changes.extend(select.query_row([event], rows::change).optional()?);
                }
                Ok(changes)
            })
            .await
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        let events = events.to_vec();
        self.database
            .read("look claims up by their events", move |connection| by_events(connection, &events))
            .await
    }

    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        let clock = Arc::clone(&self.database.clock);
        let begun = self
            .database
            .begin("lock a claim", move |connection| {
                let mut select = connection.prepare_cached(SELECT_CLAIM)?;
                let found = select.query_row([sale.get(), user.get()], rows::claim).optional()?;
                Ok(found.map(|claim| (claim, clock.now())))
            })
            .await?;
        Ok(begun.map(|(held, (claim, now))| Box::new(SqliteClaimTx { held, claim, now }) as _))
    }
}

/// A transaction on the writer's thread, with the claim as it was when it began.
struct SqliteClaimTx {
    held: HeldTransaction,
    claim: Claim,
    now: Timestamp,
}

#[async_trait]
impl ClaimTx for SqliteClaimTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn claim(&self) -> Claim {
        self.claim
    }

    async fn payment(&mut self, id: PaymentId) -> PortResult<Option<Payment>> {
        let Claim { sale, user, .. } = self.claim;
        self.held
            .look("read a payment", move |connection| {
                let mut select = connection.prepare_cached(SELECT_PAYMENT)?;
                let params = [id.get(), sale.get(), user.get()];
                Ok(select.query_row(params, rows::payment).optional()?)
            })
            .await
    }

    async fn commit(self: Box<Self>, write: ClaimWrite) -> PortResult<()> {
        let Self { held, now, .. } = *self;
        held.commit("commit a payment step", move |connection| {
            changes::write(connection, write.change.as_slice(), now)?;
            if let Some(payment) = &write.payment {
                payment_store::upsert(connection, payment, write.shipping.as_ref())?;
            }
            if let Some(order) = &write.order {
                order_store::upsert(connection, order)?;
            }
            Ok(())
        })
        .await
    }
}

/// Each claim once, in the order in which the events name them first.
fn by_events(connection: &Connection, events: &[u64]) -> Result<Vec<Claim>, Failure> {
    let mut select = connection.prepare_cached(SELECT_BY_EVENT)?;
    let mut seen = HashSet::new();
    let mut claims = Vec::new();
    for event in events {
        let found = select.query_row([event], rows::claim).optional()?;
        claims.extend(found.filter(|claim| seen.insert((claim.sale, claim.user))));
    }
    Ok(claims)
}
