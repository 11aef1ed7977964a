//! Sales, and the transactions under a sale's lock.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::model::SaleRow;
use miaosha_app::ports::{Freshness, PortResult, SaleStore, SaleTx, UnsettledSale};
use miaosha_domain::audit::{OrderFact, Snapshot};
use miaosha_domain::claim::{Claim, ClaimChange};
use miaosha_domain::ids::{PaymentId, SaleId, UserId};
use miaosha_domain::money::Money;
use miaosha_domain::sale::{Book, Sale, Terms};
use miaosha_domain::settle::{CHANGES_MAX, ENDS_MAX, Standing};
use miaosha_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::failure::Failure;
use super::rows::{self, book_columns, claim_columns, payment_columns, sale_columns};
use super::transaction::HeldTransaction;
use super::{Database, changes};

const INSERT_PRODUCT: &str = "INSERT INTO products (id, title, description, image) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (id) DO NOTHING";
const INSERT: &str = "INSERT INTO sales (id, product, price_minor, currency, list_price_minor, list_currency, question, \
     max_people, time_zone, starts_at, ends_at, hold_ms, standby_limit, standby_grace_ms, stock, incoming, taken, \
     standing, standby_open, standby_over, all_paid, paused, closed, next_seq, serving_seq, version) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24, ?25, ?26)";
const SELECT: &str =
    concat!("SELECT ", sale_columns!(), " FROM sales s JOIN products p ON p.id = s.product WHERE s.id = ?1");
const SELECT_PAGE: &str = concat!(
    "SELECT ",
    sale_columns!(),
    " FROM sales s JOIN products p ON p.id = s.product WHERE s.id < ?1 ORDER BY s.id DESC LIMIT ?2"
);
const SELECT_UNSETTLED: &str = concat!(
    "SELECT ",
    book_columns!(),
    ", s.id, (SELECT c.hold_until FROM claims c WHERE c.sale = s.id AND c.status IN ('reserved', 'paying') \
     AND c.status = 'reserved' ORDER BY c.hold_until LIMIT 1), \
     EXISTS (SELECT 1 FROM claims c WHERE c.sale = s.id AND c.status IN ('reserved', 'paying')) AS is_holding \
     FROM sales s WHERE s.standby_over = 0 OR s.standing > 0 OR s.incoming > 0 OR is_holding ORDER BY s.id"
);
const SELECT_BOOK: &str = concat!("SELECT ", book_columns!(), " FROM sales s WHERE s.id = ?1");
const UPDATE_BOOK: &str = "UPDATE sales SET stock = ?2, incoming = ?3, taken = ?4, standing = ?5, standby_open = ?6, \
     standby_over = ?7, all_paid = ?8, paused = ?9, closed = ?10, next_seq = ?11, serving_seq = ?12, version = ?13 \
     WHERE id = ?1";
pub(super) const SELECT_CLAIM: &str =
    concat!("SELECT ", claim_columns!(), " FROM claims c WHERE c.sale = ?1 AND c.user = ?2");
// The first condition on the status is that of the index, without which SQLite would not use it.
const SELECT_DUE: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c WHERE c.sale = ?1 AND c.status IN ('reserved', 'paying') AND c.status = 'reserved' \
     AND c.hold_until <= ?2 ORDER BY c.hold_until LIMIT ?3"
);
const SELECT_HEADS: &str = concat!(
    "SELECT ",
    claim_columns!(),
    " FROM claims c WHERE c.sale = ?1 AND c.status = 'standby' ORDER BY c.seq LIMIT ?2"
);
const COUNT_HOLDING: &str =
    "SELECT count(*) FROM claims WHERE sale = ?1 AND status IN ('reserved', 'paying')";
const SELECT_CLAIMS: &str =
    concat!("SELECT ", claim_columns!(), " FROM claims c WHERE c.sale = ?1 ORDER BY c.seq");
