//! A sale: what is sold and when ([`Sale`], [`Terms`]), and what its row counts ([`Book`]).
//!
//! Who gets a unit is in [`crate::decide`], how it comes back in [`crate::settle`].

use std::time::Duration;

use thiserror::Error;

use crate::ids::{ProductId, SaleId};
use crate::money::Money;
use crate::question::{LocalizedText, Question};
use crate::time::Timestamp;

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Its name, at most [`TITLE_LEN_MAX`] characters in each locale.
    pub title: LocalizedText,
    /// A longer text; may be empty.
    pub description: LocalizedText,
    /// The address of a picture.
    pub image: Option<String>,
}

/// A sale as it was planned. Only its [`Book`] changes afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sale {
    /// Its id.
    pub id: SaleId,
    /// The one product it sells.
    pub product: Product,
    /// The price of a unit.
    pub price: Money,
    /// The usual price, shown beside it.
    pub list_price: Option<Money>,
    /// The question before buying, if there is one.
    pub question: Option<Question>,
    /// How many people may be under way at once; a flood bound that never decides who gets a unit.
    pub max_people: Option<u64>,
    /// The IANA time zone in which its times are shown.
    pub time_zone: String,
    /// When and under which limits.
    pub terms: Terms,
}

/// When a sale runs and under which limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Requests are taken from this moment on,
    pub starts_at: Timestamp,
    /// and until just before this one. What was accepted earlier is still decided afterwards.
    pub ends_at: Timestamp,
    /// How long a reservation waits for its payment.
    pub hold: Duration,
    /// How many units' worth of people may stand by.
    pub standby_limit: u32,
    /// How long after `ends_at` promotion may go on at the most.
    pub standby_grace: Duration,
}

/// What the sale's row counts: read and written only under the sale's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the columns of a row; each turns by a rule of its own")]
pub struct Book {
    /// Units up for sale.
    pub stock: u32,
    /// Units added that wait to be put up, so that no transaction has to promote more people than it may.
    pub incoming: u32,
    /// Units of claims reserved, paying, paid, or refunded and not restocked.
    pub taken: u32,
    /// Units that people standing by wait for.
    pub standing: u32,
    /// Whether a newcomer may stand by.
    pub standby_open: bool,
    /// Whether standby has ended for good; who still stands by is about to be rejected.
    pub standby_over: bool,
    /// Whether nothing is free and nobody reserved or pays, so only a refund could bring a unit back.
    pub all_paid: bool,
    /// Whether requests are stopped for a while.
    pub paused: bool,
    /// Whether requests and standby were ended by hand.
    pub closed: bool,
    /// The number that the next claim gets; counts claims ever made.
    pub next_seq: u64,
    /// The `seq` of the person promoted last; 0 before the first.
    pub serving_seq: u64,
    /// Counts the changes of the row.
    pub version: u64,
}

/// What a visitor is shown. The order of the variants is the order in which they win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaleState {
    /// Past its end, or closed.
    Ended,
    /// Stopped for a while.
    Paused,
    /// Before its start.
    Scheduled,
    /// Nothing free and standby closed, or every unit paid.
    SoldOut,
    /// Taking requests.
    Open,
}

impl SaleState {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Paused => "paused",
            Self::Scheduled => "scheduled",
            Self::SoldOut => "sold_out",
            Self::Open => "open",
        }
    }
}

impl Terms {
    /// The moment at which standby is over even if people still reserve or pay.
    pub fn standby_ends_at(&self) -> Timestamp {
        self.ends_at + self.standby_grace
    }
}

impl Book {
    /// The book of a sale nobody has asked for yet.
    pub fn new(stock: u32, terms: &Terms) -> Self {
        let mut book = Self {
            stock,
            incoming: 0,
            taken: 0,
            standing: 0,
            standby_open: false,
            standby_over: false,
            all_paid: false,
            paused: false,
            closed: false,
            next_seq: 1,
            serving_seq: 0,
            version: 1,
        };
        book.turn_standby(terms);
        book
    }

    /// Units that nobody holds; none if more are taken than there are, which [`crate::audit`] reports.
    pub fn free(&self) -> u32 {
        self.stock.saturating_sub(self.taken)
    }

    /// Whether people stand by who may still be served.
    pub fn serves_standby(&self) -> bool {
        self.standing > 0 && !self.standby_over
    }

