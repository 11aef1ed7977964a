//! Processes that start while an engine is away: they wait for the database and say so, do without the others, and serve as
//! soon as there is what they need.

use std::time::{Duration, Instant};

use hyper::Method;
use miaosha_testkit::services::{Node, Service as _};
use serde_json::json;

use crate::MACHINE;
use crate::site::{DATABASE, Fleet};
use crate::support::http::Answer;
use crate::support::{Http, PATIENCE};

const SETTINGS: [(&str, &str); 2] = [("MIAOSHA_DEV__TOKEN_MINT", "true"), ("MIAOSHA_LOG__FILTER", "warn")];
/// Calls to a process that is not ready: they last longer than the first few of its attempts.
const ROUNDS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_start_while_an_engine_is_away() {
    let _alone = MACHINE.lock().await;
    let fleet = tokio::task::spawn_blocking(|| Fleet::start_with([1; 4], &SETTINGS)).await.unwrap();
    let sale = fleet.create_sale(&["--stock", "100", "--starts-in", "0s"]);
    let tokens = fleet.tokens(2);
    fleet.wait_until_open(&sale).await;
    they_wait_for_the_database_and_tell_nobody_anything_meanwhile(&fleet, &sale, &tokens[0]).await;
    without_redis_and_rabbitmq_they_serve_and_accept_nothing(&fleet, &sale, &tokens[1]).await;
    a_database_that_is_not_as_it_must_be_ends_them_with_the_reason(&fleet).await;
}

/// Kills every process and starts it again without waiting for it.
fn relaunch(fleet: &Fleet) {
    for (_, node) in fleet.site.nodes() {
        node.kill();
        node.launch_again().unwrap();
    }
}

/// The way to one process, as soon as it says that it lives.
async fn living(node: &Node) -> Http {
    let http = Http::of(format!("http://{}", node.address()));
    let deadline = Instant::now() + PATIENCE;
    while !http.try_call(Method::GET, "/healthz", None, None).await.is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < deadline, "process {} does not say that it lives", node.number());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    http
}

/// Asks for a unit until the request is accepted, and looks until there is a reservation.
async fn expect_bought(fleet: &Fleet, sale: &str, token: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = fleet.buy(sale, token).await;
        if answer.status == 202 {
            break;
        }
        assert!(matches!(answer.status, 502..=504), "{answer:?}");
        assert!(Instant::now() < deadline, "requests are not accepted: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fleet.claim_when(sale, token, "reserved").await;
}

fn expect_come_again(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (503, "unavailable"), "{answer:?}");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
}

async fn they_wait_for_the_database_and_tell_nobody_anything_meanwhile(
    fleet: &Fleet,
    sale: &str,
    token: &str,
) {
    fleet.mysql_proxy.cut();
    relaunch(fleet);
    for (_, node) in fleet.site.nodes() {
        let http = living(node).await;
        for _ in 0..ROUNDS {
            let ready = http.call(Method::GET, "/readyz", None, None).await;
            assert_eq!((ready.status, &ready.body["ready"]), (503, &json!(false)), "{ready:?}");
            assert!(ready.body["reasons"].to_string().contains("database"), "{ready:?}");
            expect_come_again(&http.buy(sale, token).await);
            expect_come_again(&http.claim(sale, token).await);
            expect_come_again(&http.call(Method::GET, "/api/v1/sales", None, None).await);
        }
    }
    let told_to_end = &fleet.site.general[0];
    assert!(
        told_to_end.stop().is_some_and(|status| status.success()),
        "{}",
        told_to_end.daemon().last_words()
    );
    fleet.mysql_proxy.heal().unwrap();
    for (_, node) in fleet.site.nodes() {
        node.start_again().unwrap();
    }
    expect_bought(fleet, sale, token).await;
    fleet.verify(sale);
}

async fn without_redis_and_rabbitmq_they_serve_and_accept_nothing(fleet: &Fleet, sale: &str, token: &str) {
    fleet.services.rabbitmq.stop();
    for node in &fleet.services.redis.nodes {
        node.kill();
    }
    relaunch(fleet);
    for (_, node) in fleet.site.nodes() {
        node.start_again().unwrap();
    }
    fleet.wait_until_open(sale).await;
    expect_come_again(&fleet.buy(sale, token).await);
    assert_eq!(fleet.claim(sale, token).await.text("status"), "none");

    fleet.services.rabbitmq.start_again().unwrap();
    for node in &fleet.services.redis.nodes {
        node.start_again().unwrap();
    }
    fleet.services.redis.wait_until_ok().unwrap();
    expect_bought(fleet, sale, token).await;
    fleet.verify(sale);
}

async fn a_database_that_is_not_as_it_must_be_ends_them_with_the_reason(fleet: &Fleet) {
    let primary = &fleet.services.mysql.primary;
    let set_schema = |version| {
        primary.query(&format!("UPDATE {DATABASE}.schema_version SET version = {version}")).unwrap();
    };
    let schema = primary.query(&format!("SELECT version FROM {DATABASE}.schema_version")).unwrap();
    let flush = |often| {
        primary.query(&format!("SET GLOBAL innodb_flush_log_at_trx_commit = {often}")).unwrap();
    };
    let wrongs: [(&dyn Fn(), &str); 2] = [
        (&|| flush(2), "innodb_flush_log_at_trx_commit = 2"),
        (&|| set_schema("99"), "the database is of schema 99"),
    ];
    let node = &fleet.site.consumers[0];
    for (spoil, reason) in wrongs {
        fleet.mysql_proxy.cut();
        node.kill();
        node.launch_again().unwrap();
        living(node).await;
        spoil();
        fleet.mysql_proxy.heal().unwrap();
        let ended = node.wait_for_end(PATIENCE);
        assert_eq!(ended.and_then(|status| status.code()), Some(1), "{}", node.daemon().last_words());
        assert!(node.daemon().last_words().contains(reason), "{}", node.daemon().last_words());
        flush(1);
        set_schema(&schema);
        node.start_again().unwrap();
    }
}
