//! What visitors are answered while a service is gone, and that all is normal soon after its return.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::Method;
use miaosha_testkit::services::Service as _;
use serde_json::json;

use crate::MACHINE;
use crate::site::Fleet;
use crate::support::http::Answer;

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
/// The promise is one second; this is what only a missing limit exceeds on a machine that has other work.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// All is normal so soon after a service has come back; the promise is five seconds.
const NORMAL_WITHIN: Duration = Duration::from_secs(15);
const CARD: &str = "4242424242424242";

/// A fleet with a sale that is open, and people with tokens.
struct Stage {
    fleet: Fleet,
    sale: String,
    tokens: Vec<String>,
    next: usize,
    slowest: Mutex<Duration>,
}

impl Stage {
    async fn set() -> Self {
        let fleet = tokio::task::spawn_blocking(|| Fleet::start(&SETTINGS)).await.unwrap();
        let sale = fleet.create_sale(&["--stock", "100", "--standby", "50", "--starts-in", "0s"]);
        let tokens = fleet.tokens(60);
        let mut stage = Self { fleet, sale, tokens, next: 0, slowest: Mutex::default() };
        stage.expect_normal("at first").await;
        stage
    }

    /// Somebody who has not asked yet.
    fn newcomer(&mut self) -> String {
        self.next += 1;
        self.tokens[self.next - 1].clone()
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<serde_json::Value>) -> Answer {
        let asked_at = Instant::now();
        let answer = self.fleet.call(method, path, Some(token), body).await;
        let took = asked_at.elapsed();
        assert!(took < ANSWERED_WITHIN, "{path} took {took:?}");
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
        answer
    }

    async fn buy(&self, token: &str) -> Answer {
        let path = format!("/api/v1/sales/{}/requests", self.sale);
        self.call(Method::POST, &path, token, Some(json!({ "answer": "" }))).await
    }

    async fn claim(&self, token: &str) -> Answer {
        self.call(Method::GET, &format!("/api/v1/sales/{}/claim", self.sale), token, None).await
    }

    async fn check_out(&self, checkout_token: &str) -> Answer {
        let body = json!({
            "payment": { "method": "sandbox", "card": CARD },
            "shipping": { "name": "Ann", "phone": "+1 555 0100", "address": "1 Main Street" },
        });
        self.call(Method::POST, "/api/v1/checkout", checkout_token, Some(body)).await
    }

    /// Looks a claim up until it is a reservation; gives the checkout token.
    async fn reserved(&self, token: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let claim = self.claim(token).await;
            if claim.body["status"] == "reserved" {
                return claim.text("checkout_token").to_owned();
            }
            assert!(Instant::now() < deadline, "no reservation: {claim:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Somebody new asks, gets a unit and pays it.
    async fn expect_normal(&mut self, when: &str) {
        let deadline = Instant::now() + NORMAL_WITHIN;
        let token = self.newcomer();
        let asked_at = Instant::now();
        while self.buy(&token).await.status != 202 {
            assert!(Instant::now() < deadline, "{when}: requests are not accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let checkout_token = self.reserved(&token, NORMAL_WITHIN).await;
        loop {
            let paid = self.check_out(&checkout_token).await;
            if paid.status == 201 {
                break;
            }
            assert!(Instant::now() < deadline, "{when}: {paid:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let slowest = std::mem::take(&mut *self.slowest.lock().unwrap());
        println!(
            "{when}: bought and paid after {:?}, slowest answer until then {slowest:?}",
            asked_at.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_are_told_the_truth_while_a_service_is_gone() {
    let _alone = MACHINE.lock().await;
    let mut stage = Stage::set().await;

    stage.fleet.services.rabbitmq.stop();
    let token = stage.newcomer();
    for _ in 0..5 {
        let answer = stage.buy(&token).await;
        assert_eq!(answer.status, 503, "nothing is queued that no broker holds: {answer:?}");
        assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    }
    assert_eq!(stage.fleet.call(Method::GET, "/api/v1/sales", None, None).await.status, 200);
    stage.fleet.services.rabbitmq.start_again().unwrap();
    stage.expect_normal("RabbitMQ is back").await;

    for node in &stage.fleet.services.redis.nodes {
        node.kill();
    }
    stage.expect_normal("without Redis").await;
    for node in &stage.fleet.services.redis.nodes {
        node.start_again().unwrap();
    }
    stage.fleet.services.redis.wait_until_ok().unwrap();
    stage.expect_normal("Redis is back").await;

    let holder = stage.newcomer();
    assert_eq!(stage.buy(&holder).await.status, 202);
    let checkout_token = stage.reserved(&holder, NORMAL_WITHIN).await;
    stage.fleet.services.mysql.primary.kill();
    let waiting = stage.newcomer();
    let answer = stage.buy(&waiting).await;
    assert_eq!((answer.status, answer.text("status")), (202, "queued"), "{answer:?}");
    let paid = stage.check_out(&checkout_token).await;
    assert_eq!(paid.status, 503, "{paid:?}");
    assert!(paid.headers.contains_key("retry-after"), "{paid:?}");
    for token in [&holder, &waiting] {
        let claim = stage.claim(token).await;
        assert!(matches!(claim.status, 200 | 503), "{claim:?}");
    }
    stage.fleet.services.mysql.primary.start_again().unwrap();
    stage.reserved(&waiting, NORMAL_WITHIN).await;
    stage.expect_normal("MySQL is back").await;
    stage.fleet.verify(&stage.sale.clone());
}
