//! What is done around every call of the API: turns, headers, figures; and what is answered to calls of other processes.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::problem::{Problem, ProblemCode};
use crate::web::Web;

/// The place of a call among those under way, given up when the last clone is dropped. It goes with the request, so that
/// work which outlives its caller still counts.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    _place: Arc<OwnedSemaphorePermit>,
}

/// Lets at most so many calls in at once; the others are asked to come again.
pub(crate) async fn take_turn(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let Ok(place) = web.turns.clone().try_acquire_owned() else {
        return Problem::new(ProblemCode::Overloaded).into_response();
    };
    let turn = Turn { _place: Arc::new(place) };
    request.extensions_mut().insert(turn.clone());
    let response = next.run(request).await;
    drop(turn);
    response
}

/// Answers of the API are personal, or true only for a moment.
pub(crate) async fn forbid_caching(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Counts calls by route and status.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let response = next.run(request).await;
    metrics::counter!(
        "miaosha_http_requests_total",
        "method" => method.to_string(),
        "route" => route.unwrap_or_default(),
        "status" => response.status().as_u16().to_string(),
    )
    .increment(1);
    response
}

/// Refuses a call that another process serves.
pub(crate) async fn misdirected() -> Problem {
    ProblemCode::Misdirected.into()
}

/// The path exists, the method does not.
pub(crate) async fn method_not_allowed() -> Problem {
    ProblemCode::MethodNotAllowed.into()
}
