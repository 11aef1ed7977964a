//! `GET /sales` and `GET /sales/{id}`: what is sold, when, and how it stands; from memory, as texts that are kept ready.
//!
//! The tag of an answer leaves its time out, so that a client which keeps the body may ask whether it still holds. What
//! it kept would tell a wrong time, so the time is also in a header, and no other cache is to keep it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use miaosha_app::board::BoardSale;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::Sale;
use miaosha_domain::time::Timestamp;

use crate::extract::{Languages, PageQuery, QueryOf, SalePath};
use crate::pages::names;
use crate::problem::{Answer, ProblemBody};
use crate::sale_cache::page_of;
use crate::web::Web;
use crate::wire::{Moment, Page, SaleBody};

/// Every sale, newest first.
#[utoipa::path(
    get, path = "/sales", tag = "sales",
    params(PageQuery, ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer")),
    responses(
        (status = 200, description = "A page of sales", body = Page<SaleBody>),
        (status = 304, description = "As before; `Server-Time` has the time"),
    )
)]
pub(crate) async fn list(
    State(web): State<Arc<Web>>,
    QueryOf(page): QueryOf<PageQuery>,
    languages: Languages,
    asked: HeaderMap,
) -> Answer<Response> {
    let now = web.ports.clock.now();
    let (after, limit) = (page.after::<SaleId>()?, page.limit());
    let older = |sale: &Arc<BoardSale>| after.is_none_or(|after| sale.sale.id < after);
    let one_more = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let mut found: Vec<_> = web.board.list().into_iter().filter(older).take(one_more).collect();
    let has_more = found.len() == one_more;
    found.truncate(one_more - 1);
    let next = found.last().filter(|_| has_more).map(|sale| sale.sale.id);
    let headers = headers_in(&languages, found.iter().map(|sale| &sale.sale));
    let texts: Vec<_> = found.iter().map(|sale| web.sale_cache.text(sale, &languages, now)).collect();
    let (body, etag) = page_of(&texts, next, now);
    Ok(respond(&asked, headers, &etag, now, || body))
}

/// One sale.
#[utoipa::path(
    get, path = "/sales/{id}", tag = "sales",
    params(
        ("id" = String, Path, description = "The sale"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The sale", body = SaleBody),
        (status = 304, description = "As before; `Server-Time` has the time"),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(web): State<Arc<Web>>,
    SalePath(id): SalePath,
    languages: Languages,
    asked: HeaderMap,
) -> Answer<Response> {
    let sale = web.require_sale(id).await?;
    let now = web.ports.clock.now();
    let headers = headers_in(&languages, [&sale.sale]);
    let text = web.sale_cache.text(&sale, &languages, now);
    let write = || {
        let mut body = String::new();
        text.add_to(&mut body, &Moment(now).to_string());
        body
    };
    Ok(respond(&asked, headers, &text.etag(), now, write))
}

/// The time of the answer, as in its body.
const SERVER_TIME: HeaderName = HeaderName::from_static("server-time");

/// The body, or that the client has it already but for the time.
fn respond(
    asked: &HeaderMap,
    headers: HeaderMap,
    etag: &str,
    now: Timestamp,
    write: impl FnOnce() -> String,
) -> Response {
    let value = |text: &str| HeaderValue::from_str(text).expect("base64 and times are visible ASCII");
    let etag = value(etag);
    let mut response = if names(asked, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], write()).into_response()
    };
    response.headers_mut().extend(headers);
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(SERVER_TIME, value(&Moment(now).to_string()));
    response
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
