//! The general API and everything around it, filed by resource, then verb. The buy route is in [`crate::buy`].

pub(crate) mod admin;
mod checkout;
mod claim;
pub(crate) mod control;
mod layers;
mod me;
mod operations;
mod orders;
mod pages;
mod requests;
pub(crate) mod sales;
mod sessions;
mod users;

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::web::Web;
use crate::writes::{Writes, run_to_end};

/// Every route of the site.
pub(crate) fn router(web: &Arc<Web>) -> Router {
    let limited =
        |body_len_max| middleware::from_fn_with_state(Writes { web: web.clone(), body_len_max }, run_to_end);
    let general = OpenApiRouter::new()
        .routes(routes!(users::create))
        .routes(routes!(sessions::create))
        .routes(routes!(me::show))
        .routes(routes!(sales::list))
        .routes(routes!(sales::show))
        .routes(routes!(claim::show, claim::give_up))
        .routes(routes!(checkout::create))
        .routes(routes!(orders::list))
        .routes(routes!(orders::show))
        .route_layer(limited(web.limits.body_len_max));
    let admin = admin::routes().route_layer(limited(web.limits.admin_body_len_max));
    let api = general
        .merge(admin)
        .route_layer(middleware::from_fn_with_state(web.clone(), layers::take_turn))
        .routes(routes!(requests::create))
        .route_layer(middleware::map_response(layers::forbid_caching));

    let (router, document) = OpenApiRouter::with_openapi(openapi::outline())
        .nest("/api/v1", api)
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .split_for_parts();
    let document = openapi::Document::new(document);

    router
        .route("/api/openapi.json", document.route())
        .route("/docs", get(openapi::docs))
        .route("/docs/{file}", get(openapi::docs_file))
        .route_layer(middleware::from_fn(layers::count))
        .method_not_allowed_fallback(layers::method_not_allowed)
        .fallback(pages::show)
        .with_state(web.clone())
}
