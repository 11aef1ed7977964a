//! What a merchandiser does with a sale: plan, pause, resume, add stock, close.

use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::{
    AddStockError, Book, PlanError, Sale, SaleEnded, Terms, add_stock as add_stock_rule, close as close_rule,
    pause as pause_rule, resume as resume_rule,
};
use miaosha_domain::settle::{Settled, settle};
use miaosha_domain::time::Timestamp;

use crate::announce::announce;
use crate::model::{Outcomes, SaleRow};
use crate::ports::{PortResult, Ports};

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

/// Checks a plan and stores it as a new sale with `stock` units.
pub async fn plan_sale(ports: &Ports, sale: Sale, stock: u32) -> PortResult<Result<SaleRow, PlanError>> {
    if let Err(error) = sale.check(stock) {
        return Ok(Err(error));
    }
    let book = Book::new(stock, &sale.terms);
    ports.sales.create(&sale, &book).await?;
    announce(ports, Outcomes { sale: sale.id, book, claims: Vec::new(), rejected: Vec::new() }).await;
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

/// Adds units and puts up as many as one transaction may; the sweeper puts up the rest within seconds. Not idempotent.
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
    announce(ports, Outcomes { sale: id, book, claims, rejected: Vec::new() }).await;
    Ok(Managed::Done(book))
}
