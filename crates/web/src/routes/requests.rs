//! `POST /sales/{id}/requests`, for a router that is used without the listener. The route is [`crate::buy`].

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{OriginalUri, Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::buy::sale_in_path;
use crate::problem::ProblemBody;
use crate::web::Web;

/// What a buyer sends.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "only described here; `crate::buy` reads it without allocating")]
pub(crate) struct BuyRequest {
    /// The answer to the sale's question; ignored without a question.
    answer: String,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuyAnswer {
    /// `queued`, `sold_out`, or the status of the claim that the person has.
    status: String,
}

/// Ask for a unit. Safe to repeat: one claim per person and sale, ever.
#[utoipa::path(
    post, path = "/sales/{id}/requests", tag = "sales", request_body = BuyRequest, security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 202, description = "`queued`: accepted for good; the outcome is pushed, and found by `GET …/claim`", body = BuyAnswer),
        (status = 200, description = "`sold_out`, or the status of the claim that the person has", body = BuyAnswer),
        (status = 401, description = "`unauthenticated`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "`not_open`, `ended`, `paused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`: above 4 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_body`, `wrong_answer`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`; `unavailable`: perhaps accepted, asking again is safe", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(web): State<Arc<Web>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let sale = sale_in_path(uri.path()).unwrap_or_default();
    web.buy.respond(sale, &parts.headers, body).await.map(Body::new)
}
