//! Orders, and how a payment step writes one.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::{Order, OrderLine, OrderStatus, OrderTotals};
use miaosha_app::ports::{Freshness, OrderStore, PortResult};
use miaosha_domain::ids::{OrderId, PaymentId, SaleId, UserId};
use sqlx::mysql::MySqlRow;

use super::database::Database;
use super::rows::{self, Read};
use super::script::{Rows, Script};

/// An order with one of its lines.
macro_rules! order_columns {
    () => {
        "o.id, o.number, o.sale, o.user, o.payment, o.status, o.currency, o.net_minor, o.tax_minor, o.shipping_minor, \
         o.discount_minor, o.total_minor, o.ship_name, o.ship_phone, o.ship_address, o.created_at, \
         l.title, l.quantity, l.unit_price_minor, l.total_minor"
    };
}

pub(super) const SELECT: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.id = ? AND o.user = ? ORDER BY l.position"
);
pub(super) const SELECT_BY_SALE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM orders o JOIN order_lines l ON l.order_id = o.id WHERE o.sale = ? AND o.user = ? ORDER BY l.position"
);
pub(super) const SELECT_PAGE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM (SELECT id FROM orders WHERE user = ? AND id < ? ORDER BY id DESC LIMIT ?) page \
     JOIN orders o ON o.id = page.id JOIN order_lines l ON l.order_id = o.id ORDER BY o.id DESC, l.position"
);
/// A second order with the number, the payment or the claim of another is an error, not an update of that other.
const INSERT: &str = "INSERT INTO orders (id, number, sale, user, payment, status, currency, net_minor, tax_minor, \
     shipping_minor, discount_minor, total_minor, ship_name, ship_phone, ship_address, created_at) \
     SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM DUAL \
     WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = ?)";
const UPDATE: &str = "UPDATE orders SET status = ? WHERE id = ?";
const INSERT_LINES: &str = "INSERT INTO order_lines (order_id, position, title, quantity, unit_price_minor, total_minor) \
     VALUES ? ON DUPLICATE KEY UPDATE position = order_lines.position";

/// [`OrderStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlOrderStore {
    database: Arc<Database>,
}

impl MysqlOrderStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    async fn orders(
        &self,
        what: &'static str,
        freshness: Freshness,
        select: Script,
    ) -> PortResult<Vec<Order>> {
        Ok(whole(self.database.list(what, freshness, select, order_with_one_line).await?))
    }
}

#[async_trait]
impl OrderStore for MysqlOrderStore {
    async fn lookup(&self, user: UserId, id: OrderId) -> PortResult<Option<Order>> {
        let select = Script::of(SELECT, &[&id, &user]);
        Ok(self.orders("look an order up", Freshness::Fresh, select).await?.pop())
    }

    async fn lookup_by_sale(&self, user: UserId, sale: SaleId) -> PortResult<Option<Order>> {
        let select = Script::of(SELECT_BY_SALE, &[&sale, &user]);
        Ok(self.orders("look an order up by its sale", Freshness::Fresh, select).await?.pop())
    }

    async fn list(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<Order>> {
        let before = before.map_or(i64::MAX as u64, OrderId::get);
        self.orders("list orders", freshness, Script::of(SELECT_PAGE, &[&user, &before, &limit])).await
    }
}

/// Adds the statements that store a new order with its lines; of one that is stored, only the status changes.
pub(super) fn add(script: &mut Script, order: &Order) {
    let Order { id, number, sale, user, payment, status, lines, totals, shipping, created_at } = order;
    script.add(
        INSERT,
        &[
            id,
            number,
            sale,
            user,
            payment,
            status,
            &totals.total.currency().code(),
            &totals.net.minor(),
            &totals.tax.minor(),
            &totals.shipping.minor(),
            &totals.discount.minor(),
            &totals.total.minor(),
            &shipping.name,
            &shipping.phone,
            &shipping.address,
            created_at,
            id,
        ],
    );
    script.add_finding(1, UPDATE, &[status, id]);
    let mut rows = Rows::default();
    for (position, line) in lines.iter().enumerate() {
        let OrderLine { title, quantity, unit_price, total } = line;
        let title = rows::to_json(title);
        rows.add(&[id, &position, &title, quantity, &unit_price.minor(), &total.minor()]);
    }
    if !rows.is_empty() {
        script.add(INSERT_LINES, &[&rows]);
    }
}

/// Puts the lines of each order together; the orders keep their order.
fn whole(parts: Vec<Order>) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    let mut places = HashMap::new();
    for part in parts {
        let place = *places.entry(part.id).or_insert(orders.len());
        match orders.get_mut(place) {
            Some(order) => order.lines.extend(part.lines),
            None => orders.push(part),
        }
    }
    orders
}

fn order_with_one_line(row: &MySqlRow) -> Read<Order> {
    const CURRENCY: usize = 6;
    let money = |column| rows::money(row, column, CURRENCY);
    Ok(Order {
        id: rows::id(row, 0, OrderId::new)?,
        number: rows::bytewise(row, 1)?,
        sale: rows::id(row, 2, SaleId::new)?,
        user: rows::id(row, 3, UserId::new)?,
        payment: rows::id(row, 4, PaymentId::new)?,
        status: rows::named(row, 5, OrderStatus::lookup)?,
        lines: vec![OrderLine {
            title: rows::json(row, 16)?,
            quantity: rows::number(row, 17)?,
            unit_price: money(18)?,
            total: money(19)?,
        }],
        totals: OrderTotals {
            net: money(7)?,
            tax: money(8)?,
            shipping: money(9)?,
            discount: money(10)?,
            total: money(11)?,
        },
        shipping: rows::shipping(row, 12)?,
        created_at: rows::timestamp(row, 15)?,
    })
}
