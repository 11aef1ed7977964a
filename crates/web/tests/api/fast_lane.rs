//! Buy calls as a crowd sends them, over real connections: what is answered without hyper is answered as hyper would, and a
//! connection that carried something else carries them as before.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body_util::Full;
use miaosha_app::model::Role;
use miaosha_web::{ListenerConfig, Site as Served, SocketService};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use crate::running::{Client, PATIENT, Running, buy, config, served};
use crate::site::{Call, Site};

/// As they stand in a body.
const ANSWERS: [&str; 9] =
    ["", "Sony", "sony ", "S\\u006fny", "Apple", "蘋果", "\\", "\n", "x\",\"entry\":\"y"];

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

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_as_hyper_would_answer_it() {
    let site = Site::open().await;
    let buyer = site.person(Role::Buyer).await;
    let full = site.sale(json!({"stock": 1, "standby": 0})).await;
    site.buy(&full, &site.person(Role::Buyer).await).await;
    let question = json!({"question": "Who?", "choices": ["Sony", "Apple"], "answer": "Sony"});
    let asking = site.sale(question).await;
    let later = site.sale(json!({"starts_in_seconds": 3_600})).await;
    // From here on, neither sale changes.
    for (sale, settled) in [(&full, "sold_out"), (&asking, "reserved")] {
        let call = || {
            Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({"answer": "Sony"}))
        };
        while site.call(call()).await.json()["status"] != settled {}
    }
    let running = Running::start(config(), served(&site));
    let mut clients = (Client::connect(running.addr).await, Client::connect(running.addr).await);

    let (signed, signature) = buyer.token.rsplit_once('.').unwrap();
    let tokens = [
        buyer.token.clone(),
        format!("{signed}.{}", signature.to_lowercase()),
        format!("{signed}."),
        format!("{signed}.{signature}A"),
        format!(" {}\t", buyer.token),
        format!("{}\u{A0}", buyer.token),
        format!("{}\u{E9}", buyer.token),
        String::new(),
    ];
    let call = (
        prop::sample::select(vec![full.clone(), asking, later, "1".to_owned(), format!("0{full}")]),
        prop::sample::select(tokens.to_vec()),
        prop_oneof![
            prop::sample::select(&ANSWERS[..]).prop_map(|answer| format!(r#"{{"answer":"{answer}"}}"#)),
            prop::sample::select(&["{}", "", " {}", "[]", r#"{"answer":1}"#, r#"{"answer": "Sony"}"#][..])
                .prop_map(str::to_owned),
        ],
        prop::sample::select(&["application/json", "Application/JSON; charset=utf-8", "text/plain", ""][..]),
    );
    let mut given = HashSet::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..400 {
        let (sale, token, body, content_type) = call.new_tree(&mut runner).unwrap().current();
        let plain = buy(&sale, &token, &body)
            .replace("content-type: application/json", &format!("content-type: {content_type}"));
        clients.0.send(&plain).await;
        clients.1.send(&unusual(&plain)).await;
        let (by_us, by_hyper) = (clients.0.answer().await, clients.1.answer().await);
        given.insert(by_us.0.lines().next().unwrap().to_owned());
        assert_eq!(dateless(by_us), dateless(by_hyper), "{plain}");
    }
    assert!(given.len() >= 6, "the calls are not of every kind: {given:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_connection_goes_on_as_before_behind_any_other_request() {
    let site = Site::open().await;
    let running = Running::start(config(), served(&site));
    let mut client = Client::connect(running.addr).await;
    let call = buy("1", "none", "{}");
    let health = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let sign_in = "POST /api/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                   content-length: 49\r\n\r\n{\"email\":\"nobody@test.com\",\"password\":\"whatever\"}";
    let head_of_health = "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let no_length =
        "POST /api/v1/sales/1/requests HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\r\n";

    for (request, status) in [
        (health, "200 "),
        (sign_in, "401 "),
        (no_length, "404 "),
        (health, "200 "),
        (&unusual(health), "200 "),
    ] {
        // At once, in two pieces, and with what comes behind it.
        client.send(request).await;
        assert!(client.answer().await.0.starts_with(&format!("http/1.1 {status}")), "{request}");
        client.send(&call).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
        let (first, second) = request.split_at(request.len() - 1);
        client.send(first).await;
        client.send(second).await;
        assert!(client.answer().await.0.starts_with(&format!("http/1.1 {status}")), "{request}");
        client.send(&[&call, request, &call, &call[..9]].concat()).await;
        for status in ["404 ", status, "404 "] {
            let (head, _) = client.answer().await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
        }
        client.send(&call[9..]).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    }
    client.send(&[head_of_health, &call].concat()).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(client.answer().await.0.starts_with("http/1.1 404 "), "a HEAD has no body");
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
async fn whoever_hangs_up_while_a_request_is_answered_ends_it() {
    struct NotifyOnDrop(Arc<Notify>);
    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let site = Site::open().await;
    let (entered, given_up) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, dropped) = (entered.clone(), given_up.clone());
    let sockets: SocketService = Arc::new(move |_| {
        let on_drop = NotifyOnDrop(dropped.clone());
        told.notify_one();
        async move {
            let _on_drop = on_drop;
            std::future::pending().await
        }
        .boxed()
    });
    let running = Running::start(config(), Served { sockets: Some(sockets), ..served(&site) });
    let mut client = Client::connect(running.addr).await;
    client.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n").await;
    entered.notified().await;
    drop(client);
    tokio::time::timeout(PATIENT, given_up.notified()).await.expect("it was not noticed");
    running.stop().await;
}

#[tokio::test]
async fn a_buyer_who_waits_too_long_between_calls_or_within_one_is_closed() {
    let site = Site::open().await;
    let (brief, endless) = (Duration::from_millis(30), PATIENT * 10);
    let call = buy("1", "none", "{}");
    let health = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    // Each is closed by the limit that it breaks; the other does not come.
    for (behind, head_timeout, idle_timeout) in [("", brief, brief * 4), (&call[..40], brief, endless)] {
        for before in [call.clone(), [&call, health].concat()] {
            let quick = ListenerConfig { head_timeout, idle_timeout, ..config() };
            let running = Running::start(quick, served(&site));
            let mut client = Client::connect(running.addr).await;
            client.send(&[&before, behind].concat()).await;
            assert!(client.answer().await.0.starts_with("http/1.1 404 "));
            if before != call {
                assert!(client.answer().await.0.starts_with("http/1.1 200 "));
            }
            assert_eq!(client.rest().await, "");
            running.stop().await;
        }
    }
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

#[tokio::test]
async fn every_thread_takes_connections_of_its_own_from_the_one_address() {
    let site = Site::open().await;
    let sockets: SocketService = Arc::new(|_| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        async move { Response::new(Full::new(Bytes::from(thread))) }.boxed()
    });
    let running = Running::start(config(), Served { sockets: Some(sockets), ..served(&site) });
    let mut threads = HashSet::new();
    // The system spreads connections by a hash of their addresses: 64 on one of two is once in 2^63.
    for _ in 0..64 {
        let mut client = Client::connect(running.addr).await;
        client.send("GET /socket.io/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
        threads.insert(client.answer().await.1);
    }
    assert_eq!(threads, HashSet::from(["web-0".to_owned(), "web-1".to_owned()]));
    running.stop().await;
}
