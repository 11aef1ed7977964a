//! People who come to a sale one after the other, and do what people do, whatever happens to the site meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use http_body_util::Full;
use hyper::{Method, Request, header};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::ears::Ears;
use crate::sold_out::{Said, now};
use crate::support::http::Answer;
use crate::support::{Http, PATIENCE};

/// How long somebody goes on asking a site that does not answer.
const PERSEVERANCE: Duration = Duration::from_mins(2);
/// Pays; pays, and its answer is lost; is declined.
const CARDS: [&str; 3] = ["4242424242424242", "4000000000000341", "4000000000000002"];

/// What the crowd shares.
pub(crate) struct Crowd {
    pub(crate) http: Http,
    pub(crate) sale: String,
    pub(crate) tokens: Vec<String>,
    /// Set when the doors close: who is not done goes home.
    pub(crate) is_over: AtomicBool,
    pub(crate) answered: AtomicUsize,
    /// Buy calls that got no answer, or none that says what became of the request.
    pub(crate) turned_away: AtomicUsize,
    /// Every answer `sold_out`.
    sold_out: Mutex<Vec<Said>>,
    /// Calls under way: as many as this process may have open files for, and the site connections.
    calls: Semaphore,
    /// People who listen on a socket.
    ears: Semaphore,
    /// How often somebody's socket had told him what became of his claim, and his list of orders had the one he was told of.
    pub(crate) heard: AtomicUsize,
    pub(crate) orders_seen: AtomicUsize,
}

/// Calls under way at once, at the most.
const CALLS_MAX: usize = 2_000;
/// Each has a thread.
const EARS_MAX: usize = 50;
/// After this a list of orders may come from a replica that is behind.
const A_MOMENT: Duration = Duration::from_secs(11);
/// Look-ups under way at once, afterwards.
const LOOK_UPS_MAX: usize = 64;

/// What became of one person, as he knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    /// The answer to the request: `queued`, `sold_out`, or a claim's status.
    pub(crate) told: String,
    /// When that was.
    pub(crate) told_at: Instant,
    /// Whether a look-up ever told him what became of the request.
    pub(crate) was_told: bool,
    /// Whether he was told of an order.
    pub(crate) has_order: bool,
}

impl Crowd {
    /// These people, before the sale's doors.
    pub(crate) fn gathered(http: Http, sale: String, tokens: Vec<String>) -> Self {
        Self {
            http,
            sale,
            tokens,
            is_over: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            sold_out: Mutex::default(),
            calls: Semaphore::new(CALLS_MAX),
            ears: Semaphore::new(EARS_MAX),
            heard: AtomicUsize::new(0),
            orders_seen: AtomicUsize::new(0),
        }
    }

    /// Everybody comes within `span`; returns what became of each, in the order of the tokens.
    pub(crate) async fn come(self: &Arc<Self>, span: Duration, seed: u64) -> Vec<Visit> {
        let visits: Vec<_> = (0..self.tokens.len())
            .map(|person| {
                let crowd = self.clone();
                let mut random = SmallRng::seed_from_u64(seed ^ ((person as u64 + 1) << 20));
                tokio::spawn(async move {
                    tokio::time::sleep(span.mul_f64(random.random_range(0.0..1.0))).await;
                    crowd.visit(person, random).await
                })
            })
            .collect();
        let mut results = Vec::with_capacity(visits.len());
        for visit in visits {
            results.push(visit.await.unwrap());
        }
        results
    }

    /// Every answer `sold_out` so far.
    pub(crate) fn take_sold_out(&self) -> Vec<Said> {
        std::mem::take(&mut self.sold_out.lock().unwrap())
    }

    /// What became of everybody's request, in the order of the tokens.
    pub(crate) async fn outcomes(&self) -> Vec<String> {
        stream::iter(&self.tokens).map(|token| self.outcome(token)).buffered(LOOK_UPS_MAX).collect().await
    }

