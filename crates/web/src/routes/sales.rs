//! `GET /sales` and `GET /sales/{id}`: what is sold, when, and how it stands; from memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, HeaderValue, header};
use miaosha_app::board::BoardSale;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::Sale;

use crate::extract::{Languages, PageQuery, QueryOf, SalePath, next_page};
use crate::problem::{Answer, ProblemBody};
use crate::web::Web;
use crate::wire::{Page, SaleBody};

/// Every sale, newest first.
#[utoipa::path(
    get, path = "/sales", tag = "sales", params(PageQuery),
    responses((status = 200, description = "A page of sales", body = Page<SaleBody>))
)]
pub(crate) async fn list(
    State(web): State<Arc<Web>>,
    QueryOf(page): QueryOf<PageQuery>,
    languages: Languages,
) -> Answer<(HeaderMap, Json<Page<SaleBody>>)> {
    let now = web.ports.clock.now();
    let (after, limit) = (page.after::<SaleId>()?, page.limit());
    let older = |sale: &Arc<BoardSale>| after.is_none_or(|after| sale.sale.id < after);
    let one_more = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let found: Vec<_> = web.board.list().into_iter().filter(older).take(one_more).collect();
    let headers = headers_in(&languages, found.iter().map(|sale| &sale.sale));
    let show = |sale: &Arc<BoardSale>| SaleBody::new(&sale.sale, &sale.book(), &languages, now);
    let page = next_page(found, limit, |sale| sale.sale.id.to_string(), show);
    Ok((headers, Json(page)))
}

/// One sale.
#[utoipa::path(
    get, path = "/sales/{id}", tag = "sales", params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The sale", body = SaleBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(web): State<Arc<Web>>,
    SalePath(id): SalePath,
    languages: Languages,
) -> Answer<(HeaderMap, Json<SaleBody>)> {
    let sale = web.require_sale(id).await?;
    let headers = headers_in(&languages, [&sale.sale]);
    let body = SaleBody::new(&sale.sale, &sale.book(), &languages, web.ports.clock.now());
    Ok((headers, Json(body)))
}

/// The headers of an answer whose texts depend on the reader's languages.
pub(crate) fn headers_in<'a>(languages: &Languages, sales: impl IntoIterator<Item = &'a Sale>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    let shown: BTreeSet<&str> =
        sales.into_iter().map(|sale| languages.locale_of(&sale.product.title)).collect();
    let shown = shown.into_iter().collect::<Vec<_>>().join(", ");
    if let Ok(shown) = HeaderValue::from_str(&shown)
        && !shown.is_empty()
    {
        headers.insert(header::CONTENT_LANGUAGE, shown);
    }
    headers
}
