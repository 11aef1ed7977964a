//! Payments, as the reconciler sees them, and how a payment step writes one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::model::Shipping;
use miaosha_app::ports::{PaymentStore, PortResult};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::payment::Payment;
use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use super::failure::Failure;
use super::rows::{self, payment_columns};
use super::sale_store::list;

const SELECT_UNSETTLED: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments WHERE status IN ('started', 'capture_due', 'void_due', 'refund_due') \
     AND (started_at <= ?1 OR lease_until <= ?2) AND id > ?3 ORDER BY id LIMIT ?4"
);
const SELECT_SHIPPING: &str =
    "SELECT ship_name, ship_phone, ship_address FROM payments WHERE id = ?1 AND ship_name IS NOT NULL";
const UPSERT: &str = "INSERT INTO payments (id, sale, user, amount_minor, currency, status, started_at, lease_until, \
     ship_name, ship_phone, ship_address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
     ON CONFLICT (id) DO UPDATE SET status = ?6, lease_until = ?8";

/// [`PaymentStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqlitePaymentStore {
    database: Arc<Database>,
}

impl SqlitePaymentStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl PaymentStore for SqlitePaymentStore {
    async fn list_unsettled(
        &self,
        age: Duration,
        after: Option<PaymentId>,
        limit: u32,
    ) -> PortResult<Vec<Payment>> {
        let now = self.database.clock.now();
        self.database
            .read("list unsettled payments", move |connection| {
                let after = after.map_or(0, PaymentId::get);
                let params = params![(now - age).as_millis(), now.as_millis(), after, limit];
                list(connection, SELECT_UNSETTLED, params, rows::payment)
            })
            .await
    }

    async fn shipping_of(&self, id: PaymentId) -> PortResult<Option<Shipping>> {
        self.database
            .read("look up where a parcel goes", move |connection| {
                let mut select = connection.prepare_cached(SELECT_SHIPPING)?;
                Ok(select.query_row([id.get()], |row| rows::shipping(row, 0)).optional()?)
            })
            .await
    }
}

/// Stores a new payment with its shipping, or brings the one with this id up to date.
pub(super) fn upsert(
    connection: &Connection,
    payment: &Payment,
    shipping: Option<&Shipping>,
) -> Result<(), Failure> {
    let Payment { id, sale, user, amount, status, started_at, lease_until } = payment;
    connection.prepare_cached(UPSERT)?.execute(params![
        id.get(),
        sale.get(),
        user.get(),
        amount.minor(),
        amount.currency().code(),
        status.name(),
        started_at.as_millis(),
        lease_until.as_millis(),
        shipping.map(|to| &to.name),
        shipping.map(|to| &to.phone),
        shipping.map(|to| &to.address),
    ])?;
    Ok(())
}
