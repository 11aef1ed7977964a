//! What a merchandiser does with a sale: plan, pause, resume, add stock, close.

use std::time::Duration;

use miaosha_domain::ids::{ProductId, SaleId};
use miaosha_domain::money::Money;
use miaosha_domain::question::{LocalizedText, Question};
use miaosha_domain::sale::{
    AddStockError, Book, PlanError, Product, Sale, SaleEnded, Terms, add_stock as add_stock_rule,
    close as close_rule, pause as pause_rule, resume as resume_rule,
};
use miaosha_domain::settle::{Settled, settle};
use miaosha_domain::time::Timestamp;

use crate::announce::announce_sale;
use crate::model::{DatedBook, Outcomes, SaleRow};
use crate::ports::{PortError, PortResult, Ports};

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Managed<Refusal> {
    /// Done: the book as it is now.
    Done(Book),
    /// There is no such sale.
    NoSuchSale,
    /// Nothing was changed.
    Refused(Refusal),
}

/// What a merchandiser plans. [`SalePlan::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct SalePlan {
    /// The product's name.
    pub title: LocalizedText,
    /// A longer text; may be empty.
    pub description: LocalizedText,
    /// The address of a picture.
    pub image: Option<String>,
    /// Units for sale.
    pub stock: u32,
    /// When requests are taken from.
    pub starts: Starts,
    /// For how long requests are taken.
    pub lasts: Duration,
    /// How long a reservation waits for its payment.
    pub hold: Duration,
    /// How many people may stand by; as many as the stock if not given.
    pub standby: Option<u32>,
    /// How many people may be under way at once.
    pub max_people: Option<u64>,
    /// The price of a unit.
    pub price: Money,
    /// The usual price, shown beside it.
    pub list_price: Option<Money>,
    /// The question before buying.
    pub question: Option<Question>,
    /// The IANA time zone in which times are shown.
    pub time_zone: String,
}

/// When a sale starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// This long after it is stored.
    In(Duration),
    /// At this moment.
    At(Timestamp),
}

/// How long a reservation waits for its payment, if not said otherwise.
pub const HOLD_DEFAULT: Duration = Duration::from_mins(10);
/// How long requests are taken, if not said otherwise.
pub const LASTS_DEFAULT: Duration = Duration::from_mins(15);

impl SalePlan {
    /// A plan with every default.
    pub fn new(title: LocalizedText, stock: u32, starts: Starts, price: Money) -> Self {
        Self {
            title,
            description: LocalizedText::plain(""),
            image: None,
            stock,
            starts,
            lasts: LASTS_DEFAULT,
            hold: HOLD_DEFAULT,
            standby: None,
            max_people: None,
            price,
            list_price: None,
            question: None,
            time_zone: "UTC".to_owned(),
        }
    }

    /// The sale as it will be stored at `now`. Standby ends at the latest two holds after the sale.
    fn into_sale(self, id: SaleId, product: ProductId, now: Timestamp) -> Sale {
        let starts_at = match self.starts {
            Starts::In(span) => now + span,
            Starts::At(moment) => moment,
        };
        let terms = Terms {
            starts_at,
            ends_at: starts_at + self.lasts,
            hold: self.hold,
            standby_limit: self.standby.unwrap_or(self.stock),
            standby_grace: self.hold.saturating_mul(2),
        };
        Sale {
            id,
            product: Product {
                id: product,
                title: self.title,
                description: self.description,
                image: self.image,
            },
            price: self.price,
            list_price: self.list_price,
            question: self.question,
            max_people: self.max_people,
            time_zone: self.time_zone,
            terms,
        }
    }
}

/// Checks a plan and stores it as a new sale.
pub async fn plan_sale(ports: &Ports, plan: SalePlan) -> PortResult<Result<SaleRow, PlanError>> {
    let new_id = |error| PortError::terminal("making an id", error);
    let product = ProductId::new(ports.ids.next()).map_err(new_id)?;
    let id = SaleId::new(ports.ids.next()).map_err(new_id)?;
    let stock = plan.stock;
    let as_of = ports.clock.now();
    let sale = plan.into_sale(id, product, as_of);
    if let Err(error) = sale.check(stock) {
        return Ok(Err(error));
    }
    let book = Book::new(stock, &sale.terms);
    ports.sales.create(&sale, &book).await?;
    let outcomes = Outcomes::of_book(sale.id, DatedBook { book, as_of }, Vec::new());
    announce_sale(ports, &sale.terms, outcomes).await;
    Ok(Ok(SaleRow { sale, book }))
}

/// Stops requests; deadlines go on. Idempotent.
pub async fn pause_sale(ports: &Ports, id: SaleId) -> PortResult<Managed<SaleEnded>> {
    change(ports, id, pause_rule).await
}

/// Takes requests again. Idempotent.
pub async fn resume_sale(ports: &Ports, id: SaleId) -> PortResult<Managed<SaleEnded>> {
    change(ports, id, resume_rule).await
}

/// Adds units and puts them up at once, unless more people stand by than one transaction may promote: then the sweeper
/// puts up the rest within seconds. Not idempotent.
pub async fn add_stock(ports: &Ports, id: SaleId, units: u32) -> PortResult<Managed<AddStockError>> {
    change(ports, id, |terms, book, now| add_stock_rule(terms, book, units, now)).await
}

/// Ends requests and standby at once; reservations run out their hold. Idempotent.
pub async fn close_sale(ports: &Ports, id: SaleId) -> PortResult<Managed<std::convert::Infallible>> {
    change(ports, id, |_, book, _| {
        close_rule(book);
        Ok(())
    })
    .await
}

/// Changes the book by `rule` and settles what follows from it, in one transaction.
async fn change<Refusal>(
    ports: &Ports,
    id: SaleId,
    rule: impl FnOnce(&Terms, &mut Book, Timestamp) -> Result<(), Refusal> + Send,
) -> PortResult<Managed<Refusal>> {
    let Some(mut tx) = ports.sales.lock(id).await? else { return Ok(Managed::NoSuchSale) };
    let (terms, now) = (tx.terms(), tx.now());
    let mut book = tx.book();
    if let Err(refusal) = rule(&terms, &mut book, now) {
        return Ok(Managed::Refused(refusal));
    }
    let standing = tx.standing().await?;
    let Settled { changes, .. } = settle(&terms, &mut book, standing, now);
    tx.commit(book, &changes).await?;
    let claims = changes.into_iter().map(|change| change.claim).collect();
    let outcomes = Outcomes::of_book(id, DatedBook { book, as_of: now }, claims);
    announce_sale(ports, &terms, outcomes).await;
    Ok(Managed::Done(book))
}

#[cfg(test)]
mod tests;
