//! What a process answers before it has anything to serve from: that it lives, why it is not ready, its figures; and to
//! every other call, of whatever role, that it has to come again. Nothing is said of sales, of which none is known.

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};
use metrics_exporter_prometheus::PrometheusHandle;

use super::{layers, operations};
use crate::problem::{Problem, ProblemCode};
use crate::web::Readiness;

/// The routes of a process that cannot open its site yet.
pub fn stand_in(readiness: Arc<dyn Readiness>, figures: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(async move || operations::readiness_of(readiness.as_ref())))
        .route("/metrics", get(async move || operations::text_of(&figures)))
        .fallback(async || Problem::new(ProblemCode::Unavailable))
        .layer(middleware::map_response(layers::forbid_caching))
}
