//! Everything that is no other route: the pages, and under `/api` a problem.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::Method;

use crate::problem::{Problem, ProblemCode};
use crate::web::Web;

/// A file of the built pages, or the page itself for any other address that a browser asks for.
pub(crate) async fn show(State(web): State<Arc<Web>>, request: Request) -> Response {
    let path = request.uri().path();
    let is_api = path == "/api" || path.starts_with("/api/") || path.starts_with("/socket.io/");
    if is_api {
        return Problem::new(ProblemCode::NotFound).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::new(ProblemCode::MethodNotAllowed).into_response();
    }
    match web.pages.answer(path, request.headers()) {
        Some(response) => response,
        None => Problem::new(ProblemCode::NotFound).into_response(),
    }
}
