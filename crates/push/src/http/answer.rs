//! The HTTP answers: bodies, the reference implementation's error objects, and CORS headers.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
    VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::command::Refusal;
use crate::config::CorsOrigin;

/// A long-polling body.
pub(super) fn payload(body: String) -> Response<Full<Bytes>> {
    let mut response = with_status(StatusCode::OK, body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The error object for a refused request. The codes are the reference's; what it has no code for is `Forbidden`.
pub(super) fn refusal(refusal: Refusal) -> Response<Full<Bytes>> {
    let (status, code, message) = match refusal {
        Refusal::UnknownTransport => (StatusCode::BAD_REQUEST, 0, "Transport unknown"),
        Refusal::UnknownSession => (StatusCode::BAD_REQUEST, 1, "Session ID unknown"),
        Refusal::BadHandshakeMethod => (StatusCode::BAD_REQUEST, 2, "Bad handshake method"),
        Refusal::BadRequest => (StatusCode::BAD_REQUEST, 3, "Bad request"),
        Refusal::UnsupportedProtocolVersion => (StatusCode::BAD_REQUEST, 5, "Unsupported protocol version"),
        Refusal::Full => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many connections"),
        Refusal::NoMemory => (StatusCode::SERVICE_UNAVAILABLE, 4, "No memory for more connections"),
        Refusal::TooManyConnects => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many connections at once"),
    };
    let mut response = with_status(status, format!(r#"{{"code":{code},"message":"{message}"}}"#));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The answer to a body beyond the limit.
pub(super) fn too_large() -> Response<Full<Bytes>> {
    with_status(StatusCode::PAYLOAD_TOO_LARGE, String::new())
}

/// The answer to a browser that asks whether it may send a request.
pub(super) fn preflight(request_headers: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = with_status(StatusCode::NO_CONTENT, String::new());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST"));
    if let Some(wanted) = request_headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

/// Adds the headers by which a browser lets a page of `origin` read the answer.
pub(super) fn with_cors(
    mut response: Response<Full<Bytes>>,
    allowed: &CorsOrigin,
    origin: Option<&HeaderValue>,
) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    match allowed {
        CorsOrigin::None => {}
        CorsOrigin::Any => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        CorsOrigin::List(origins) => {
            headers.insert(VARY, HeaderValue::from_static("Origin"));
            if let Some(origin) =
                origin.filter(|origin| origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()))
            {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
    }
    response
}

fn with_status(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
