//! A whole site in this process, with a clock that can be put forward, and a client for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use argon2::Params;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use miaosha_app::board::{Board, News};
use miaosha_app::decide_batch::decide_batch;
use miaosha_app::follow::{Follower, Listener};
use miaosha_app::model::{Role, User};
use miaosha_app::ports::{Clock, Passwords, Ports};
use miaosha_app::reconcile_payments::reconcile_payments;
use miaosha_app::request_buy::{DeskLimits, RequestDesk};
use miaosha_app::settle_sale::sweep;
use miaosha_app::tend_gate::GateTender;
use miaosha_domain::audit::Snapshot;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::{Embedded, SystemClock};
use miaosha_web::tokens::Secret;
use miaosha_web::{
    Argon2Passwords, Keyring, REQUEST_SECONDS_BUCKETS, Readiness, Serves, Web, WebLimits, WebParts,
};
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::watched::{Watch, watch};

/// The system's clock, put forward by hand.
#[derive(Debug, Default)]
pub(crate) struct ShiftedClock {
    shift_ms: AtomicI64,
}

impl ShiftedClock {
    pub(crate) fn advance(&self, span: Duration) {
        let ms = i64::try_from(span.as_millis()).unwrap();
        self.shift_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_millis(self.shift_ms.load(Ordering::SeqCst).unsigned_abs())
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// What the node is said to be like.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) is_draining: AtomicBool,
    pub(crate) has_wrong_clock: AtomicBool,
}

impl Readiness for Health {
    fn reasons(&self) -> Vec<String> {
        if self.is_draining.load(Ordering::SeqCst) { vec!["draining".to_owned()] } else { Vec::new() }
    }

    fn has_right_clock(&self) -> bool {
        !self.has_wrong_clock.load(Ordering::SeqCst)
    }
}

struct Unheard;

impl Listener for Unheard {
    fn hear(&self, _news: &News) {}
}

/// A site, and everything behind it.
pub(crate) struct Site {
    pub(crate) web: Arc<Web>,
    pub(crate) router: Router,
    pub(crate) ports: Ports,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: Arc<ShiftedClock>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) health: Arc<Health>,
    pub(crate) tasks: TaskTracker,
    /// Ends what reads from the database what other processes did.
    pub(crate) following: AbortHandle,
    _running: JoinSet<()>,
    _directory: tempfile::TempDir,
}

pub(crate) const LEASE: Duration = Duration::from_mins(1);

impl Site {
    pub(crate) async fn open() -> Self {
        Self::open_with(WebLimits::default()).await
    }

    pub(crate) async fn open_with(limits: WebLimits) -> Self {
        Self::open_altered(limits, |_| {}).await
    }

    /// A site whose routes see the world through watched ports; what runs behind them does not.
    pub(crate) async fn open_watched(limits: WebLimits) -> (Self, Arc<Watch>) {
        let mut watched = None;
        let site = Self::open_altered(limits, |ports| watched = Some(watch(ports))).await;
        (site, watched.unwrap())
    }

