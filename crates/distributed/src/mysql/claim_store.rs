//! Claims, and the transactions that change one claim without touching its sale.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{Change, ClaimStore, ClaimTx, ClaimWrite, Freshness, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::ids::{PaymentId, SaleId, UserId};
use miaosha_domain::payment::Payment;
use miaosha_domain::time::Timestamp;

use super::database::Database;
use super::failure::Failure;
use super::rows::{self, Malformed, claim_columns, now_ms, payment_columns};
use super::sale_transaction::{NOW, changed, claims_of};
use super::script::{Answer, List, Script};
use super::transaction::HeldTransaction;
use super::{changes, order_store, payment_store};

pub(super) const SELECT_PAGE: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c FORCE INDEX (claims_seq) WHERE c.sale = ? AND c.seq > ? ORDER BY c.seq LIMIT ?"
);
pub(super) const COUNT_AHEAD: &str = "SELECT COUNT(*) FROM claims FORCE INDEX (claims_status) \
     WHERE sale = ? AND status = 'standby' AND hold_until IS NULL AND seq <= ?";
/// All ids as one value, and how many they are, should that be cut off: every process asks each second, and in a large sale
/// a row for each costs more than all else that a process does.
pub(super) const SELECT_EVENT_IDS: &str = concat!(
    "SELECT COUNT(*), GROUP_CONCAT(id) FROM claim_events FORCE INDEX (claim_events_by_time) WHERE at >= ",
    now_ms!(),
    " - ?"
);
pub(super) const SELECT_NEWEST_EVENT_IDS: &str = concat!(
    "SELECT id FROM claim_events FORCE INDEX (claim_events_by_time) WHERE at >= ",
    now_ms!(),
    " - ? ORDER BY at DESC, id DESC LIMIT ?"
);
/// As one value, like the ids: four numbers for each.
pub(super) const SELECT_CHANGES: &str =
    "SELECT GROUP_CONCAT(CONCAT_WS(',', id, sale, user, rev)) FROM claim_events WHERE id IN (?)";
pub(super) const SELECT_BY_EVENTS: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claim_events e JOIN claims c ON c.sale = e.sale AND c.user = e.user WHERE e.id IN (?) ORDER BY e.id"
);
pub(super) const LOCK: &str =
    concat!("SELECT ", claim_columns!(), " FROM claims c WHERE c.sale = ? AND c.user = ? FOR UPDATE");
pub(super) const LOCK_PAYMENT: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments WHERE id = ? AND sale = ? AND user = ? FOR UPDATE"
);

/// [`ClaimStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlClaimStore {
    database: Arc<Database>,
}

impl MysqlClaimStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl ClaimStore for MysqlClaimStore {
    async fn lookup_many(&self, sale: SaleId, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        claims_of(&self.database, sale, users).await
    }

    async fn list(&self, sale: SaleId, after: u64, limit: u32) -> PortResult<Vec<Claim>> {
        let page = Script::of(SELECT_PAGE, &[&sale, &after, &limit]);
        self.database.list("list claims", Freshness::Fresh, page, rows::claim).await
    }

    async fn position(&self, sale: SaleId, seq: u64) -> PortResult<u64> {
        let count = Script::of(COUNT_AHEAD, &[&sale, &seq]);
        let place = self.database.lookup("count who stands by", count, |row| rows::number(row, 0)).await?;
        Ok(place.unwrap_or(0))
    }

    async fn list_event_ids(&self, span: Duration, limit: u32) -> PortResult<Vec<u64>> {
        let what = "list the newest events";
        let all = Script::of(SELECT_EVENT_IDS, &[&rows::millis(span)]);
        let read = |row: &_| Ok((rows::number::<usize>(row, 0)?, rows::numbers(row, 1)?));
        let (count, mut ids) = self.database.lookup(what, all, read).await?.unwrap_or_default();
        if ids.len() != count || count > limit as usize {
            let newest = Script::of(SELECT_NEWEST_EVENT_IDS, &[&rows::millis(span), &limit]);
            ids = self.database.list(what, Freshness::Fresh, newest, |row| rows::number(row, 0)).await?;
        }
        ids.sort_unstable();
        Ok(ids)
    }

    async fn list_changes(&self, events: &[u64]) -> PortResult<Vec<Change>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let select = Script::of(SELECT_CHANGES, &[&List(events)]);
        let changes = self.database.lookup("look events up", select, |row| rows::changes(row, 0)).await?;
        Ok(changes.unwrap_or_default())
    }

    async fn list_by_events(&self, events: &[u64]) -> PortResult<Vec<Claim>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let select = Script::of(SELECT_BY_EVENTS, &[&List(events)]);
        let what = "look claims up by their events";
        let claims = self.database.list(what, Freshness::Fresh, select, rows::claim).await?;
        let mut seen = HashSet::new();
        Ok(claims.into_iter().filter(|claim| seen.insert((claim.sale, claim.user))).collect())
    }

    async fn lock(&self, sale: SaleId, user: UserId) -> PortResult<Option<Box<dyn ClaimTx>>> {
        let script = Script::of(LOCK, &[&sale, &user]).then(NOW, &[]);
        let begun = self.database.begin("lock a claim", script, locked).await?;
        Ok(begun.map(|(held, (claim, now))| Box::new(MysqlClaimTx { held, claim, now }) as _))
    }
}

fn locked(answers: &[Answer]) -> Result<Option<(Claim, Timestamp)>, Malformed> {
    let [found, clock] = answers else { unreachable!("the lock's script has two statements") };
    let Some((row, clock)) = found.rows.first().zip(clock.rows.first()) else { return Ok(None) };
    Ok(Some((rows::claim(row)?, rows::timestamp(clock, 0)?)))
}

/// A transaction in its task, with the claim as it was when it began.
struct MysqlClaimTx {
    held: HeldTransaction,
    claim: Claim,
    now: Timestamp,
}

#[async_trait]
impl ClaimTx for MysqlClaimTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn claim(&self) -> Claim {
        self.claim
    }

    async fn payment(&mut self, id: PaymentId) -> PortResult<Option<Payment>> {
        const WHAT: &str = "read a payment";
        let Claim { sale, user, .. } = self.claim;
        let answers = self.held.look(WHAT, Script::of(LOCK_PAYMENT, &[&id, &sale, &user])).await?;
        let found = answers.iter().find_map(|answer| answer.rows.first()).map(rows::payment).transpose();
        found.map_err(|malformed| Failure::from(malformed).into_port_error(WHAT))
    }

    async fn commit(self: Box<Self>, write: ClaimWrite) -> PortResult<()> {
        let Self { held, now, .. } = *self;
        let mut script = Script::default();
        changes::add(&mut script, write.change.as_slice(), now);
        if let Some(payment) = &write.payment {
            payment_store::add(&mut script, payment, write.shipping.as_ref());
        }
        if let Some(order) = &write.order {
            order_store::add(&mut script, order);
        }
        let committed = held.commit(script).await;
        committed.map_err(|failure| changed(failure).into_port_error("commit a payment step"))
    }
}