    /// Whether the sale may still change by itself whatever its claims are. If not, it has ended, and may change only
    /// while somebody reserves or pays.
    pub fn may_change(&self) -> bool {
        !self.standby_over || self.standing > 0 || self.incoming > 0
    }

    /// Whether a newcomer would be refused.
    pub fn sold_out(&self) -> bool {
        self.all_paid || (self.free() == 0 && !self.standby_open)
    }

    /// What a visitor is shown at `now`.
    pub fn state(&self, terms: &Terms, now: Timestamp) -> SaleState {
        if self.closed || now >= terms.ends_at {
            SaleState::Ended
        } else if self.paused {
            SaleState::Paused
        } else if now < terms.starts_at {
            SaleState::Scheduled
        } else if self.sold_out() {
            SaleState::SoldOut
        } else {
            SaleState::Open
        }
    }

    /// Standby after a change: open if a unit is free, then closed if it is full, otherwise as it was. So it
    /// closes when it first fills, and reopens only when a unit is free and nobody stands by.
    pub(crate) fn turn_standby(&mut self, terms: &Terms) {
        if self.free() > 0 {
            self.standby_open = true;
            self.all_paid = false;
        }
        if self.standing >= terms.standby_limit || self.standby_over {
            self.standby_open = false;
        }
    }
}

/// Stops requests; deadlines go on. Idempotent.
///
/// # Errors
/// [`SaleEnded`] once the sale has ended.
pub fn pause(terms: &Terms, book: &mut Book, now: Timestamp) -> Result<(), SaleEnded> {
    set_paused(terms, book, now, true)
}

/// Takes requests again. Idempotent.
///
/// # Errors
/// [`SaleEnded`] once the sale has ended.
pub fn resume(terms: &Terms, book: &mut Book, now: Timestamp) -> Result<(), SaleEnded> {
    set_paused(terms, book, now, false)
}

fn set_paused(terms: &Terms, book: &mut Book, now: Timestamp, paused: bool) -> Result<(), SaleEnded> {
    require_running(terms, book, now)?;
    if book.paused != paused {
        book.paused = paused;
        book.version += 1;
    }
    Ok(())
}

/// Ends requests and standby at once. What was accepted and is decided later is rejected, even with a unit free;
/// reservations run out their hold. Idempotent. [`crate::settle::settle`] rejects those who stand by.
pub fn close(book: &mut Book) {
    if !book.closed {
        book.closed = true;
        book.standby_over = true;
        book.standby_open = false;
        book.version += 1;
    }
}

/// Adds `units` to the stock. They are put up by [`crate::settle::settle`]: at once, but as many at a time as it may
/// promote while many stand by.
///
/// # Errors
/// [`AddStockError`]; the book is unchanged.
pub fn add_stock(terms: &Terms, book: &mut Book, units: u32, now: Timestamp) -> Result<(), AddStockError> {
    require_running(terms, book, now)?;
    let total = u64::from(book.stock) + u64::from(book.incoming) + u64::from(units);
    if units == 0 || total > u64::from(STOCK_MAX) {
        return Err(AddStockError::StockOutOfRange);
    }
    book.incoming += units;
    book.version += 1;
    Ok(())
}

fn require_running(terms: &Terms, book: &Book, now: Timestamp) -> Result<(), SaleEnded> {
    if book.state(terms, now) == SaleState::Ended { Err(SaleEnded) } else { Ok(()) }
}

/// The sale has ended, by its time or by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the sale has ended")]
pub struct SaleEnded;

/// Why stock was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddStockError {
    /// The sale has ended.
    #[error(transparent)]
    Ended(#[from] SaleEnded),
    /// Nothing to add, or more than [`STOCK_MAX`] in all.
    #[error("add at least 1 unit, and no more than 1000000 in all")]
    StockOutOfRange,
}

/// The most units a sale may have.
pub const STOCK_MAX: u32 = 1_000_000;
/// The most people that may stand by.
pub const STANDBY_LIMIT_MAX: u32 = 1_000_000;
/// The longest title, in characters.
pub const TITLE_LEN_MAX: usize = 200;
/// The longest description, in characters.
pub const DESCRIPTION_LEN_MAX: usize = 20_000;
/// The shortest and the longest hold.
pub const HOLD_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(7 * 24);
/// The longest sale.
pub const LASTS_MAX: Duration = Duration::from_hours(366 * 24);

