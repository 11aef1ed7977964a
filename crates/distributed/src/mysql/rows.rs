//! How rows read back. A column that does not read as what it should be is corruption, and an error.

use std::time::Duration;

use miaosha_app::model::{Role, SaleRow, Shipping, User};
use miaosha_app::ports::{Cause, Change, UnsettledSale};
use miaosha_domain::audit::{ClaimEvent, OrderFact};
use miaosha_domain::claim::{Claim, ClaimStatus};
use miaosha_domain::ids::{MalformedId, PaymentId, ProductId, SaleId, UserId};
use miaosha_domain::money::{Currency, Money};
use miaosha_domain::payment::{Payment, PaymentStatus};
use miaosha_domain::sale::{Book, Product, Sale, Terms};
use miaosha_domain::settle::Outlook;
use miaosha_domain::time::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::mysql::{MySql, MySqlRow};

use super::failure::Failure;

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
            crate::mysql::rows::book_columns!(),
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

/// The server's clock in milliseconds since 1970, at the start of the statement.
macro_rules! now_ms {
    () => {
        "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"
    };
}

pub(super) use {book_columns, claim_columns, now_ms, payment_columns, sale_columns, user_columns};

/// A column does not read as what it should be.
#[derive(Debug, thiserror::Error)]
#[error("column {column} does not read as what it should be")]
pub(super) struct Malformed {
    column: usize,
    source: Cause,
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.into())
    }
}

/// What reading gives.
pub(super) type Read<T> = Result<T, Malformed>;

/// Reads a column as the driver does.
pub(super) fn get<'r, T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>>(
    row: &'r MySqlRow,
    column: usize,
) -> Read<T> {
    row.try_get(column).map_err(|error| Malformed { column, source: error.into() })
}

/// Reads a column, and makes a domain value of it.
fn parsed<'r, R, T, E>(row: &'r MySqlRow, column: usize, parse: impl FnOnce(R) -> Result<T, E>) -> Read<T>
where
    R: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
    E: Into<Cause>,
{
    parse(get(row, column)?).map_err(|error| Malformed { column, source: error.into() })
}

/// A number of any kind.
pub(super) fn number<T: TryFrom<i64, Error: Into<Cause>>>(row: &MySqlRow, column: usize) -> Read<T> {
    parsed(row, column, |raw: i64| T::try_from(raw))
}

/// A number of any kind, or null.
pub(super) fn optional_number<T: TryFrom<i64, Error: Into<Cause>>>(
    row: &MySqlRow,
    column: usize,
) -> Read<Option<T>> {
    parsed(row, column, |raw: Option<i64>| raw.map(T::try_from).transpose())
}

/// Numbers with commas between them; null is none.
pub(super) fn numbers(row: &MySqlRow, column: usize) -> Read<Vec<u64>> {
    parsed(row, column, |list: Option<String>| {
        list.iter().flat_map(|list| list.split(',')).map(str::parse).collect()
    })
}

fn is(row: &MySqlRow, column: usize) -> Read<bool> {
    Ok(get::<i64>(row, column)? != 0)
}

/// An id.
pub(super) fn id<T>(
    row: &MySqlRow,
    column: usize,
    parse: impl FnOnce(u64) -> Result<T, MalformedId>,
) -> Read<T> {
    let raw = number(row, column)?;
    parse(raw).map_err(|error| Malformed { column, source: error.into() })
}

/// A name, through the `lookup` of its enum.
pub(super) fn named<T>(row: &MySqlRow, column: usize, lookup: impl FnOnce(&str) -> Option<T>) -> Read<T> {
    parsed(row, column, |name: &str| lookup(name).ok_or("a name that this program does not know"))
}

/// A text whose column compares byte by byte.
pub(super) fn bytewise(row: &MySqlRow, column: usize) -> Read<String> {
    parsed(row, column, |bytes: Vec<u8>| String::from_utf8(bytes))
}

/// A JSON text.
pub(super) fn json<T: DeserializeOwned>(row: &MySqlRow, column: usize) -> Read<T> {
    parsed(row, column, |text: &str| serde_json::from_str(text))
}

/// A moment.
pub(super) fn timestamp(row: &MySqlRow, column: usize) -> Read<Timestamp> {
    Ok(Timestamp::from_millis(get(row, column)?))
}

fn optional_timestamp(row: &MySqlRow, column: usize) -> Read<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_millis))
}

fn duration(row: &MySqlRow, column: usize) -> Read<Duration> {
    Ok(Duration::from_millis(number(row, column)?))
}

/// An amount, of which two columns tell.
pub(super) fn money(row: &MySqlRow, minor: usize, currency: usize) -> Read<Money> {
    let currency = parsed(row, currency, |code: &str| code.parse::<Currency>())?;
    let amount: u64 = number(row, minor)?;
    Money::from_minor(amount, currency).map_err(|error| Malformed { column: minor, source: error.into() })
}

/// The terms of [`book_columns`].
pub(super) fn terms(row: &MySqlRow) -> Read<Terms> {
    Ok(Terms {
        starts_at: timestamp(row, 0)?,
        ends_at: timestamp(row, 1)?,
        hold: duration(row, 2)?,
        standby_limit: number(row, 3)?,
        standby_grace: duration(row, 4)?,
    })
}

