//! The HTTP face of a server: what an embedding web server calls for requests under `/socket.io/`.
//!
//! Checks the query as the reference implementation does, carries long-polling bodies to and from the reactors, and
//! hands upgraded connections over to them. Any runtime of tokio with I/O will do; the connection must be served by hyper's
//! HTTP/1 `with_upgrades` on a `TokioIo` of a plain `TcpStream` or of a [`ReadAhead`].

mod answer;
mod query;
mod read_ahead;
mod upgrade;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body;
use tokio::sync::oneshot;

use self::query::{Query, Transport};
pub use self::read_ahead::ReadAhead;
use crate::command::{Command, PollAnswer, Refusal};
use crate::engine::session_id::SessionId;
use crate::server::Server;

/// Answers one request. The path is not looked at; the caller has routed it here.
///
/// A long-polling request is answered when there is something to say, within a ping interval at the latest. If the
/// future is dropped while it waits, as hyper does when the client has gone, the session ends.
pub async fn respond<B>(server: &Server, mut request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let origin = request.headers().get(http::header::ORIGIN).cloned();
    let response = if request.method() == Method::OPTIONS {
        answer::preflight(request.headers())
    } else {
        match Query::parse(request.uri().query().unwrap_or_default()) {
            Err(refusal) => answer::refusal(refusal),
            Ok(query) if query.transport == Transport::WebSocket => {
                upgrade::respond(server, query, &mut request).await.unwrap_or_else(answer::refusal)
            }
            Ok(query) => match long_polling(server, query, request).await {
                Ok(Ok(body)) => answer::payload(body),
                Ok(Err(TooLarge)) => answer::too_large(),
                Err(refusal) => answer::refusal(refusal),
            },
        }
    };
    answer::with_cors(response, &server.config().cors_origin, origin.as_ref())
}

/// The body of a request is beyond the limit.
struct TooLarge;

async fn long_polling<B>(
    server: &Server,
    query: Query,
    request: Request<B>,
) -> Result<Result<String, TooLarge>, Refusal>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let session = match query.session {
        None if request.method() != Method::GET => return Err(Refusal::BadHandshakeMethod),
        None => {
            query.require_protocol()?;
            let reservation = server.reserve()?;
            let (answer, answered) = oneshot::channel();
            server.push(server.pick_reactor(), Command::OpenPolling { reservation, answer });
            return outcome(answered.await).map(Ok);
        }
        Some(session) => session.require()?,
    };
    let (answer, answered) = oneshot::channel();
    match *request.method() {
        Method::GET => {
            server.push(session.reactor, Command::Poll { session, answer });
            let waiting = WaitingPoll { server, session, is_answered: false };
            waiting.until(answered).await.map(Ok)
        }
        Method::POST => {
            let body = Limited::new(request.into_body(), server.config().max_payload_bytes);
            let Ok(body) = body.collect().await else {
                server.push(session.reactor, Command::CloseSession { session });
                return Ok(Err(TooLarge));
            };
            let body = body.to_bytes();
            server.push(session.reactor, Command::Post { session, body, answer });
            outcome(answered.await).map(Ok)
        }
        _ => Err(Refusal::BadRequest),
    }
}

/// A request that waits for packets. If it is dropped before they come, the session is told.
struct WaitingPoll<'a> {
    server: &'a Server,
    session: SessionId,
    is_answered: bool,
}

impl WaitingPoll<'_> {
    async fn until(mut self, answered: oneshot::Receiver<PollAnswer>) -> PollAnswer {
        let answer = answered.await;
        self.is_answered = true;
        outcome(answer)
    }
}

impl Drop for WaitingPoll<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.server.push(self.session.reactor, Command::PollAbandoned { session: self.session });
        }
    }
}

/// A channel that is closed without an answer belongs to a reactor that has ended, or to one that never was.
fn outcome(answer: Result<PollAnswer, oneshot::error::RecvError>) -> PollAnswer {
    answer.unwrap_or(Err(Refusal::UnknownSession))
}
