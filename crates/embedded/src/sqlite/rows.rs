//! How rows read back. A column that does not read as what it should be is corruption, and an error.

use std::error::Error as StdError;
use std::time::Duration;

use miaosha_app::model::{Role, SaleRow, Shipping, User};
use miaosha_app::ports::{Change, UnsettledSale};
use miaosha_domain::audit::ClaimEvent;
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{MalformedId, PaymentId, ProductId, SaleId, UserId};
use miaosha_domain::money::{Currency, Money};
use miaosha_domain::payment::{Payment, PaymentStatus};
use miaosha_domain::sale::{Book, Product, Sale, Terms};
use miaosha_domain::settle::Outlook;
use miaosha_domain::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The columns that [`terms`] and [`book`] read, in this order.
macro_rules! book_columns {
    () => {
        "s.starts_at, s.ends_at, s.hold_ms, s.standby_limit, s.standby_grace_ms, \
         s.stock, s.incoming, s.taken, s.standing, s.standby_open, s.standby_over, s.all_paid, s.paused, s.closed, \
         s.next_seq, s.serving_seq, s.version"
    };
}

/// The columns that [`sale_row`] reads, of `s`ales and their `p`roducts.
macro_rules! sale_columns {
    () => {
        concat!(
            crate::sqlite::rows::book_columns!(),
            ", s.id, s.price_minor, s.currency, s.list_price_minor, s.list_currency, s.question, s.max_people, \
             s.time_zone, p.id, p.title, p.description, p.image"
        )
    };
}

/// The columns that [`claim`] reads, of `c`laims.
macro_rules! claim_columns {
    () => {
        "c.sale, c.user, c.status, c.rev, c.seq, c.quantity, c.deadline, c.hold_until, c.payment, c.restocked"
    };
}

/// The columns that [`payment`] reads.
macro_rules! payment_columns {
    () => {
        "id, sale, user, amount_minor, currency, status, started_at, lease_until"
    };
}

/// The columns that [`user`] reads.
macro_rules! user_columns {
    () => {
        "id, email, name, role, password_hash, created_at"
    };
}

pub(super) use {book_columns, claim_columns, payment_columns, sale_columns, user_columns};

/// A name that no variant has.
#[derive(Debug, Error)]
#[error("a name that this program does not know")]
pub(crate) struct UnknownName;

/// Reads a column, and makes a domain value of it.
pub(crate) fn parsed<R: FromSql, T, E: StdError + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let malformed = |error: E| rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(error));
    parse(row.get(column)?).map_err(malformed)
}

/// Reads a column that may be null.
pub(super) fn optional<R: FromSql, T, E: StdError + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    parsed(row, column, |raw: Option<R>| raw.map(parse).transpose())
}

/// Reads a name through the `lookup` of its enum.
pub(crate) fn named<T>(
    row: &Row<'_>,
    column: usize,
    lookup: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    parsed(row, column, |name: String| lookup(&name).ok_or(UnknownName))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    parsed(row, column, |text: String| serde_json::from_str(&text))
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

fn optional_timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}

pub(super) fn money(row: &Row<'_>, minor: usize, currency: usize) -> rusqlite::Result<Money> {
    let currency = parsed(row, currency, |code: String| code.parse::<Currency>())?;
    parsed(row, minor, |minor| Money::from_minor(minor, currency))
}

fn optional_money(row: &Row<'_>, minor: usize, currency: usize) -> rusqlite::Result<Option<Money>> {
    let is_there = row.get::<_, Option<u64>>(minor)?.is_some();
    is_there.then(|| money(row, minor, currency)).transpose()
}

pub(super) fn terms(row: &Row<'_>) -> rusqlite::Result<Terms> {
    Ok(Terms {
        starts_at: timestamp(row, 0)?,
        ends_at: timestamp(row, 1)?,
        hold: Duration::from_millis(row.get(2)?),
        standby_limit: row.get(3)?,
        standby_grace: Duration::from_millis(row.get(4)?),
    })
}