const SELECT_EVENTS: &str = "SELECT id, sale, user, rev, from_status, to_status, quantity, at FROM claim_events \
     WHERE sale = ?1 ORDER BY id";
const SELECT_ORDERS: &str = "SELECT user, payment FROM orders WHERE sale = ?1 ORDER BY id";
const SELECT_PAYMENTS: &str =
    concat!("SELECT ", payment_columns!(), " FROM payments WHERE sale = ?1 ORDER BY id");

/// [`SaleStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqliteSaleStore {
    database: Arc<Database>,
}

impl SqliteSaleStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl SaleStore for SqliteSaleStore {
    async fn create(&self, sale: &Sale, book: &Book) -> PortResult<()> {
        let (sale, book) = (sale.clone(), *book);
        self.database.write("store a sale", move |connection| insert(connection, &sale, &book)).await
    }

    async fn lookup(&self, id: SaleId) -> PortResult<Option<SaleRow>> {
        self.database
            .read("look a sale up", move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                Ok(select.query_row([id.get()], rows::sale_row).optional()?)
            })
            .await
    }

    async fn list(
        &self,
        before: Option<SaleId>,
        limit: u32,
        _freshness: Freshness,
    ) -> PortResult<Vec<SaleRow>> {
        let before = before.map_or(i64::MAX as u64, SaleId::get);
        self.database
            .read("list sales", move |connection| {
                list(connection, SELECT_PAGE, params![before, limit], rows::sale_row)
            })
            .await
    }

    async fn list_unsettled(&self) -> PortResult<Vec<UnsettledSale>> {
        // Before the read: what is due by it was due then.
        let now = self.database.clock.now();
        self.database
            .read("list unsettled sales", move |connection| {
                list(connection, SELECT_UNSETTLED, [], |row| rows::unsettled_sale(row, now))
            })
            .await
    }

    async fn lock(&self, id: SaleId) -> PortResult<Option<Box<dyn SaleTx>>> {
        let clock = Arc::clone(&self.database.clock);
        let begun = self
            .database
            .begin("lock a sale", move |connection| {
                let mut select = connection.prepare_cached(SELECT_BOOK)?;
                let found = select.query_row([id.get()], |row| Ok((rows::terms(row)?, rows::book(row)?)));
                Ok(found.optional()?.map(|(terms, book)| (terms, book, clock.now())))
            })
            .await?;
        Ok(begun.map(|(held, (terms, book, now))| Box::new(SqliteSaleTx { held, id, terms, book, now }) as _))
    }

    async fn snapshot(&self, id: SaleId) -> PortResult<Option<Snapshot>> {
        self.database.read("read a whole sale", move |connection| snapshot(connection, id)).await
    }
}

/// A transaction on the writer's thread, with what was read when it began.
struct SqliteSaleTx {
    held: HeldTransaction,
    id: SaleId,
    terms: Terms,
    book: Book,
    now: Timestamp,
}

#[async_trait]
impl SaleTx for SqliteSaleTx {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn book(&self) -> Book {
        self.book
    }

    async fn claims_of(&mut self, users: &[UserId]) -> PortResult<HashMap<UserId, Claim>> {
        let (sale, users) = (self.id, users.to_vec());
        self.held.look("read claims", move |connection| claims_of(connection, sale, &users)).await
    }

    async fn standing(&mut self) -> PortResult<Standing> {
        let (sale, now) = (self.id, self.now);
        self.held.look("read what is due", move |connection| standing(connection, sale, now)).await
    }

    async fn commit(self: Box<Self>, book: Book, changes: &[ClaimChange]) -> PortResult<()> {
        let Self { held, id, now, .. } = *self;
        let changes = changes.to_vec();
        held.commit("commit changes of a sale", move |connection| {
            update_book(connection, id, &book)?;
            changes::write(connection, &changes, now)
        })
        .await
    }
}

