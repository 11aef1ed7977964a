//! Which request goes where.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower::ServiceExt as _;
use tracing::error;

use super::connection::Busy;
use super::fast_lane::FastLane;
use crate::buy::{BuyRoute, sale_in_path};
use crate::problem::{Problem, ProblemCode};

/// Where a request came from: the other end of the connection, which may be a proxy.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Answers requests under `/socket.io/`, on the thread of their connection; upgrades are allowed.
pub type SocketService =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>;

/// What is served.
#[derive(Clone)]
pub struct Site {
    /// The buy route, answered on the threads of the listener; if this process serves it.
    pub buy: Option<Arc<BuyRoute>>,
    /// The push server, if this process has one.
    pub sockets: Option<SocketService>,
    /// Everything else,
    pub general: Router,
    /// on this runtime.
    pub general_runtime: tokio::runtime::Handle,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site")
            .field("has_buy", &self.buy.is_some())
            .field("has_sockets", &self.sockets.is_some())
            .finish_non_exhaustive()
    }
}

/// The site, as one thread serves it.
pub(super) struct Dispatch {
    fast_lane: Option<FastLane>,
    sockets: Option<SocketService>,
    general: Router,
    general_runtime: tokio::runtime::Handle,
    general_tasks: TaskTracker,
}

impl Dispatch {
    pub(super) fn new(site: Site) -> Self {
        Self {
            fast_lane: site.buy.map(|buy| FastLane::new(buy.for_thread())),
            sockets: site.sockets,
            general: site.general,
            general_runtime: site.general_runtime,
            general_tasks: TaskTracker::new(),
        }
    }

    /// Where plain buy calls are answered, if this process serves them.
    pub(super) fn fast_lane(&self) -> Option<&FastLane> {
        self.fast_lane.as_ref()
    }

    /// Answers one request; `busy` is held until its body is sent.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        busy: Busy,
    ) -> Response<SiteBody> {
        let path = request.uri().path();
        if *request.method() == Method::POST
            && sale_in_path(path).is_some()
            && let Some(lane) = &self.fast_lane
        {
            let (parts, body) = request.into_parts();
            let sale = sale_in_path(parts.uri.path()).unwrap_or_default();
            let answer = lane.buy().respond(sale, &parts.headers, body).await;
            return answer.map(SiteBody::Whole);
        }
        if path.starts_with("/socket.io/")
            && let Some(sockets) = &self.sockets
        {
            let mut request = request;
            request.extensions_mut().insert(peer);
            return sockets(request).await.map(|body| SiteBody::paced(axum::body::Body::new(body), busy));
        }
        self.answer_generally(request, peer).await.map(|body| SiteBody::paced(body, busy))
    }

    async fn answer_generally(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Response<axum::body::Body> {
        request.extensions_mut().insert(peer);
        let answer = self.general.clone().oneshot(request.map(axum::body::Body::new));
        // A client that hangs up ends the work for it, but for what runs in a task of its own.
        let answer = AbortOnDropHandle::new(self.general_tasks.spawn_on(answer, &self.general_runtime));
        match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(failure) => {
                error!(%failure, "a request came to no end");
                Problem::new(ProblemCode::Internal).into_response()
            }
        }
    }
}

/// The body of an answer.
pub(super) enum SiteBody {
    /// A short one.
    Whole(Full<Bytes>),
    /// Any other.
    Paced(Paced),
}

/// A body in short frames: hyper takes the next only when the last has mostly been sent, so a slow reader is seen to be
/// served for as long as it takes, and keeps the connection busy.
pub(super) struct Paced {
    body: axum::body::Body,
    ready: Bytes,
    _busy: Busy,
}

const FRAME_LEN_MAX: usize = 16 * 1_024;

impl SiteBody {
    fn paced(body: axum::body::Body, busy: Busy) -> Self {
        busy.note_answer();
        Self::Paced(Paced { body, ready: Bytes::new(), _busy: busy })
    }
}

impl Paced {
    fn next_piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.ready.split_to(self.ready.len().min(FRAME_LEN_MAX)))
    }
}

impl Body for SiteBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let paced = match self.get_mut() {
            Self::Whole(whole) => {
                return Pin::new(whole).poll_frame(context).map_err(|never| match never {});
            }
            Self::Paced(paced) => paced,
        };
        if !paced.ready.is_empty() {
            return Poll::Ready(Some(Ok(paced.next_piece())));
        }
        match std::task::ready!(Pin::new(&mut paced.body).poll_frame(context)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(match frame.into_data() {
                Ok(data) => {
                    paced.ready = data;
                    paced.next_piece()
                }
                Err(trailers) => trailers,
            }))),
            end => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Paced(paced) => paced.ready.is_empty() && paced.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Paced(paced) => {
                let (ready, rest) = (paced.ready.len() as u64, paced.body.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + ready);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + ready);
                }
                hint
            }
        }
    }
}
