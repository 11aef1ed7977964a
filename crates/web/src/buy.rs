//! The buy route, `POST /api/v1/sales/{id}/requests`: the one route that a whole crowd calls at once.
//!
//! It is judged from memory, in the order that the contract names, and answered from bodies that are ready. Nothing is
//! logged and no span is opened for a request. What passes is handed to the
//! [`RequestDesk`], and answered when its batch survives a crash. The listener calls it in place, with the calls of a crowd
//! as it read them itself and with any other form of them as hyper did.

mod answers;
mod figures;
mod judge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body;
use miaosha_app::board::Board;
use miaosha_app::ports::Clock;
use miaosha_app::request_buy::{Asked, RequestDesk, Waiting};
use miaosha_domain::time::Timestamp;

use crate::problem::ProblemCode;
use crate::tokens::Keyring;
use crate::web::{Readiness, WebLimits};

pub(crate) use answers::BuyAnswer;
pub use figures::REQUEST_SECONDS_BUCKETS;
use figures::{BuyFigures, Tally};
pub(crate) use judge::BuyCall;

/// The largest body, in bytes.
pub const BUY_BODY_LEN_MAX: usize = 4 * 1_024;

/// The sale's id in the path of the buy route, as it is written; `None` for any other path.
pub fn sale_in_path(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/api/v1/sales/")?.strip_suffix("/requests")?;
    (!id.contains('/')).then_some(id)
}

/// The buy route of a node.
pub struct BuyRoute {
    board: Arc<Board>,
    desk: Arc<RequestDesk>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    readiness: Arc<dyn Readiness>,
    body_timeout: Duration,
    answer_within: Duration,
    figures: BuyFigures,
    /// For calls that come through no thread of their own.
    shared: Arc<Tally>,
}

impl std::fmt::Debug for BuyRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuyRoute").finish_non_exhaustive()
    }
}

impl BuyRoute {
    pub(crate) fn new(
        board: Arc<Board>,
        desk: Arc<RequestDesk>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        readiness: Arc<dyn Readiness>,
        limits: &WebLimits,
    ) -> Self {
        let figures = BuyFigures::default();
        let shared = figures.new_tally();
        let (body_timeout, answer_within) = (limits.body_timeout, limits.answer_within);
        Self { board, desk, keyring, clock, readiness, body_timeout, answer_within, figures, shared }
    }

    /// The same route, counting for itself, so that threads do not share counters.
    pub fn for_thread(self: &Arc<Self>) -> ThreadBuyRoute {
        ThreadBuyRoute { route: self.clone(), tally: self.figures.new_tally() }
    }