    /// What became of somebody's request, by looking it up; asks again while the site says 503.
    async fn outcome(&self, token: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let claim = self.http.claim(&self.sale, token).await;
            if claim.status == 200 {
                return claim.text("status").to_owned();
            }
            assert_eq!(claim.status, 503, "{claim:?}");
            println!("a look-up is answered 503");
            assert!(Instant::now() < deadline, "nobody says what became of a request");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn visit(&self, person: usize, mut random: SmallRng) -> Visit {
        let token = &self.tokens[person];
        let told = self.buy(token, &mut random).await;
        let told_at = Instant::now();
        self.answered.fetch_add(1, Ordering::Relaxed);
        // Every tenth asks once more, as impatient people do.
        if random.random_ratio(1, 10) {
            self.buy(token, &mut random).await;
        }
        let mut visit = Visit { told, told_at, was_told: false, has_order: false };
        if visit.told != "sold_out" {
            let seat = self.ears.try_acquire();
            let ears = seat.is_ok().then(|| {
                Ears::open(self.http.base.clone(), self.sale.clone(), token.clone(), random.random())
            });
            self.follow(token, random, ears, &mut visit).await;
        }
        visit
    }

    /// Asks for a unit until there is an answer that is final for the client.
    async fn buy(&self, token: &str, random: &mut SmallRng) -> String {
        let deadline = Instant::now() + PERSEVERANCE;
        let path = format!("/api/v1/sales/{}/requests", self.sale);
        loop {
            let turn = self.calls.acquire().await.unwrap();
            let asked_at = now();
            let body = json!({ "answer": "" });
            let asked = self.http.try_call(Method::POST, &path, Some(token), Some(body)).await;
            drop(turn);
            match asked {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    let told = answer.text("status").to_owned();
                    if told == "sold_out" {
                        self.sold_out.lock().unwrap().push(Said { asked_at, heard_at: now() });
                    }
                    return told;
                }
                Ok(answer) => assert!(matches!(answer.status, 502..=504), "{answer:?}"),
                Err(_connection_broke) => {}
            }
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            assert!(Instant::now() < deadline, "no answer for too long");
            tokio::time::sleep(Duration::from_millis(random.random_range(100..1_000))).await;
        }
    }

    /// Looks what became of the request, and pays, gives up or dawdles.
    async fn follow(&self, token: &str, mut random: SmallRng, mut ears: Option<Ears>, visit: &mut Visit) {
        let path = format!("/api/v1/sales/{}/claim", self.sale);
        let asked_at = Instant::now();
        let mut receipt = None;
        while !self.is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(random.random_range(1_000..3_000))).await;
            let Ok(claim) = self.call(Method::GET, &path, token).await else { continue };
            let status = claim.body["status"].as_str().unwrap_or_default();
            visit.was_told |= !matches!(status, "" | "none" | "queued");
            let rev = claim.body["rev"].as_u64().unwrap_or_default();
            if let Some(ears) = ears.as_mut().filter(|_| rev > 0) {
                ears.have_heard(rev).await;
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
            match status {
                "reserved" => {
                    let mood = random.random_range(0..20);
                    if mood < 3
                        && let Some(paid) = self.pay(&claim.body, &mut random).await
                    {
                        visit.has_order = true;
                        self.expect_order(token, &paid).await;
                        receipt = Some(paid);
                    }
                    if mood == 3 {
                        drop(self.call(Method::DELETE, &path, token).await);
                    }
                }
                "paid" => {
                    visit.has_order = true;
                    break;
                }
                "expired" | "released" | "left" | "rejected" => return,
                // Lost with Redis, or not decided yet.
                "none" if asked_at.elapsed() > Duration::from_secs(30) => return,
                _ => {}
            }
        }
        drop(ears);
        if let Some(paid) = receipt {
            tokio::time::sleep(A_MOMENT).await;
            self.expect_order(token, &paid).await;
        }
    }

    /// Who was told of an order sees it in his list, on every node: as a browser asks, that brings back the cookies of the
    /// answer in which he was told. A site that cannot answer says nothing wrong.
    async fn expect_order(&self, token: &str, paid: &Answer) {
        let cookies = paid.headers.get_all(header::SET_COOKIE).iter();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().unwrap().split(';').next());
        let request = Request::get(format!("{}/api/v1/orders", self.http.base))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::COOKIE, cookies.collect::<Vec<_>>().join("; "));
        let _turn = self.calls.acquire().await.unwrap();
        let Ok(orders) = self.http.send(request.body(Full::default()).unwrap()).await else { return };
        if orders.status == 200 {
            let items = orders.body["items"].as_array().unwrap();
            assert_eq!(items.len(), 1, "somebody does not see the order that he was told of: {orders:?}");
            self.orders_seen.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn call(&self, method: Method, path: &str, token: &str) -> anyhow::Result<Answer> {
        let _turn = self.calls.acquire().await?;
        self.http.try_call(method, path, Some(token), None).await
    }

    /// The answer that tells of an order, if there is one.
    async fn pay(&self, claim: &Value, random: &mut SmallRng) -> Option<Answer> {
        // A reservation past its deadline has none; it is about to expire.
        let checkout_token = claim["checkout_token"].as_str()?;
        let card = CARDS[random.random_range(0..CARDS.len())];
        self.http.try_check_out(checkout_token, card).await.ok().filter(|paid| paid.status == 201)
    }
}
