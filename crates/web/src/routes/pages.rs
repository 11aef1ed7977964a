//! Everything that is no other route: the pages, and under `/api` a problem.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use http::Method;

use crate::pages::Pages;
use crate::problem::{Problem, ProblemCode};

/// Shows the pages, which it loads: only for a process that serves them.
pub(crate) fn route<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    let pages = Arc::new(Pages::load());
    any(async move |request: Request| show(&pages, &request))
}

/// A file of the built pages, or the page itself for any other address that a browser asks for.
fn show(pages: &Pages, request: &Request) -> Response {
    let path = request.uri().path();
    let is_api = path == "/api" || path.starts_with("/api/") || path.starts_with("/socket.io/");
    if is_api {
        return Problem::new(ProblemCode::NotFound).into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Problem::new(ProblemCode::MethodNotAllowed).into_response();
    }
    match pages.answer(path, request.headers()) {
        Some(response) => response,
        None => Problem::new(ProblemCode::NotFound).into_response(),
    }
}
