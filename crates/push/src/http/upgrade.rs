//! From an HTTP request to a WebSocket on a reactor: checks, the 101 answer, and the hand-over of the TCP stream.
//!
//! Nothing of the request outlives it: the reactor gets the bare stream and what was read of it too early.

use std::io::Write as _;

use bytes::Bytes;
use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::query::Query;
use super::read_ahead::ReadAhead;
use crate::command::{Arrival, Command, Purpose, Refusal};
use crate::server::Server;
use crate::websocket::frame::server_close_frame;
use crate::websocket::handshake::accept_key;

const CLOSE_NORMAL: u16 = 1000;

/// Answers a request for a WebSocket and hands the connection over once the answer has been written.
pub(super) async fn respond<B>(
    server: &Server,
    query: Query,
    request: &mut Request<B>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    let accept = require_websocket(request.method(), request.headers())?;
    let purpose = match query.session {
        None => {
            query.require_protocol()?;
            Some(Purpose::NewSession(server.reserve()?))
        }
        Some(session) => {
            let session = session.require()?;
            let (answer, answered) = oneshot::channel();
            server.push(session.reactor, Command::PrepareUpgrade { session, answer });
            match answered.await.unwrap_or(Err(Refusal::UnknownSession)) {
                Ok(()) => Some(Purpose::Upgrade(session)),
                Err(Refusal::UnknownSession) => return Err(Refusal::UnknownSession),
                // The session has a WebSocket already. As with the reference implementation, the client learns it from
                // a WebSocket that is closed, not from an HTTP error.
                Err(_) => None,
            }
        }
    };
    let hand_over = HandOver { server: server.clone(), purpose };
    let upgrade = hyper::upgrade::on(request);
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the handshake, and the reactor tracks what it leads to"
    )]
    tokio::spawn(hand_over.run(upgrade));

    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Checks the request as RFC 6455 section 4.2.1 asks; the value that accepts it.
fn require_websocket(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let is_right = method == Method::GET
        && has_token(headers, &CONNECTION, "upgrade")
        && has_token(headers, &UPGRADE, "websocket")
        && headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    if !is_right {
        return Err(Refusal::BadRequest);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(Refusal::BadRequest)?;
    let accept = accept_key(key.as_bytes()).ok_or(Refusal::BadRequest)?;
    Ok(HeaderValue::try_from(accept).expect("base64 is visible ASCII"))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// The way of one connection from hyper to its reactor. If it fails, the session is told.
struct HandOver {
    server: Server,
    /// None once it is handed over, and if it is only to be closed.
    purpose: Option<Purpose>,
}

impl HandOver {
    async fn run(mut self, upgrade: OnUpgrade) {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        match into_stream(upgraded) {
            Ok((mut stream, early_bytes)) => match self.purpose.take() {
                Some(purpose) => self.server.push_arrival(Arrival { stream, early_bytes, purpose }),
                None => {
                    // Best effort: the stream is new, so its few bytes fit.
                    let _unsent = stream.write(&server_close_frame(CLOSE_NORMAL));
                }
            },
            Err(error) => tracing::error!(%error, "cannot take over a WebSocket"),
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if let Some(Purpose::Upgrade(session)) = self.purpose {
            self.server.push(session.reactor, Command::UpgradeAbandoned { session });
        }
    }
}

/// The bare stream, and what was read of it too early.
fn into_stream(upgraded: Upgraded) -> std::io::Result<(mio::net::TcpStream, Bytes)> {
    let (stream, early_bytes) = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => (parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => {
            let parts = upgraded
                .downcast::<TokioIo<ReadAhead>>()
                .map_err(|_| std::io::Error::other("the connection is not served on a plain TcpStream"))?;
            let (not_read_again, stream) = parts.io.into_inner().into_parts();
            (stream, [parts.read_buf, not_read_again].concat().into())
        }
    };
    let stream = stream.into_std()?;
    stream.set_nodelay(true)?;
    Ok((mio::net::TcpStream::from_std(stream), early_bytes))
}
