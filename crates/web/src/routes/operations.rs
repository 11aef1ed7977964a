//! `/healthz`, `/readyz`, `/metrics`: for those who run the site.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::{Readiness, Web};

/// Whether the node is ready.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadinessBody {
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
}

/// Always 200 while the process serves.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", responses((status = 200, description = "It serves", body = String))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the node should be sent requests: not while it starts or drains, nor while a part that it needs is away.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "Ready", body = ReadinessBody),
        (status = 503, description = "Not ready", body = ReadinessBody),
    )
)]
pub(crate) async fn readyz(State(web): State<Arc<Web>>) -> (StatusCode, Json<ReadinessBody>) {
    readiness_of(web.readiness.as_ref())
}

/// What is told of the readiness of a node.
pub(crate) fn readiness_of(readiness: &dyn Readiness) -> (StatusCode, Json<ReadinessBody>) {
    let reasons = readiness.reasons();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessBody { ready, reasons }))
}

/// The figures of this process, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "Prometheus text format", body = String))
)]
pub(crate) async fn metrics(State(web): State<Arc<Web>>) -> FiguresText {
    web.buy.export_figures();
    text_of(&web.figures)
}

/// A text for Prometheus.
pub(crate) type FiguresText = ([(header::HeaderName, &'static str); 1], String);

/// The figures as they are.
pub(crate) fn text_of(figures: &PrometheusHandle) -> FiguresText {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, figures.render())
}
