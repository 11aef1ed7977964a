//! Buy calls as a crowd sends them, over real connections: what is answered without hyper is answered as hyper's way would.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use miaosha_app::board::{BoardSale, PersonalState};
use miaosha_app::model::Role;
use miaosha_app::ports::Clock as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::running::{Client, Running, buy, config, served};
use crate::site::{Call, Person, Site};

/// The same call in a form that is left to hyper.
fn unusual(call: &str) -> String {
    call.replacen("host: x\r\n", "host: x\r\nconnection: keep-alive, x\r\n", 1)
}

/// An answer without the time at which it was given.
fn dateless((head, body): (String, String)) -> (Vec<String>, String) {
    let mut lines: Vec<_> =
        head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect();
    lines.sort_unstable();
    (lines, body)
}

/// Calls for any of these sales that are right or wrong in every part.
fn calls(sales: Vec<String>, buyer: &Person, expired: String) -> impl Strategy<Value = String> {
    let token = &buyer.token;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let tokens = vec![
        token.clone(),
        expired,
        format!("{signed}.{}", signature.to_lowercase()),
        format!("{signed}."),
        format!("{signed}.{signature}A"),
        format!(" {token}\t"),
        format!("{token}\u{A0}"),
        format!("{token}\u{E9}"),
        String::new(),
    ];
    let answer = prop::sample::select(
        &["", "Sony", "sony ", "S\\u006fny", "Apple", "蘋果", "\\", "\n", "x\",\"entry\":\"y"][..],
    );
    let other = &["{}", "", " {}", "[]", "[\"Sony\"]", r#"{"answer":1}"#, r#"{"answer": "Sony"}"#][..];
    let body = prop_oneof![
        answer.prop_map(|answer| format!(r#"{{"answer":"{answer}"}}"#)),
        prop::sample::select(other).prop_map(str::to_owned),
    ];
    let content_type = &["application/json", "Application/JSON; charset=utf-8", "text/plain", ""][..];
    (
        prop::sample::select(sales),
        // The right one is as frequent as all others together, so that what is judged behind it is seen as well.
        prop_oneof![Just(token.clone()), prop::sample::select(tokens)],
        body,
        prop_oneof![2 => Just("application/json"), 1 => prop::sample::select(content_type)],
    )
        .prop_map(|(sale, token, body, content_type)| {
            let content_type = format!("content-type: {content_type}");
            buy(&sale, &token, &body).replacen("content-type: application/json", &content_type, 1)
        })
}

#[tokio::test]
async fn a_call_is_answered_as_hyper_would_answer_it() {
    let site = Site::open().await;
    let (buyer, other) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    let full = site.sale(json!({"stock": 1, "standby": 0})).await;
    site.buy(&full, &other).await;
    site.board_when(&full, |sale| sale.refuses_newcomers(site.clock.now())).await;
    let own = site.sale(json!({"question": "Who?", "choices": ["Sony", "Apple"], "answer": "Sony"})).await;
    let request = Call::post(&format!("/api/v1/sales/{own}/requests")).by(&buyer);
    site.call(request.json(&json!({"answer": "Sony"}))).await.require(StatusCode::ACCEPTED);
    let is_reserved = |sale: &BoardSale| {
        matches!(sale.personal_state(buyer.id, site.clock.now()), PersonalState::Claimed(_))
    };
    site.board_when(&own, is_reserved).await;
    let later = site.sale(json!({"starts_in_seconds": 3_600})).await;
    let odd = ["0", "", "?", "#", "%", "ä"].map(|oddity| format!("{oddity}{own}{oddity}"));
    let sales = [full, own, later, "1".to_owned()].into_iter().chain(odd).collect();
    let running = Running::start(config(), served(&site));
    let (mut plain, mut by_hyper) =
        (Client::connect(running.addr).await, Client::connect(running.addr).await);

    let an_hour_ago = site.clock.now() - Duration::from_hours(1);
    let expired = site.keyring.mint_session(buyer.id, Role::Buyer, an_hour_ago, Duration::from_mins(1));
    let calls = calls(sales, &buyer, expired);
    let mut given = HashSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..600 {
        let call = calls.new_tree(&mut runner).unwrap().current();
        plain.send(&call).await;
        by_hyper.send(&unusual(&call)).await;
        let (one, other) = (plain.answer().await, by_hyper.answer().await);
        let told: serde_json::Value = serde_json::from_str(&one.1).unwrap();
        let word = told.get("code").or(told.get("status")).unwrap().clone();
        given.insert(word.as_str().unwrap().to_owned());
        assert_eq!(dateless(one), dateless(other), "{call}");
    }
    let every = [
        "unsupported_media_type",
        "no_such_sale",
        "not_found",
        "unauthenticated",
        "not_open",
        "invalid_body",
        "wrong_answer",
        "reserved",
        "sold_out",
    ];
    assert_eq!(given, every.map(str::to_owned).into(), "the calls are of every kind");
    running.stop().await;
}

#[tokio::test]
async fn a_body_is_no_request_even_if_it_is_not_read() {
    let site = Site::open().await;
    let running = Running::start(config(), served(&site));
    let smuggled = buy("1", "none", "{}");
    for (path, status) in
        [("/healthz", "405 "), ("/api/v1/none", "404 "), ("/api/v1/sales/1/requests", "413 ")]
    {
        let padding = " ".repeat(5_000);
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{padding}{smuggled}",
            padding.len() + smuggled.len()
        );
        let mut client = Client::connect(running.addr).await;
        client.send(&request).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
        // It ends here or goes on behind the body; nothing of the body is answered.
        client.0.shutdown().await.unwrap();
        assert_eq!(client.rest().await, "", "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_head_is_bounded_in_lines_and_in_bytes() {
    let site = Site::open().await;
    let running = Running::start(config(), served(&site));
    let call = buy("1", "none", "{}");
    for (headers, status) in [
        ("x: y\r\n".repeat(60), "404 "),
        ("x: y\r\n".repeat(61), "431 "),
        (format!("x: {}\r\n", "y".repeat(15 * 1_024)), "404 "),
        (format!("x: {}\r\n", "y".repeat(16 * 1_024)), "431 "),
    ] {
        let mut client = Client::connect(running.addr).await;
        client.send(&call.replacen("host: x\r\n", &format!("host: x\r\n{headers}"), 1)).await;
        let (head, _) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{} bytes: {head}", headers.len());
    }
    running.stop().await;
}