pub(super) fn book(row: &Row<'_>) -> rusqlite::Result<Book> {
    Ok(Book {
        stock: row.get(5)?,
        incoming: row.get(6)?,
        taken: row.get(7)?,
        standing: row.get(8)?,
        standby_open: row.get(9)?,
        standby_over: row.get(10)?,
        all_paid: row.get(11)?,
        paused: row.get(12)?,
        closed: row.get(13)?,
        next_seq: row.get(14)?,
        serving_seq: row.get(15)?,
        version: row.get(16)?,
    })
}

pub(super) fn sale_row(row: &Row<'_>) -> rusqlite::Result<SaleRow> {
    let sale = Sale {
        id: parsed(row, 17, SaleId::new)?,
        product: Product {
            id: parsed(row, 25, ProductId::new)?,
            title: json(row, 26)?,
            description: json(row, 27)?,
            image: row.get(28)?,
        },
        price: money(row, 18, 19)?,
        list_price: optional_money(row, 20, 21)?,
        question: optional(row, 22, |text: String| serde_json::from_str(&text))?,
        max_people: row.get(23)?,
        time_zone: row.get(24)?,
        terms: terms(row)?,
    };
    Ok(SaleRow { sale, book: book(row)? })
}

/// A row of [`book_columns`], the sale's id, its first end, and whether any claim holds a unit; read at `now`.
pub(super) fn unsettled_sale(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<UnsettledSale> {
    Ok(UnsettledSale {
        id: parsed(row, 17, SaleId::new)?,
        terms: terms(row)?,
        book: book(row)?,
        outlook: Outlook { first_end: optional_timestamp(row, 18)?, is_holding: row.get(19)? },
        now,
    })
}

pub(super) fn claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    Ok(Claim {
        sale: parsed(row, 0, SaleId::new)?,
        user: parsed(row, 1, UserId::new)?,
        status: named(row, 2, ClaimStatus::lookup)?,
        rev: row.get(3)?,
        seq: row.get(4)?,
        quantity: row.get(5)?,
        deadline: optional_timestamp(row, 6)?,
        hold_until: optional_timestamp(row, 7)?,
        payment: optional(row, 8, PaymentId::new)?,
        restocked: row.get(9)?,
    })
}

/// Reads `id, sale, user, rev`.
pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        event: row.get(0)?,
        sale: parsed(row, 1, SaleId::new)?,
        user: parsed(row, 2, UserId::new)?,
        rev: row.get(3)?,
    })
}

/// Reads `id, sale, user, rev, from_status, to_status, quantity, at`.
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<ClaimEvent> {
    Ok(ClaimEvent {
        id: row.get(0)?,
        sale: parsed(row, 1, SaleId::new)?,
        user: parsed(row, 2, UserId::new)?,
        rev: row.get(3)?,
        from: optional(row, 4, |name: String| ClaimStatus::lookup(&name).ok_or(UnknownName))?,
        to: named(row, 5, ClaimStatus::lookup)?,
        quantity: row.get(6)?,
        at: timestamp(row, 7)?,
    })
}

pub(super) fn payment(row: &Row<'_>) -> rusqlite::Result<Payment> {
    Ok(Payment {
        id: parsed(row, 0, PaymentId::new)?,
        sale: parsed(row, 1, SaleId::new)?,
        user: parsed(row, 2, UserId::new)?,
        amount: money(row, 3, 4)?,
        status: named(row, 5, PaymentStatus::lookup)?,
        started_at: timestamp(row, 6)?,
        lease_until: timestamp(row, 7)?,
    })
}

/// Reads three columns: name, phone, address.
pub(super) fn shipping(row: &Row<'_>, first: usize) -> rusqlite::Result<Shipping> {
    Ok(Shipping { name: row.get(first)?, phone: row.get(first + 1)?, address: row.get(first + 2)? })
}

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: parsed(row, 0, UserId::new)?,
        email: row.get(1)?,
        name: row.get(2)?,
        role: named(row, 3, Role::lookup)?,
        password_hash: row.get(4)?,
        created_at: timestamp(row, 5)?,
    })
}

/// An id column on its own.
pub(super) fn id<T>(row: &Row<'_>, parse: impl FnOnce(u64) -> Result<T, MalformedId>) -> rusqlite::Result<T> {
    parsed(row, 0, parse)
}

/// Milliseconds, as stored.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The JSON that [`json`] reads.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts by locale have string keys, and nothing else of them can fail")
}
