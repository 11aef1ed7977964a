//! Orders, and how a payment step writes one.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::{Order, OrderLine, OrderStatus, OrderTotals};
use miaosha_app::ports::{Freshness, OrderStore, PortResult};
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use rusqlite::{Connection, Params, Row, params};

use super::Database;
use super::failure::Failure;
use super::rows;
use super::sale_store::list;

macro_rules! order_columns {
    () => {
        "id, number, sale, user, payment, status, currency, net_minor, tax_minor, shipping_minor, discount_minor, \
         total_minor, ship_name, ship_phone, ship_address, created_at"
    };
}

const SELECT: &str = concat!("SELECT ", order_columns!(), " FROM orders WHERE user = ?1 AND id = ?2");
const SELECT_BY_SALE: &str =
    concat!("SELECT ", order_columns!(), " FROM orders WHERE user = ?1 AND sale = ?2");
const SELECT_PAGE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders WHERE user = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
);
const SELECT_LINES: &str = "SELECT title, quantity, unit_price_minor, l.total_minor, currency \
     FROM order_lines l JOIN orders o ON o.id = l.order_id WHERE l.order_id = ?1 ORDER BY l.position";
const UPSERT: &str = "INSERT INTO orders (id, number, sale, user, payment, status, currency, net_minor, tax_minor, \
     shipping_minor, discount_minor, total_minor, ship_name, ship_phone, ship_address, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
     ON CONFLICT (id) DO UPDATE SET status = ?6";
const INSERT_LINE: &str = "INSERT INTO order_lines (order_id, position, title, quantity, unit_price_minor, total_minor) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";

/// [`OrderStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqliteOrderStore {
    database: Arc<Database>,
}

impl SqliteOrderStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl OrderStore for SqliteOrderStore {
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>> {
        let find = move |connection: &Connection| orders(connection, SELECT, [user.get(), id.get()]);
        Ok(self.database.read("look an order up", find).await?.pop())
    }

    async fn lookup_by_sale(&self, user: UserId, sale: SaleId) -> PortResult<Option<Order>> {
        let find =
            move |connection: &Connection| orders(connection, SELECT_BY_SALE, [user.get(), sale.get()]);
        Ok(self.database.read("look an order up by its sale", find).await?.pop())
    }

    async fn list(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: u32,
        _freshness: Freshness,
    ) -> PortResult<Vec<Order>> {
        let before = before.map_or(i64::MAX as u64, OrderId::get);
        self.database
            .read("list orders", move |connection| {
                orders(connection, SELECT_PAGE, params![user.get(), before, limit])
            })
            .await
    }
}

/// Stores a new order with its lines; of one that is stored, only the status changes.
pub(super) fn upsert(connection: &Connection, order: &Order) -> Result<(), Failure> {
    let Order { id, number, sale, user, payment, status, lines, totals, shipping, created_at } = order;
    connection.prepare_cached(UPSERT)?.execute(params![
        id.get(),
        number,
        sale.get(),
        user.get(),
        payment.get(),
        status.name(),
        totals.total.currency().code(),
        totals.net.minor(),
        totals.tax.minor(),
        totals.shipping.minor(),
        totals.discount.minor(),
        totals.total.minor(),
        shipping.name,
        shipping.phone,
        shipping.address,
        created_at.as_millis(),
    ])?;
    let mut insert_line = connection.prepare_cached(INSERT_LINE)?;
    for (position, line) in lines.iter().enumerate() {
        let OrderLine { title, quantity, unit_price, total } = line;
        let title = rows::to_json(title);
        insert_line.execute(params![
            id.get(),
            position,
            title,
            quantity,
            unit_price.minor(),
            total.minor()
        ])?;
    }
    Ok(())
}

fn orders(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Order>, Failure> {
    let mut orders = list(connection, sql, params, order_without_lines)?;
    for order in &mut orders {
        order.lines = list(connection, SELECT_LINES, [order.id.get()], line)?;
    }
    Ok(orders)
}

fn order_without_lines(row: &Row<'_>) -> rusqlite::Result<Order> {
    const CURRENCY: usize = 6;
    Ok(Order {
        id: rows::parsed(row, 0, OrderId::new)?,
        number: row.get(1)?,
        sale: rows::parsed(row, 2, SaleId::new)?,
        user: rows::parsed(row, 3, UserId::new)?,
        payment: rows::parsed(row, 4, PaymentId::new)?,
        status: rows::named(row, 5, OrderStatus::lookup)?,
        lines: Vec::new(),
        totals: OrderTotals {
            net: rows::money(row, 7, CURRENCY)?,
            tax: rows::money(row, 8, CURRENCY)?,
            shipping: rows::money(row, 9, CURRENCY)?,
            discount: rows::money(row, 10, CURRENCY)?,
            total: rows::money(row, 11, CURRENCY)?,
        },
        shipping: rows::shipping(row, 12)?,
        created_at: rows::timestamp(row, 15)?,
    })
}

fn line(row: &Row<'_>) -> rusqlite::Result<OrderLine> {
    Ok(OrderLine {
        title: rows::json(row, 0)?,
        quantity: row.get(1)?,
        unit_price: rows::money(row, 2, 4)?,
        total: rows::money(row, 3, 4)?,
    })
}
