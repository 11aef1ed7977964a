//! `GET /orders` and `GET /orders/{id}`: the person's own orders.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::header;
use miaosha_domain::ids::OrderId;

use crate::extract::{Buyer, Languages, OrderPath, PageQuery, QueryOf, next_page};
use crate::last_write::LastWrite;
use crate::problem::{Answer, ProblemBody, ProblemCode};
use crate::web::Web;
use crate::wire::{OrderBody, Page};

const VARY_BY_LANGUAGE: [(header::HeaderName, &str); 1] = [(header::VARY, "accept-language")];

type InLanguage<T> = ([(header::HeaderName, &'static str); 1], Json<T>);

/// One's orders, newest first.
#[utoipa::path(
    get, path = "/orders", tag = "checkout", security(("session" = [])), params(PageQuery),
    responses((status = 200, description = "A page of orders", body = Page<OrderBody>))
)]
pub(crate) async fn list(
    State(web): State<Arc<Web>>,
    Buyer(session): Buyer,
    last_write: LastWrite,
    QueryOf(page): QueryOf<PageQuery>,
    languages: Languages,
) -> Answer<InLanguage<Page<OrderBody>>> {
    let (limit, freshness) = (page.limit(), last_write.freshness_of_lists());
    let found = web.ports.orders.list(session.user, page.after::<OrderId>()?, limit + 1, freshness).await?;
    let show = |order: &_| OrderBody::new(order, &languages);
    Ok((VARY_BY_LANGUAGE, Json(next_page(found, limit, |order| order.id.to_string(), show))))
}

/// One order. Another person's is as if it did not exist.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "checkout", security(("session" = [])),
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order", body = OrderBody),
        (status = 404, description = "`not_found`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(web): State<Arc<Web>>,
    Buyer(session): Buyer,
    OrderPath(id): OrderPath,
    languages: Languages,
) -> Answer<InLanguage<OrderBody>> {
    let order = web.ports.orders.lookup(session.user, id).await?.ok_or(ProblemCode::NotFound)?;
    Ok((VARY_BY_LANGUAGE, Json(OrderBody::new(&order, &languages))))
}