/// Why a plan is not a sale. The text says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlanError {
    /// No title, or too long in some locale.
    #[error("give a title of 1 to 200 characters")]
    Title,
    /// Too long in some locale.
    #[error("keep the description below 20000 characters")]
    Description,
    /// Outside 1 to [`STOCK_MAX`].
    #[error("give a stock of 1 to 1000000 units")]
    Stock,
    /// Above [`STANDBY_LIMIT_MAX`].
    #[error("let at most 1000000 people stand by")]
    Standby,
    /// Outside [`HOLD_RANGE`].
    #[error("give a hold between 100 ms and 7 days")]
    Hold,
    /// Ends before it starts, or lasts too long.
    #[error("let the sale last more than nothing and at most 366 days")]
    Lasts,
    /// Below stock and standby together.
    #[error("max_people must be at least stock + standby")]
    MaxPeople,
    /// The list price is in another currency.
    #[error("give the list price in the currency of the price")]
    ListPrice,
}

impl Sale {
    /// Checks a plan against every limit.
    ///
    /// # Errors
    /// The first [`PlanError`] found.
    pub fn check(&self, stock: u32) -> Result<(), PlanError> {
        let lengths_in =
            |text: &LocalizedText, min, max| text.texts().all(|t| (min..=max).contains(&t.chars().count()));
        let terms = &self.terms;
        let lasts = terms.ends_at.saturating_since(terms.starts_at);
        let people_min = u64::from(stock) + u64::from(terms.standby_limit);
        if !lengths_in(&self.product.title, 1, TITLE_LEN_MAX) {
            Err(PlanError::Title)
        } else if !lengths_in(&self.product.description, 0, DESCRIPTION_LEN_MAX) {
            Err(PlanError::Description)
        } else if !(1..=STOCK_MAX).contains(&stock) {
            Err(PlanError::Stock)
        } else if terms.standby_limit > STANDBY_LIMIT_MAX {
            Err(PlanError::Standby)
        } else if !HOLD_RANGE.contains(&terms.hold) {
            Err(PlanError::Hold)
        } else if lasts.is_zero() || lasts > LASTS_MAX {
            Err(PlanError::Lasts)
        } else if self.max_people.is_some_and(|max| max < people_min) {
            Err(PlanError::MaxPeople)
        } else if self.list_price.is_some_and(|list| list.currency() != self.price.currency()) {
            Err(PlanError::ListPrice)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        starts_at: Timestamp::from_millis(1_000),
        ends_at: Timestamp::from_millis(2_000),
        hold: Duration::from_millis(500),
        standby_limit: 1,
        standby_grace: Duration::from_secs(1),
    };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn ended_wins_over_paused_over_scheduled_over_sold_out_over_open() {
        let mut book = Book::new(1, &TERMS);
        assert_eq!(book.state(&TERMS, at(999)), SaleState::Scheduled);
        assert_eq!(book.state(&TERMS, at(1_000)), SaleState::Open);
        book.taken = 1;
        book.standby_open = false;
        assert_eq!(book.state(&TERMS, at(1_999)), SaleState::SoldOut);
        pause(&TERMS, &mut book, at(500)).unwrap();
        assert_eq!(book.state(&TERMS, at(500)), SaleState::Paused);
        assert_eq!(book.state(&TERMS, at(2_000)), SaleState::Ended);
        assert_eq!(resume(&TERMS, &mut book, at(2_000)), Err(SaleEnded));
    }

    #[test]
    fn stock_is_not_added_after_the_end_nor_beyond_the_limit() {
        let mut book = Book::new(1, &TERMS);
        let before = book;
        assert_eq!(add_stock(&TERMS, &mut book, 1, at(2_000)), Err(AddStockError::Ended(SaleEnded)));
        assert_eq!(add_stock(&TERMS, &mut book, 0, at(0)), Err(AddStockError::StockOutOfRange));
        assert_eq!(add_stock(&TERMS, &mut book, STOCK_MAX, at(0)), Err(AddStockError::StockOutOfRange));
        assert_eq!(book, before);
        close(&mut book);
        assert_eq!(add_stock(&TERMS, &mut book, 1, at(0)), Err(AddStockError::Ended(SaleEnded)));
    }

    #[test]
    fn a_sale_without_standby_is_sold_out_when_nothing_is_free() {
        let terms = Terms { standby_limit: 0, ..TERMS };
        let mut book = Book::new(1, &terms);
        assert!(!book.standby_open && !book.sold_out());
        book.taken = 1;
        book.turn_standby(&terms);
        assert!(book.sold_out());
    }
}