/// The claims of `users`, of those who have one.
pub(super) fn claims_of(
    connection: &Connection,
    sale: SaleId,
    users: &[UserId],
) -> Result<HashMap<UserId, Claim>, Failure> {
    let mut select = connection.prepare_cached(SELECT_CLAIM)?;
    let mut claims = HashMap::new();
    for user in users {
        if let Some(claim) = select.query_row([sale.get(), user.get()], rows::claim).optional()? {
            claims.insert(*user, claim);
        }
    }
    Ok(claims)
}

/// All rows of a query.
pub(super) fn list<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Failure> {
    let mut select = connection.prepare_cached(sql)?;
    Ok(select.query_map(params, read)?.collect::<Result<_, _>>()?)
}

fn insert(connection: &Connection, sale: &Sale, book: &Book) -> Result<(), Failure> {
    let is_known = connection.prepare_cached("SELECT 1 FROM sales WHERE id = ?1")?.exists([sale.id.get()])?;
    if is_known {
        return Ok(());
    }
    let Sale { id, product, price, list_price, question, max_people, time_zone, terms } = sale;
    connection.prepare_cached(INSERT_PRODUCT)?.execute(params![
        product.id.get(),
        rows::to_json(&product.title),
        rows::to_json(&product.description),
        product.image,
    ])?;
    connection.prepare_cached(INSERT)?.execute(params![
        id.get(),
        product.id.get(),
        price.minor(),
        price.currency().code(),
        list_price.map(Money::minor),
        list_price.map(|price| price.currency().code()),
        question.as_ref().map(rows::to_json),
        max_people,
        time_zone,
        terms.starts_at.as_millis(),
        terms.ends_at.as_millis(),
        rows::millis(terms.hold),
        terms.standby_limit,
        rows::millis(terms.standby_grace),
        book.stock,
        book.incoming,
        book.taken,
        book.standing,
        book.standby_open,
        book.standby_over,
        book.all_paid,
        book.paused,
        book.closed,
        book.next_seq,
        book.serving_seq,
        book.version,
    ])?;
    Ok(())
}

fn update_book(connection: &Connection, id: SaleId, book: &Book) -> Result<(), Failure> {
    connection.prepare_cached(UPDATE_BOOK)?.execute(params![
        id.get(),
        book.stock,
        book.incoming,
        book.taken,
        book.standing,
        book.standby_open,
        book.standby_over,
        book.all_paid,
        book.paused,
        book.closed,
        book.next_seq,
        book.serving_seq,
        book.version,
    ])?;
    Ok(())
}

fn standing(connection: &Connection, sale: SaleId, now: Timestamp) -> Result<Standing, Failure> {
    let sale = sale.get();
    Ok(Standing {
        due: list(connection, SELECT_DUE, params![sale, now.as_millis(), ENDS_MAX], rows::claim)?,
        heads: list(connection, SELECT_HEADS, params![sale, CHANGES_MAX], rows::claim)?,
        holding: connection.prepare_cached(COUNT_HOLDING)?.query_row([sale], |row| row.get(0))?,
    })
}

fn snapshot(connection: &Connection, sale: SaleId) -> Result<Option<Snapshot>, Failure> {
    let id = sale.get();
    let mut select = connection.prepare_cached(SELECT_BOOK)?;
    let found = select.query_row([id], |row| Ok((rows::terms(row)?, rows::book(row)?))).optional()?;
    let Some((terms, book)) = found else { return Ok(None) };
    let order = |row: &Row<'_>| {
        Ok(OrderFact {
            user: rows::parsed(row, 0, UserId::new)?,
            payment: rows::parsed(row, 1, PaymentId::new)?,
        })
    };
    Ok(Some(Snapshot {
        sale,
        terms,
        book,
        claims: list(connection, SELECT_CLAIMS, [id], rows::claim)?,
        events: list(connection, SELECT_EVENTS, [id], rows::event)?,
        orders: list(connection, SELECT_ORDERS, [id], order)?,
        payments: list(connection, SELECT_PAYMENTS, [id], rows::payment)?,
    }))
}
