//! Around every call that changes something: its body is read first, within limits; then it runs in a task of its own,
//! which neither a client that hangs up nor one that runs out of [`Patience`] stops; and with an `Idempotency-Key` it
//! runs once. Calls that change nothing only have their time.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use miaosha_app::ports::{IdempotencyKey, Recorded, RecordedAnswer};
use miaosha_domain::ids::UserId;
use tracing::error;

use crate::extract::bearer_of;
use crate::last_write::mark;
use crate::patience::{Patience, within};
use crate::problem::{Answer, Problem, ProblemCode};
use crate::routes::layers::Turn;
use crate::web::Web;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is a kept one.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const KEY_LEN_MAX: usize = 255;
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What the layer needs.
#[derive(Clone)]
pub(crate) struct Writes {
    pub(crate) web: Arc<Web>,
    pub(crate) body_len_max: usize,
    /// How long a caller waits for what the site does itself; for ever, without.
    pub(crate) answer_within: Option<Duration>,
}

/// The layer.
pub(crate) async fn run_to_end(State(writes): State<Writes>, request: Request, next: Next) -> Response {
    let is_write = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    let too_late = || Problem::new(ProblemCode::Unavailable).into_response();
    if !is_write {
        return within(writes.answer_within, next.run(request)).await.unwrap_or_else(too_late);
    }
    let mut call = match prepare(&writes, request).await {
        Ok(call) => call,
        Err(problem) => return problem.into_response(),
    };
    let patience = Patience::new(writes.answer_within);
    call.request.extensions_mut().insert(patience.clone());
    let turn = call.request.extensions_mut().remove::<Turn>();
    let web = writes.web.clone();
    let (worker, writer) = (web.clone(), who_asks(&web, call.request.headers()));
    let note = move || {
        if let Some(writer) = writer {
            web.writers.note(writer, web.ports.clock.now());
        }
    };
    note();
    let work = call.run(worker, patience.clone(), next);
    let done = writes.web.tasks.spawn(async move {
        let response = work.await;
        // Again: what it did may be seen only now.
        note();
        drop(turn);
        response
    });
    let mut response = match patience.wait_for(done).await {
        Some(Ok(response)) => response,
        Some(Err(failure)) => {
            error!(%failure, "a request came to no end");
            Problem::new(ProblemCode::Internal).into_response()
        }
        None => too_late(),
    };
    mark(&mut response, writes.web.ports.clock.now());
    response
}

/// A call whose body has arrived.
struct Call {
    request: Request,
    once: Option<Once>,
}

/// What makes a call run once.
struct Once {
    key: IdempotencyKey,
    body_digest: [u8; 32],
}

async fn prepare(writes: &Writes, request: Request) -> Answer<Call> {
    let (parts, body) = request.into_parts();
    let body = read_body(writes, body).await?;
    let key = parts.headers.get(IDEMPOTENCY_KEY).map(read_key).transpose()?;
    // A key belongs to a person. Without one strangers would share keys, and answers that hold a token would be kept.
    let person = who_asks(&writes.web, &parts.headers);
    let once = key.filter(|_| person.is_some()).map(|key| Once {
        key: IdempotencyKey { user: person, route: format!("{} {}", parts.method, parts.uri.path()), key },
        body_digest: digest_of(parts.uri.query().unwrap_or_default(), &body),
    });
    Ok(Call { request: Request::from_parts(parts, Body::from(body)), once })
}

async fn read_body(writes: &Writes, body: Body) -> Answer<Bytes> {
    let arrival = Limited::new(body, writes.body_len_max).collect();
    let arrived = tokio::time::timeout(writes.web.limits.body_timeout, arrival).await;
    match arrived {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ProblemCode::BodyTooLarge.into()),
        // A body that breaks off leaves nobody to answer; the code only has to be a refusal.
        Ok(Err(_)) | Err(_) => Err(ProblemCode::RequestTimeout.into()),
    }
}

fn read_key(key: &HeaderValue) -> Answer<String> {
    let key = key.to_str().unwrap_or_default().trim();
    let is_valid = !key.is_empty() && key.len() <= KEY_LEN_MAX;
    if is_valid { Ok(key.to_owned()) } else { Err(ProblemCode::InvalidIdempotencyKey.into()) }
}

/// The person of either kind of token. A call with a bad one is refused by its route, and no answer is kept of it.
pub(crate) fn who_asks(web: &Web, headers: &HeaderMap) -> Option<UserId> {
    let (token, now) = (bearer_of(headers)?, web.ports.clock.now());
    let session = web.keyring.verify_session(token, now).map(|session| session.user);
    session.or_else(|_| web.keyring.verify_checkout(token, now).map(|checkout| checkout.user)).ok()
}

fn digest_of(query: &str, body: &[u8]) -> [u8; 32] {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(query.as_bytes());
    // No query contains it, so no two pairs of query and body run into the same bytes.
    digest.update(b"\n");
    digest.update(body);
    digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Call {
    async fn run(self, web: Arc<Web>, patience: Patience, next: Next) -> Response {
        let Some(once) = self.once else { return next.run(self.request).await };
        match once.begin(&web, &patience).await {
            Ok(None) => once.keep(&web, next.run(self.request).await).await,
            Ok(Some(kept)) => replay(kept),
            Err(problem) => problem.into_response(),
        }
    }
}

impl Once {
    /// The answer of an earlier call, if there was one. Waits for one that is under way.
    async fn begin(&self, web: &Web, patience: &Patience) -> Answer<Option<RecordedAnswer>> {
        let started_at = web.ports.clock.now();
        loop {
            let now = web.ports.clock.now();
            match web.idempotency.begin(&self.key, self.body_digest, now).await? {
                Recorded::Begun => return Ok(None),
                Recorded::Answered(answer) => return Ok(Some(answer)),
                Recorded::OtherBody => return Err(ProblemCode::IdempotencyKeyReused.into()),
                Recorded::InProgress => {}
            }
            if now.saturating_since(started_at) >= web.limits.idempotency_wait_max {
                return Err(ProblemCode::Overloaded.into());
            }
            // The earlier one may be waiting for a provider.
            patience.not_counting(web.ports.clock.sleep(ASK_AGAIN_AFTER)).await;
        }
    }

    /// Keeps the answer, unless asking again may bring a better one. The caller gets it in any case.
    async fn keep(&self, web: &Web, response: Response) -> Response {
        let is_worth_asking_again =
            response.status().is_server_error() || response.status() == StatusCode::UNAUTHORIZED;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let written = if is_worth_asking_again {
            web.idempotency.abandon(&self.key).await
        } else {
            let content_type = parts.headers.get(header::CONTENT_TYPE);
            let answer = RecordedAnswer {
                status: parts.status.as_u16(),
                content_type: content_type.and_then(|value| value.to_str().ok()).unwrap_or("").to_owned(),
                body: body.to_vec(),
            };
            web.idempotency.finish(&self.key, &answer).await
        };
        if let Err(failure) = written {
            error!(%failure, "an answer was not kept for its idempotency key");
        }
        Response::from_parts(parts, Body::from(body))
    }
}

fn replay(kept: RecordedAnswer) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(&kept.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