/// The book of [`book_columns`].
pub(super) fn book(row: &MySqlRow) -> Read<Book> {
    Ok(Book {
        stock: number(row, 5)?,
        incoming: number(row, 6)?,
        taken: number(row, 7)?,
        standing: number(row, 8)?,
        standby_open: is(row, 9)?,
        standby_over: is(row, 10)?,
        all_paid: is(row, 11)?,
        paused: is(row, 12)?,
        closed: is(row, 13)?,
        next_seq: number(row, 14)?,
        serving_seq: number(row, 15)?,
        version: number(row, 16)?,
    })
}

/// A row of [`sale_columns`].
pub(super) fn sale_row(row: &MySqlRow) -> Read<SaleRow> {
    let sale = Sale {
        id: id(row, 17, SaleId::new)?,
        product: Product {
            id: id(row, 25, ProductId::new)?,
            title: json(row, 26)?,
            description: json(row, 27)?,
            image: get(row, 28)?,
        },
        price: money(row, 18, 19)?,
        list_price: get::<Option<i64>>(row, 20)?.map(|_| money(row, 20, 21)).transpose()?,
        question: parsed(row, 22, |text: Option<&str>| text.map(serde_json::from_str).transpose())?,
        max_people: optional_number(row, 23)?,
        time_zone: get(row, 24)?,
        terms: terms(row)?,
    };
    Ok(SaleRow { sale, book: book(row)? })
}

/// A row of [`book_columns`], the sale's id, its first end, whether any claim holds a unit, and the time.
pub(super) fn unsettled_sale(row: &MySqlRow) -> Read<UnsettledSale> {
    Ok(UnsettledSale {
        id: id(row, 17, SaleId::new)?,
        terms: terms(row)?,
        book: book(row)?,
        outlook: Outlook { first_end: optional_timestamp(row, 18)?, is_holding: is(row, 19)? },
        now: timestamp(row, 20)?,
    })
}

/// A row of [`claim_columns`].
pub(super) fn claim(row: &MySqlRow) -> Read<Claim> {
    let payment = match optional_number(row, 8)? {
        None => None,
        Some(raw) => {
            Some(PaymentId::new(raw).map_err(|error| Malformed { column: 8, source: error.into() })?)
        }
    };
    Ok(Claim {
        sale: id(row, 0, SaleId::new)?,
        user: id(row, 1, UserId::new)?,
        status: named(row, 2, ClaimStatus::lookup)?,
        rev: number(row, 3)?,
        seq: number(row, 4)?,
        quantity: number(row, 5)?,
        deadline: optional_timestamp(row, 6)?,
        hold_until: optional_timestamp(row, 7)?,
        payment,
        restocked: is(row, 9)?,
    })
}

/// Changes, each as four numbers, in one column.
pub(super) fn changes(row: &MySqlRow, column: usize) -> Read<Vec<Change>> {
    let change = |numbers: &[u64; 4]| {
        let [event, sale, user, rev] = *numbers;
        Ok(Change { event, sale: SaleId::new(sale)?, user: UserId::new(user)?, rev })
    };
    let numbers = numbers(row, column)?;
    let (changes, []) = numbers.as_chunks() else {
        return Err(Malformed { column, source: "a change was cut off".into() });
    };
    let changes: Result<_, _> = changes.iter().map(change).collect();
    changes.map_err(|error: MalformedId| Malformed { column, source: error.into() })
}

/// Reads `id, sale, user, rev, from_status, to_status, quantity, at`.
pub(super) fn event(row: &MySqlRow) -> Read<ClaimEvent> {
    let from = match get::<Option<&str>>(row, 4)? {
        None => None,
        Some(_) => Some(named(row, 4, ClaimStatus::lookup)?),
    };
    Ok(ClaimEvent {
        id: number(row, 0)?,
        sale: id(row, 1, SaleId::new)?,
        user: id(row, 2, UserId::new)?,
        rev: number(row, 3)?,
        from,
        to: named(row, 5, ClaimStatus::lookup)?,
        quantity: number(row, 6)?,
        at: timestamp(row, 7)?,
    })
}

/// Reads `user, payment` of an order.
pub(super) fn order_fact(row: &MySqlRow) -> Read<OrderFact> {
    Ok(OrderFact { user: id(row, 0, UserId::new)?, payment: id(row, 1, PaymentId::new)? })
}

/// A row of [`payment_columns`].
pub(super) fn payment(row: &MySqlRow) -> Read<Payment> {
    Ok(Payment {
        id: id(row, 0, PaymentId::new)?,
        sale: id(row, 1, SaleId::new)?,
        user: id(row, 2, UserId::new)?,
        amount: money(row, 3, 4)?,
        status: named(row, 5, PaymentStatus::lookup)?,
        started_at: timestamp(row, 6)?,
        lease_until: timestamp(row, 7)?,
    })
}

/// Reads three columns: name, phone, address.
pub(super) fn shipping(row: &MySqlRow, first: usize) -> Read<Shipping> {
    Ok(Shipping { name: get(row, first)?, phone: get(row, first + 1)?, address: get(row, first + 2)? })
}

/// A row of [`user_columns`].
pub(super) fn user(row: &MySqlRow) -> Read<User> {
    Ok(User {
        id: id(row, 0, UserId::new)?,
        email: bytewise(row, 1)?,
        name: get(row, 2)?,
        role: named(row, 3, Role::lookup)?,
        password_hash: get(row, 4)?,
        created_at: timestamp(row, 5)?,
    })
}

/// Milliseconds, as stored.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The JSON that [`json`] reads.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("texts by locale have string keys, and nothing else of them can fail")
}