    async fn open_altered(limits: WebLimits, alter: impl FnOnce(&mut Ports)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ShiftedClock::default());
        let embedded = Embedded::open_with_clock(directory.path(), clock.clone()).unwrap();
        let ports = embedded.ports(0);
        let mut web_ports = ports.clone();
        alter(&mut web_ports);
        let board = Arc::new(Board::new());
        let limits_of_desk = DeskLimits { batch_window: Duration::from_millis(1), ..DeskLimits::default() };
        let desk = Arc::new(RequestDesk::new(clock.clone(), web_ports.queue.clone(), limits_of_desk));
        let secret = Secret { kid: "k1".to_owned(), bytes: vec![7; 32] };
        let keyring = Arc::new(Keyring::new(secret, Vec::new()).unwrap());
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        let passwords = Argon2Passwords::with_params(ports.random.clone(), 2, 512, params);
        let health = Arc::new(Health::default());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(
                Matcher::Full("miaosha_request_seconds".to_owned()),
                &REQUEST_SECONDS_BUCKETS,
            )
            .unwrap()
            .build_recorder();
        let tasks = TaskTracker::new();
        let web = Web::new(WebParts {
            ports: web_ports,
            board: board.clone(),
            desk: desk.clone(),
            passwords: Arc::new(passwords) as Arc<dyn Passwords>,
            idempotency: embedded.idempotency.clone(),
            keyring: keyring.clone(),
            lease: LEASE,
            readiness: health.clone(),
            figures: recorder.handle(),
            tasks: tasks.clone(),
            limits,
        });
        let mut running = JoinSet::new();
        let mut follower = Follower::new(ports.clone(), board.clone(), Arc::new(Unheard));
        follower.catch_up().await.unwrap();
        let following = running.spawn(follower.run());
        running.spawn(async move { desk.run(std::future::pending()).await });
        running.spawn(decide_all(ports.clone(), embedded));
        let router = web.router(Serves::EVERYTHING);
        Self {
            web,
            router,
            ports,
            board,
            clock,
            keyring,
            health,
            tasks,
            following,
            _running: running,
            _directory: directory,
        }
    }

    /// A person with an account and this role.
    pub(crate) async fn person(&self, role: Role) -> Person {
        let id = UserId::new(self.ports.ids.next()).unwrap();
        let user = User {
            id,
            email: format!("{id}@example.invalid"),
            name: format!("Person {id}"),
            role,
            password_hash: None,
            created_at: self.ports.clock.now(),
        };
        self.ports.users.create(&user).await.unwrap();
        let lasts = Duration::from_hours(24);
        Person { id, token: self.keyring.mint_session(id, role, self.ports.clock.now(), lasts) }
    }

    /// A sale that an editor planned by these fields and the usual ones.
    pub(crate) async fn sale(&self, fields: Value) -> String {
        let editor = self.person(Role::Editor).await;
        let mut plan = json!({"title": "Console", "stock": 2, "starts_in_seconds": 0, "price": "199.00"});
        plan.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let answer = self.call(Call::post("/api/v1/admin/sales").by(&editor).json(&plan)).await;
        answer.require(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn call(&self, call: Call) -> Answer {
        Self::call_on(&self.router, call).await
    }

    /// The same on a router of another process.
    pub(crate) async fn call_on(router: &Router, call: Call) -> Answer {
        Answer::read(router.clone().oneshot(call.request()).await.unwrap()).await
    }

    /// Asks for a unit, and waits for what becomes of it.
    pub(crate) async fn buy(&self, sale: &str, person: &Person) -> Value {
        let path = format!("/api/v1/sales/{sale}/requests");
        let answer = self.call(Call::post(&path).by(person).json(&json!({"answer": ""}))).await;
        assert!(answer.status.is_success(), "{answer:?}");
        self.claim_when(sale, person, |claim| !matches!(claim["status"].as_str(), Some("none" | "queued")))
            .await
    }

    pub(crate) async fn claim(&self, sale: &str, person: &Person) -> Value {
        let path = format!("/api/v1/sales/{sale}/claim");
        self.call(Call::get(&path).by(person)).await.require(StatusCode::OK)
    }

    /// The claim, as soon as it is as wanted.
    pub(crate) async fn claim_when(
        &self,
        sale: &str,
        person: &Person,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let wanted = async {
            loop {
                let claim = self.claim(sale, person).await;
                if is_wanted(&claim) {
                    return claim;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wanted).await.expect("the claim never came to be so")
    }

    /// Waits until this node's memory is as wanted.
    pub(crate) async fn board_when(
        &self,
        sale: &str,
        is_wanted: impl Fn(&miaosha_app::board::BoardSale) -> bool,
    ) {
        let wanted = async {
            while !self.board.lookup(sale.parse().unwrap()).is_some_and(|sale| is_wanted(&sale)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wanted).await.expect("the board never came to be so");
    }

    /// What the sweeper and the reconciler do each second.
    pub(crate) async fn sweep(&self) {
        reconcile_payments(&self.ports).await.unwrap();
        sweep(&self.ports, &mut GateTender::default()).await.unwrap();
    }

    /// Everything that a sale has written, for comparing.
    pub(crate) async fn everything(&self, sale: &str) -> String {
        let sale: SaleId = sale.parse().unwrap();
        let Snapshot { book, claims, events, orders, payments, .. } =
            self.ports.sales.snapshot(sale).await.unwrap().unwrap();
        format!("{book:?} {claims:?} {events:?} {orders:?} {payments:?}")
    }
}

async fn decide_all(ports: Ports, embedded: Embedded) {
    while let Some(delivery) = embedded.queue.next().await {
        decide_batch(&ports, delivery).await.unwrap();
    }
}

/// A signed-in person.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: UserId,
    pub(crate) token: String,
}

/// A call to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn by(self, person: &Person) -> Self {
        self.bearer(&person.token)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    fn request(self) -> Request<Body> {
        let mut request =
            Request::builder().method(self.method).uri(self.path).body(Body::from(self.body)).unwrap();
        *request.headers_mut() = self.headers;
        request
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    async fn read(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn require(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// Fails unless this is the problem with this status and code, in the form that the contract names.
    #[track_caller]
    pub(crate) fn require_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), code),
            (status, self.json()["code"].as_str().unwrap_or("")),
            "{}",
            self.text()
        );
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        for name in ["type", "title", "detail"] {
            assert!(body[name].is_string(), "{name} in {body}");
        }
        body
    }
}

/// A body for `POST /checkout`.
pub(crate) fn payment(card: &str) -> Value {
    json!({
        "payment": {"method": "sandbox", "card": card},
        "shipping": {"name": "Ann", "phone": "+886 2 1234 5678", "address": "1 Main Street"},
    })
}

pub(crate) const PAYS: &str = "4242424242424242";
pub(crate) const DECLINED: &str = "4000000000000002";
pub(crate) const PAYS_LATER: &str = "4000000000000259";
