//! Payments, as the reconciler sees them, and how a payment step writes one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::model::Shipping;
use miaosha_app::ports::{Freshness, PaymentStore, PortResult};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::payment::Payment;

use super::database::Database;
use super::rows::{self, now_ms, payment_columns};
use super::script::Script;

pub(super) const SELECT_UNSETTLED: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments FORCE INDEX (payments_by_status) \
     WHERE status IN ('started', 'capture_due', 'void_due', 'refund_due') AND (started_at <= ",
    now_ms!(),
    " - ? OR lease_until <= ",
    now_ms!(),
    ") AND id > ? ORDER BY id LIMIT ?"
);
pub(super) const SELECT_SHIPPING: &str =
    "SELECT ship_name, ship_phone, ship_address FROM payments WHERE id = ? AND ship_name IS NOT NULL";
/// No other key of the table is unique.
const UPSERT: &str = "INSERT INTO payments (id, sale, user, amount_minor, currency, status, started_at, lease_until, \
     ship_name, ship_phone, ship_address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON DUPLICATE KEY UPDATE status = ?, lease_until = ?";

/// [`PaymentStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlPaymentStore {
    database: Arc<Database>,
}

impl MysqlPaymentStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl PaymentStore for MysqlPaymentStore {
    async fn list_unsettled(
        &self,
        age: Duration,
        after: Option<PaymentId>,
        limit: u32,
    ) -> PortResult<Vec<Payment>> {
        let after = after.map_or(0, PaymentId::get);
        let select = Script::of(SELECT_UNSETTLED, &[&rows::millis(age), &after, &limit]);
        self.database.list("list unsettled payments", Freshness::Fresh, select, rows::payment).await
    }

    async fn shipping_of(&self, id: PaymentId) -> PortResult<Option<Shipping>> {
        let select = Script::of(SELECT_SHIPPING, &[&id]);
        self.database.lookup("look up where a parcel goes", select, |row| rows::shipping(row, 0)).await
    }
}

/// Adds the statement that stores a new payment with its shipping, or brings the one with this id up to date.
pub(super) fn add(script: &mut Script, payment: &Payment, shipping: Option<&Shipping>) {
    let Payment { id, sale, user, amount, status, started_at, lease_until } = payment;
    script.add(
        UPSERT,
        &[
            id,
            sale,
            user,
            &amount.minor(),
            &amount.currency().code(),
            status,
            started_at,
            lease_until,
            &shipping.map(|to| &to.name),
            &shipping.map(|to| &to.phone),
            &shipping.map(|to| &to.address),
            status,
            lease_until,
        ],
    );
}