    /// Answers one call, on any thread.
    pub(crate) async fn respond<B: Body>(
        &self,
        sale: &str,
        headers: &HeaderMap,
        body: B,
    ) -> Response<Full<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.respond_counting(sale, headers, body, &self.shared).await
    }

    /// Writes the figures of all threads to the recorder. Called before they are shown.
    pub(crate) fn export_figures(&self) {
        self.figures.export();
    }

    async fn respond_counting<B: Body>(
        &self,
        sale: &str,
        headers: &HeaderMap,
        body: B,
        tally: &Tally,
    ) -> Response<Full<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let started_at = Instant::now();
        let first = |name| headers.get(name).map(HeaderValue::as_bytes);
        let answer = match self.read_body(headers, body).await {
            Ok(body) => {
                let (content_type, authorization) =
                    (first(header::CONTENT_TYPE), first(header::AUTHORIZATION));
                let call = BuyCall { sale, content_type, authorization, body: &body };
                match self.begin(&call, self.clock.now()) {
                    Begun::Answered(answer) => answer,
                    Begun::Waiting(waiting) => self.finish(waiting).await,
                }
            }
            Err(code) => BuyAnswer::Refused(code),
        };
        tally.count(answer, started_at.elapsed());
        answer.response()
    }

    /// Reads the body, within its limits of size and time.
    async fn read_body<B: Body>(&self, headers: &HeaderMap, body: B) -> Result<Bytes, ProblemCode>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|len: u64| len > BUY_BODY_LEN_MAX as u64) {
            return Err(ProblemCode::BodyTooLarge);
        }
        let arrival = Limited::new(body, BUY_BODY_LEN_MAX).collect();
        match tokio::time::timeout(self.body_timeout, arrival).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ProblemCode::BodyTooLarge),
            // A body that breaks off leaves nobody to answer; the code only has to be a refusal.
            Ok(Err(_)) | Err(_) => Err(ProblemCode::RequestTimeout),
        }
    }

    /// All that is done without waiting.
    fn begin(&self, call: &BuyCall<'_>, now: Timestamp) -> Begun<Waiting> {
        if !self.readiness.has_right_clock() {
            return Begun::Answered(BuyAnswer::Refused(ProblemCode::Unavailable));
        }
        let passed = match judge::judge(call, &self.board, &self.keyring, now) {
            Ok(passed) => passed,
            Err(code) => return Begun::Answered(BuyAnswer::Refused(code)),
        };
        Begun::Answered(match self.desk.ask(&passed.sale, passed.user, 1, now) {
            Asked::Claimed(claim) => BuyAnswer::Claimed(claim.status),
            Asked::SoldOut => BuyAnswer::SoldOut,
            Asked::Overloaded => BuyAnswer::Refused(ProblemCode::Overloaded),
            Asked::Queued => BuyAnswer::Queued,
            Asked::Waiting(waiting) => return Begun::Waiting(waiting),
        })
    }

    async fn finish(&self, waiting: Waiting) -> BuyAnswer {
        // Whoever does not wait to the end does not stop the batch: asking again shares its fate.
        match tokio::time::timeout(self.answer_within, waiting.accepted()).await {
            Ok(true) => BuyAnswer::Queued,
            Ok(false) | Err(_) => BuyAnswer::Refused(ProblemCode::Unavailable),
        }
    }
}

/// What a call comes to at once.
#[derive(Debug)]
pub(crate) enum Begun<W> {
    /// Judged from memory.
    Answered(BuyAnswer),
    /// In a batch: wait for it.
    Waiting(W),
}

/// When calls arrived that were read together: the clock is read once for all of them. They fit in one buffer and are
/// judged without waiting, so it is never older than that takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// By the clock that calls are judged by.
    pub(crate) now: Timestamp,
    at: Instant,
}

/// A call in a batch.
#[derive(Debug)]
pub(crate) struct WaitingCall {
    waiting: Waiting,
    arrived_at: Instant,
}

/// The buy route as one thread uses it.
#[derive(Debug)]
pub struct ThreadBuyRoute {
    route: Arc<BuyRoute>,
    tally: Arc<Tally>,
}

impl ThreadBuyRoute {
    /// Answers one call to the sale with this id, as [`sale_in_path`] found it.
    pub async fn respond<B: Body>(&self, sale: &str, headers: &HeaderMap, body: B) -> Response<Full<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.route.respond_counting(sale, headers, body, &self.tally).await
    }

    /// Calls arrive now.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival { now: self.now(), at: Instant::now() }
    }

    /// Answers one call whose body has arrived, as far as that needs no waiting.
    pub(crate) fn begin(&self, call: &BuyCall<'_>, arrival: Arrival) -> Begun<WaitingCall> {
        match self.route.begin(call, arrival.now) {
            Begun::Answered(answer) => {
                self.tally.count(answer, arrival.at.elapsed());
                Begun::Answered(answer)
            }
            Begun::Waiting(waiting) => Begun::Waiting(WaitingCall { waiting, arrived_at: arrival.at }),
        }
    }

    /// The answer to a call in a batch.
    pub(crate) async fn finish(&self, call: WaitingCall) -> BuyAnswer {
        let answer = self.route.finish(call.waiting).await;
        self.tally.count(answer, call.arrived_at.elapsed());
        answer
    }

    /// Now, by the clock that calls are judged by.
    pub(crate) fn now(&self) -> Timestamp {
        self.route.clock.now()
    }
}
