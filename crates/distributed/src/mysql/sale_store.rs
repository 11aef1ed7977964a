//! Sales. The transactions under their locks are in [`super::sale_transaction`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::model::SaleRow;
use miaosha_app::ports::{Freshness, PortResult, SaleStore, SaleTx, UnsettledSale};
use miaosha_domain::audit::Snapshot;
use miaosha_domain::ids::SaleId;
use miaosha_domain::money::Money;
use miaosha_domain::sale::{Book, Sale};

use super::database::Database;
use super::failure::Failure;
use super::rows::{self, Malformed, book_columns, claim_columns, now_ms, payment_columns, sale_columns};
use super::sale_transaction::{self, may_change};
use super::script::{Answer, Script};

/// Only if the sale is not known, so that storing it again changes nothing.
pub(super) const INSERT_PRODUCT: &str = "INSERT INTO products (id, title, description, image) \
     SELECT ?, ?, ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM sales WHERE id = ?) ON DUPLICATE KEY UPDATE id = products.id";
pub(super) const INSERT: &str = "INSERT INTO sales (id, product, price_minor, currency, list_price_minor, list_currency, \
     question, max_people, time_zone, starts_at, ends_at, hold_ms, standby_limit, standby_grace_ms, stock, incoming, \
     taken, standing, standby_open, standby_over, all_paid, paused, closed, next_seq, serving_seq, version, may_change) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
     ON DUPLICATE KEY UPDATE id = sales.id";
pub(super) const SELECT: &str =
    concat!("SELECT ", sale_columns!(), " FROM sales s JOIN products p ON p.id = s.product WHERE s.id = ?");
pub(super) const SELECT_PAGE: &str = concat!(
    "SELECT ",
    sale_columns!(),
    " FROM sales s JOIN products p ON p.id = s.product WHERE s.id < ? ORDER BY s.id DESC LIMIT ?"
);
/// `may_change` keeps the sales of long ago out; the rest says which of the others really may.
/// Of the claims of each, a row or two of the index are read.
pub(super) const SELECT_UNSETTLED: &str = concat!(
    "SELECT ",
    book_columns!(),
    ", s.id, (SELECT c.hold_until FROM claims c FORCE INDEX (claims_status) WHERE c.sale = s.id \
     AND c.status = 'reserved' ORDER BY c.hold_until LIMIT 1), \
     EXISTS (SELECT 1 FROM claims c WHERE c.sale = s.id AND c.status IN ('reserved', 'paying')), ",
    now_ms!(),
    " FROM sales s FORCE INDEX (sales_unsettled) WHERE s.may_change = 1 \
     AND (s.standby_over = 0 OR s.standing > 0 OR s.incoming > 0 \
     OR EXISTS (SELECT 1 FROM claims c WHERE c.sale = s.id AND c.status IN ('reserved', 'paying'))) ORDER BY s.id"
);
pub(super) const SELECT_BOOK: &str = concat!("SELECT ", book_columns!(), " FROM sales s WHERE s.id = ?");
pub(super) const SELECT_CLAIMS: &str =
    concat!("SELECT ", claim_columns!(), " FROM claims c WHERE c.sale = ? ORDER BY c.seq");
pub(super) const SELECT_EVENTS: &str = "SELECT id, sale, user, rev, from_status, to_status, quantity, at FROM claim_events \
     WHERE sale = ? ORDER BY id";
pub(super) const SELECT_ORDERS: &str = "SELECT user, payment FROM orders WHERE sale = ? ORDER BY id";
pub(super) const SELECT_PAYMENTS: &str =
    concat!("SELECT ", payment_columns!(), " FROM payments WHERE sale = ? ORDER BY id");

/// How long reading a whole sale may take.
const SNAPSHOT_MAX: Duration = Duration::from_mins(1);

/// [`SaleStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlSaleStore {
    database: Arc<Database>,
}

impl MysqlSaleStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl SaleStore for MysqlSaleStore {
    async fn create(&self, sale: &Sale, book: &Book) -> PortResult<()> {
        let written = self.database.write(insert(sale, book)).await;
        written.map(drop).map_err(|failure| failure.into_port_error("store a sale"))
    }

    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>> {
        self.database.lookup("look a sale up", Script::of(SELECT, &[&id]), rows::sale_row).await
    }

    async fn list(
        &self,
        before: Option<SaleId>,
        limit: u32,
        freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>> {
        let before = before.map_or(i64::MAX as u64, SaleId::get);
        let page = Script::of(SELECT_PAGE, &[&before, &limit]);
        self.database.list("list sales", freshness, page, rows::sale_row).await
    }

    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>> {
        let select = Script::of(SELECT_UNSETTLED, &[]);
        self.database.list("list unsettled sales", Freshness::Fresh, select, rows::unsettled_sale).await
    }

    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        sale_transaction::lock(&self.database, id).await
    }

    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>> {
        const WHAT: &str = "read a whole sale";
        let answers = self.database.read_within(WHAT, select_all(id), SNAPSHOT_MAX).await?;
        snapshot(id, &answers).map_err(|malformed| Failure::from(malformed).into_port_error(WHAT))
    }
}

fn insert(sale: &Sale, book: &Book) -> Script {
    let Sale { id, product, price, list_price, question, max_people, time_zone, terms } = sale;
    let (title, description) = (rows::to_json(&product.title), rows::to_json(&product.description));
    let question = question.as_ref().map(rows::to_json);
    Script::of("START TRANSACTION", &[])
        .then(INSERT_PRODUCT, &[&product.id, &title, &description, &product.image, id])
        .then(
            INSERT,
            &[
                id,
                &product.id,
                &price.minor(),
                &price.currency().code(),
                &list_price.map(Money::minor),
                &list_price.map(|price| price.currency().code()),
                &question,
                max_people,
                time_zone,
                &terms.starts_at,
                &terms.ends_at,
                &rows::millis(terms.hold),
                &terms.standby_limit,
                &rows::millis(terms.standby_grace),
                &book.stock,
                &book.incoming,
                &book.taken,
                &book.standing,
                &book.standby_open,
                &book.standby_over,
                &book.all_paid,
                &book.paused,
                &book.closed,
                &book.next_seq,
                &book.serving_seq,
                &book.version,
                &may_change(book, None),
            ],
        )
        .then("COMMIT", &[])
}

/// Everything of a sale as of one moment, beside any writer.
fn select_all(sale: SaleId) -> Script {
    Script::of("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", &[])
        .then("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", &[])
        .then(SELECT_BOOK, &[&sale])
        .then(SELECT_CLAIMS, &[&sale])
        .then(SELECT_EVENTS, &[&sale])
        .then(SELECT_ORDERS, &[&sale])
        .then(SELECT_PAYMENTS, &[&sale])
        .then("COMMIT", &[])
}

fn snapshot(sale: SaleId, answers: &[Answer]) -> Result<Option<Snapshot>, Malformed> {
    let [_, _, found, claims, events, orders, payments, _] = answers else {
        unreachable!("each statement of `select_all` answers once");
    };
    let Some(row) = found.rows.first() else { return Ok(None) };
    Ok(Some(Snapshot {
        sale,
        terms: rows::terms(row)?,
        book: rows::book(row)?,
        claims: claims.rows.iter().map(rows::claim).collect::<Result<_, _>>()?,
        events: events.rows.iter().map(rows::event).collect::<Result<_, _>>()?,
        orders: orders.rows.iter().map(rows::order_fact).collect::<Result<_, _>>()?,
        payments: payments.rows.iter().map(rows::payment).collect::<Result<_, _>>()?,
    }))
}
