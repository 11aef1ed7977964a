//! The general API and everything around it, filed by resource, then verb. The buy route is in [`crate::buy`].

pub(crate) mod admin;
mod checkout;
mod claim;
pub(crate) mod control;
pub(crate) mod layers;
mod me;
mod operations;
mod orders;
mod pages;
mod requests;
pub(crate) mod sales;
mod sessions;
mod stand_in;
mod users;

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::openapi;
use crate::web::{Serves, Web};
use crate::writes::{Writes, run_to_end};
pub use stand_in::stand_in;

/// Every route that the process serves, and for any other a refusal.
pub(crate) fn router(web: &Arc<Web>, serves: Serves) -> Router {
    let router = if serves.general { whole(web, serves) } else { least(serves) };
    router
        .route_layer(middleware::from_fn(layers::count))
        .method_not_allowed_fallback(layers::method_not_allowed)
        .with_state(web.clone())
}

/// What a process serves that has no part in the general API.
fn least(serves: Serves) -> Router<Arc<Web>> {
    let router = Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics));
    let buying = post(requests::create).layer(middleware::map_response(layers::forbid_caching));
    let router = if serves.buying { router.route("/api/v1/sales/{id}/requests", buying) } else { router };
    router.fallback(layers::misdirected)
}

/// The general API, and what of the rest the process serves, all of it documented.
fn whole(web: &Arc<Web>, serves: Serves) -> Router<Arc<Web>> {
    let limited = |body_len_max| {
        let answer_within = Some(web.limits.answer_within);
        middleware::from_fn_with_state(Writes { web: web.clone(), body_len_max, answer_within }, run_to_end)
    };
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
    let mut buying = OpenApiRouter::new().routes(routes!(requests::create));
    if !serves.buying {
        buying =
            buying.route_layer(middleware::from_fn(async |_: Request, _: Next| layers::misdirected().await));
    }
    let api = general
        .merge(admin)
        .merge(admin::recount_routes())
        .route_layer(middleware::from_fn_with_state(web.clone(), layers::take_turn))
        .merge(buying)
        .route_layer(middleware::map_response(layers::forbid_caching));

    let (router, document) = OpenApiRouter::with_openapi(openapi::outline())
        .nest("/api/v1", api)
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .split_for_parts();
    let document = openapi::Document::new(document);
    let router = if serves.sockets {
        router
    } else {
        router
            .route("/socket.io/", any(layers::misdirected))
            .route("/socket.io/{*rest}", any(layers::misdirected))
    };
    router
        .route("/api/openapi.json", document.route())
        .route("/docs", get(openapi::docs))
        .route("/docs/{file}", get(openapi::docs_file))
        .fallback_service(pages::route())
}
