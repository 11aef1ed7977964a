//! `/admin/sales`: what the command line does with sales.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use miaosha_app::manage_sale::{
    Managed, add_stock as add_units, close_sale, pause_sale, plan_sale, resume_sale,
};
use miaosha_app::model::SaleRow;
use miaosha_app::verify_sale::verify_sale;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::{AddStockError, SaleEnded};
use miaosha_domain::time::Timestamp;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{Editor, JsonBody, Languages, PageQuery, QueryOf, SalePath, next_page};
use crate::last_write::LastWrite;
use crate::problem::{Answer, Problem, ProblemBody, ProblemCode};
use crate::routes::sales::headers_in;
use crate::web::Web;
use crate::wire::{InvalidPlan, ManagedSaleBody, NewSale, Page, RecountBody};

type Shown = (HeaderMap, Json<ManagedSaleBody>);

/// Every sale, newest first, from the database.
#[utoipa::path(
    get, path = "/admin/sales", tag = "admin", security(("session" = [])), params(PageQuery),
    responses(
        (status = 200, description = "A page of sales", body = Page<ManagedSaleBody>),
        (status = 403, description = "`forbidden`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    last_write: LastWrite,
    QueryOf(page): QueryOf<PageQuery>,
    languages: Languages,
) -> Answer<(HeaderMap, Json<Page<ManagedSaleBody>>)> {
    let (now, limit) = (web.ports.clock.now(), page.limit());
    let freshness = last_write.freshness_of_lists();
    let found = web.ports.sales.list(page.after::<SaleId>()?, limit + 1, freshness).await?;
    let headers = headers_in(&languages, found.iter().map(|row| &row.sale));
    let show = |row: &SaleRow| ManagedSaleBody::new(&row.sale, &row.book, &languages, now);
    Ok((headers, Json(next_page(found, limit, |row| row.sale.id.to_string(), show))))
}

/// Plan a sale.
#[utoipa::path(
    post, path = "/admin/sales", tag = "admin", request_body = NewSale, security(("session" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating the call safe")),
    responses(
        (status = 201, description = "Planned", body = ManagedSaleBody),
        (status = 403, description = "`forbidden`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_body`; `field` says where", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    languages: Languages,
    JsonBody(plan): JsonBody<NewSale>,
) -> Answer<(StatusCode, HeaderMap, Json<ManagedSaleBody>)> {
    let plan = plan.read().map_err(refuse_plan)?;
    let as_of = web.ports.clock.now();
    let planned = plan_sale(&web.ports, plan).await?;
    let row = planned.map_err(|error| refuse_plan(InvalidPlan::from_check(error)))?;
    let (headers, body) = shown(&web, row, as_of, &languages);
    Ok((StatusCode::CREATED, headers, body))
}

/// One sale, from the database.
#[utoipa::path(
    get, path = "/admin/sales/{id}", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = ManagedSaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
    languages: Languages,
) -> Answer<Shown> {
    shown_as_it_is(&web, id, &languages).await
}

/// Stop requests; deadlines go on. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/admin/sales/{id}/pause", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = ManagedSaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`sale_ended`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn pause(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
    languages: Languages,
) -> Answer<Shown> {
    require_done(pause_sale(&web.ports, id).await?)?;
    shown_as_it_is(&web, id, &languages).await
}

/// Take requests again. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/admin/sales/{id}/resume", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = ManagedSaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`sale_ended`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn resume(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
    languages: Languages,
) -> Answer<Shown> {
    require_done(resume_sale(&web.ports, id).await?)?;
    shown_as_it_is(&web, id, &languages).await
}

/// How many units to add.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct AddStock {
    #[schema(example = 10)]
    units: u32,
}

/// Add units. Repeating it adds them again: send an `Idempotency-Key`.
#[utoipa::path(
    post, path = "/admin/sales/{id}/add-stock", tag = "admin", request_body = AddStock, security(("session" = [])),
    params(
        ("id" = String, Path, description = "The sale"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes repeating the call safe"),
    ),
    responses(
        (status = 200, description = "The sale", body = ManagedSaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`sale_ended`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_body`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add_stock(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
    languages: Languages,
    JsonBody(body): JsonBody<AddStock>,
) -> Answer<Shown> {
    require_done(add_units(&web.ports, id, body.units).await?)?;
    shown_as_it_is(&web, id, &languages).await
}

/// End requests and standby at once; reservations run out their hold. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/admin/sales/{id}/close", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = ManagedSaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn close(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
    languages: Languages,
) -> Answer<Shown> {
    require_done(close_sale(&web.ports, id).await?)?;
    shown_as_it_is(&web, id, &languages).await
}

/// Recount one snapshot of the sale against its invariants.
#[utoipa::path(
    get, path = "/admin/sales/{id}/verify", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "What its rows add up to; `ok` says whether that is right", body = RecountBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn verify(
    State(web): State<Arc<Web>>,
    _editor: Editor,
    SalePath(id): SalePath,
) -> Answer<Json<RecountBody>> {
    let verified = verify_sale(&web.ports, id).await?.ok_or(ProblemCode::NoSuchSale)?;
    Ok(Json(RecountBody::from(&verified)))
}

/// The sale as its row is now; this node's memory learns of it at once.
async fn shown_as_it_is(web: &Web, id: SaleId, languages: &Languages) -> Answer<Shown> {
    let as_of = web.ports.clock.now();
    let row = web.ports.sales.lookup(id).await?.ok_or(ProblemCode::NoSuchSale)?;
    Ok(shown(web, row, as_of, languages))
}

/// The answer with a row that was committed or read after `as_of`.
fn shown(web: &Web, row: SaleRow, as_of: Timestamp, languages: &Languages) -> Shown {
    let headers = headers_in(languages, [&row.sale]);
    let body = ManagedSaleBody::new(&row.sale, &row.book, languages, web.ports.clock.now());
    web.note(row, as_of);
    (headers, Json(body))
}

fn require_done<Refusal: Into<Problem>>(managed: Managed<Refusal>) -> Answer<()> {
    match managed {
        Managed::Done(_) => Ok(()),
        Managed::NoSuchSale => Err(ProblemCode::NoSuchSale.into()),
        Managed::Refused(refusal) => Err(refusal.into()),
    }
}

fn refuse_plan(error: InvalidPlan) -> Problem {
    Problem::invalid_field(error.field, error.detail)
}

impl From<SaleEnded> for Problem {
    fn from(_: SaleEnded) -> Self {
        ProblemCode::SaleEnded.into()
    }
}

impl From<AddStockError> for Problem {
    fn from(error: AddStockError) -> Self {
        match error {
            AddStockError::Ended(ended) => ended.into(),
            AddStockError::StockOutOfRange => Self::invalid_field("units", error.to_string()),
        }
    }
}

impl From<Infallible> for Problem {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
