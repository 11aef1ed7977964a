//! What every route needs, put together once by the server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use miaosha_app::board::{Board, BoardSale};
use miaosha_app::model::SaleRow;
use miaosha_app::ports::{IdempotencyStore, Passwords, Ports};
use miaosha_app::request_buy::RequestDesk;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::absent_sales::{AbsentSales, Asking};
use crate::buy::BuyRoute;
use crate::claim_reader::ClaimReader;
use crate::last_write::RecentWriters;
use crate::problem::{Answer, ProblemCode};
use crate::routes;
use crate::sale_cache::SaleCache;
use crate::tokens::Keyring;

/// What the server gives.
#[derive(Clone)]
pub struct WebParts {
    /// Every port of the node.
    pub ports: Ports,
    /// What the node knows of every sale.
    pub board: Arc<Board>,
    /// Where buy requests are handed in; somebody else runs it.
    pub desk: Arc<RequestDesk>,
    /// Hashes and checks passwords.
    pub passwords: Arc<dyn Passwords>,
    /// Keeps answers for repeated requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Signs and checks tokens.
    pub keyring: Arc<Keyring>,
    /// How long a payment may hold a claim.
    pub lease: Duration,
    /// Whether the node is ready.
    pub readiness: Arc<dyn Readiness>,
    /// What `/metrics` shows. Build its recorder with [`crate::REQUEST_SECONDS_BUCKETS`].
    pub figures: PrometheusHandle,
    /// Where work that must run to its end is tracked: wait for it at shutdown.
    pub tasks: TaskTracker,
    /// How much is taken at once.
    pub limits: WebLimits,
}

/// Says whether the node should be sent requests.
pub trait Readiness: Send + Sync {
    /// Why not, in words for an operator; empty if it is ready. Called often: must not block.
    fn reasons(&self) -> Vec<String>;

    /// Whether the node's clock may judge who comes too early or too late. If not, buy calls are answered `unavailable`:
    /// whoever sends requests takes a moment to hear that the node is not ready. Called for each of them.
    fn has_right_clock(&self) -> bool {
        true
    }
}

impl<F: Fn() -> Vec<String> + Send + Sync> Readiness for F {
    fn reasons(&self) -> Vec<String> {
        self()
    }
}

/// Which parts of the site a process serves. Health, readiness and figures are served by each; what it does not serve is
/// answered 421 `misdirected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serves {
    /// The buy route.
    pub buying: bool,
    /// Everything under `/socket.io/`.
    pub sockets: bool,
    /// Everything else: the rest of the API, its documentation, and the pages.
    pub general: bool,
}

impl Serves {
    /// The whole site.
    pub const EVERYTHING: Self = Self { buying: true, sockets: true, general: true };
}

/// How much is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct WebLimits {
    /// Calls of the general API under way; more are refused as `overloaded`. The buy route has its own limits.
    pub general_in_flight_max: usize,
    /// The largest body of a call, in bytes.
    pub body_len_max: usize,
    /// The largest body of a call that manages sales, which carries texts in many languages.
    pub admin_body_len_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a caller waits for what this site does itself: then `unavailable`, and what was begun goes on. The time
    /// of a payment provider, and that of hashing a password, does not count.
    pub answer_within: Duration,
    /// How long a request waits for an earlier one with the same `Idempotency-Key`.
    pub idempotency_wait_max: Duration,
}

impl Default for WebLimits {
    fn default() -> Self {
        Self {
            general_in_flight_max: 4_096,
            body_len_max: 64 * 1_024,
            admin_body_len_max: 1_024 * 1_024,
            body_timeout: Duration::from_secs(10),
            answer_within: Duration::from_millis(900),
            idempotency_wait_max: Duration::from_secs(30),
        }
    }
}

/// The web site of one node.
pub struct Web {
    pub(crate) ports: Ports,
    pub(crate) board: Arc<Board>,
    pub(crate) buy: Arc<BuyRoute>,
    pub(crate) passwords: Arc<dyn Passwords>,
    pub(crate) idempotency: Arc<dyn IdempotencyStore>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) lease: Duration,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) figures: PrometheusHandle,
    pub(crate) tasks: TaskTracker,
    pub(crate) limits: WebLimits,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) sale_cache: SaleCache,
    absent_sales: AbsentSales,
    pub(crate) writers: Arc<RecentWriters>,
    pub(crate) claims: Arc<ClaimReader>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Web {
    /// Puts the parts together.
    pub fn new(parts: WebParts) -> Arc<Self> {
        let WebParts { ports, board, desk, passwords, idempotency, keyring, .. } = parts;
        let clock = ports.clock.clone();
        let buy = BuyRoute::new(
            board.clone(),
            desk,
            keyring.clone(),
            clock,
            parts.readiness.clone(),
            &parts.limits,
        );
        let (tasks, answer_within) = (parts.tasks.clone(), parts.limits.answer_within);
        let claims = ClaimReader::new(&ports, board.clone(), tasks, answer_within);
        Arc::new(Self {
            ports,
            board,
            buy: Arc::new(buy),
            passwords,
            idempotency,
            keyring,
            lease: parts.lease,
            readiness: parts.readiness,
            figures: parts.figures,
            tasks: parts.tasks,
            limits: parts.limits,
            turns: Arc::new(Semaphore::new(parts.limits.general_in_flight_max)),
            sale_cache: SaleCache::default(),
            absent_sales: AbsentSales::default(),
            writers: Arc::default(),
            claims: Arc::new(claims),
        })
    }

    /// Every route that the process serves, the buy route among them: [`crate::Listener`] answers that before it gets
    /// here.
    pub fn router(self: &Arc<Self>, serves: Serves) -> Router {
        routes::router(self, serves)
    }

    /// The routes under `/admin`, and those that only the owner of the data directory may call: for the control socket,
    /// never for the network.
    pub fn control_router(self: &Arc<Self>, mints_tokens: bool) -> Router {
        routes::control::router(self, mints_tokens)
    }

    /// The buy route.
    pub fn buy(&self) -> &Arc<BuyRoute> {
        &self.buy
    }

    /// The sale, from memory, or from the database if this node has not heard of it yet; that there is none may be known
    /// from a second ago. When too many unknown ids are asked for, `overloaded`.
    pub(crate) async fn require_sale(&self, id: SaleId) -> Answer<Arc<BoardSale>> {
        if let Some(sale) = self.board.lookup(id) {
            return Ok(sale);
        }
        let asked_at = self.ports.clock.now();
        match self.absent_sales.ask(id, asked_at) {
            Asking::Allowed => {}
            Asking::Absent => return Err(ProblemCode::NoSuchSale.into()),
            Asking::Refused => return Err(ProblemCode::Overloaded.into()),
        }
        let Some(row) = self.ports.sales.lookup(id).await? else {
            self.absent_sales.note(id, asked_at);
            return Err(ProblemCode::NoSuchSale.into());
        };
        Ok(self.note(row, asked_at))
    }

    /// Takes a row that was committed or read after `as_of` into memory, so that it counts at once on this node.
    pub(crate) fn note(&self, row: SaleRow, as_of: Timestamp) -> Arc<BoardSale> {
        self.board.put(row, as_of)
    }
}
