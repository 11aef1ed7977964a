//! The listener, over real connections.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Response;
use http_body_util::Full;
use miaosha_app::model::Role;
use miaosha_push::{Admission, Application, ClientEvent, ConnectRequest, DisconnectReason, Server, SocketId};
use miaosha_web::{Listener, ListenerConfig, Site as Served, SocketService};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::running::{ANYWHERE, Client, PATIENT, Running, buy, config, served};
use crate::site::Site;

/// More than the system keeps for somebody who does not read.
const LARGE_LEN: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn one_connection_carries_buy_calls_and_all_others() {
    let site = Site::open().await;
    let sale = site.sale(serde_json::json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let running = Running::start(config(), served(&site));
    let mut client = Client::connect(running.addr).await;

    client.send(&buy(&sale, &buyer.token, r#"{"answer":""}"#)).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 202 "), "{head}");
    assert_eq!(body, r#"{"status":"queued"}"#);

    client.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.1, "ok\n");

    client.send(&buy("1", &buyer.token, "{}")).await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("http/1.1 404 ") && head.contains("application/problem+json"), "{head}");
    assert!(body.contains(r#""code":"no_such_sale""#), "{body}");

    client.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    running.stop().await;
}

#[tokio::test]
async fn calls_that_come_together_are_answered_in_order_and_so_is_what_follows() {
    let site = Site::open().await;
    let sale = site.sale(serde_json::json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let running = Running::start(config(), served(&site));
    let mut client = Client::connect(running.addr).await;

    let (unknown, wanted) = (buy("1", &buyer.token, "{}"), buy(&sale, &buyer.token, r#"{"answer":""}"#));
    let health = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    client.send(&[unknown.as_str(), &wanted, &unknown, health, &unknown].concat()).await;
    for expected in ["404 ", "202 ", "404 ", "200 ", "404 "] {
        let (head, _) = client.answer().await;
        assert!(head.starts_with(&format!("http/1.1 {expected}")), "{expected}: {head}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_call_may_come_in_pieces() {
    let site = Site::open().await;
    let running = Running::start(config(), served(&site));
    let mut client = Client::connect(running.addr).await;
    client.0.set_nodelay(true).unwrap();
    let call = buy("1", "none", "{}");
    for at in [1, call.find("\r\n\r\n").unwrap() - 3, call.len() - 1] {
        let (first, second) = call.split_at(at);
        client.send(first).await;
        client.send(second).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    }
    // What is read behind an answered call was read together with it.
    client.send(&[&call, &call[..40]].concat()).await;
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    client.send(&call[40..]).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("http/1.1 404 ") && head.contains("\r\ndate: "), "{head}");
    running.stop().await;
}

#[tokio::test]
async fn a_buyer_who_waits_too_long_between_calls_or_within_one_is_closed() {
    let site = Site::open().await;
    let (brief, endless) = (Duration::from_millis(30), PATIENT * 10);
    let call = buy("1", "none", "{}");
    // Each is closed by the limit that it breaks; the other does not come.
    for (behind, head_timeout, idle_timeout) in [("", brief, brief * 4), (&call[..40], brief, endless)] {
        let quick = ListenerConfig { head_timeout, idle_timeout, ..config() };
        let running = Running::start(quick, served(&site));
        let mut client = Client::connect(running.addr).await;
        client.send(&[&call, behind].concat()).await;
        assert!(client.answer().await.0.starts_with("http/1.1 404 "));
        assert_eq!(client.rest().await, "");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_buy_body_is_bounded_whether_its_length_is_announced_or_not() {
    let site = Site::open().await;
    let running = Running::start(config(), served(&site));
    let announced = "POST /api/v1/sales/1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 4097\r\n\r\n";
    let mut client = Client::connect(running.addr).await;
    client.send(announced).await;
    let (head, body) = client.answer().await;
    assert!(
        head.starts_with("http/1.1 413 ") && body.contains("body_too_large"),
        "before it is sent: {head}"
    );

    let mut client = Client::connect(running.addr).await;
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(4_096));
    let chunked = "POST /api/v1/sales/1/requests HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    client.send(&format!("{chunked}{chunk}{chunk}")).await;
    assert!(client.answer().await.0.starts_with("http/1.1 413 "));
    running.stop().await;
}

#[tokio::test]
async fn requests_for_sockets_go_to_the_push_server_with_where_they_came_from() {
    let site = Site::open().await;
    let sockets: SocketService = Arc::new(|request| {
        let peer = request.extensions().get::<miaosha_web::Peer>().copied();
        async move { Response::new(Full::new(Bytes::from(format!("{:?}", peer.unwrap().0)))) }.boxed()
    });
    let running = Running::start(config(), Served { sockets: Some(sockets), ..served(&site) });
    let mut client = Client::connect(running.addr).await;
    let here = client.0.local_addr().unwrap();
    client.send("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.1, here.to_string());
    running.stop().await;
}

#[tokio::test]
async fn a_connection_that_carried_a_buy_call_may_become_a_socket() {
    struct Nobody;
    impl Application for Nobody {
        fn connect(&self, _: &Server, _: &ConnectRequest<'_>) -> Admission {
            Admission::Later
        }
        fn event(&self, _: &Server, _: &ClientEvent<'_>) {}
        fn disconnected(&self, _: &Server, _: SocketId, _: Option<u64>, _: DisconnectReason) {}
    }
    let server = Server::start(miaosha_push::Config::default(), Arc::new(Nobody)).unwrap();
    let sockets: SocketService = Arc::new(move |request| {
        let server = server.clone();
        async move { miaosha_push::http::respond(&server, request).await }.boxed()
    });
    let site = Site::open().await;
    let running = Running::start(config(), Served { sockets: Some(sockets), ..served(&site) });
    let mut client = Client::connect(running.addr).await;
    let upgrade = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
                   upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A frame that comes with the request for the upgrade is not lost on the way: a ping, which is answered.
    client
        .0
        .write_all(
            &[buy("1", "none", "{}").as_bytes(), upgrade.as_bytes(), &[0x89, 0x80, 0, 0, 0, 0]].concat(),
        )
        .await
        .unwrap();
    assert!(client.answer().await.0.starts_with("http/1.1 404 "));
    assert!(client.answer().await.0.starts_with("http/1.1 101 "));
    let mut frames = Vec::new();
    let read = async {
        while !frames.ends_with(&[0x8A, 0]) {
            frames.push(client.0.read_u8().await.expect("frames"));
        }
    };
    tokio::time::timeout(PATIENT, read).await.expect("the ping was lost");
    assert!(frames.windows(8).any(|text| text == br#"0{"sid":"#), "{frames:?}");
    running.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_never_finish_a_head_are_closed() {
    let site = Site::open().await;
    let quick = ListenerConfig {
        head_timeout: Duration::from_millis(30),
        idle_timeout: Duration::from_millis(120),
        ..config()
    };
    let running = Running::start(quick, served(&site));
    let silent = Client::connect(running.addr).await;
    assert_eq!(silent.rest().await, "");

    let mut slow = Client::connect(running.addr).await;
    slow.send("GET /healthz HTTP/1.1\r\nhost").await;
    assert_eq!(slow.rest().await, "", "half a head has no answer");

    let mut idle = Client::connect(running.addr).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.answer().await.1, "ok\n");
    assert_eq!(idle.rest().await, "");
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_takes_long_and_a_reader_that_is_slow_are_not_cut() {
    let site = Site::open().await;
    let quick = ListenerConfig {
        head_timeout: Duration::from_millis(20),
        idle_timeout: Duration::from_millis(20),
        ..config()
    };
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (entered.clone(), go_on.clone());
    let general = Router::new().route("/large", get(async || vec![b'x'; LARGE_LEN])).route(
        "/long",
        get(async move || {
            told.notify_one();
            wait.notified().await;
            "done"
        }),
    );
    let running = Running::start(quick, Served { general, ..served(&site) });

    let mut long = Client::connect(running.addr).await;
    long.send("GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await;
    entered.notified().await;
    // Other connections come and are cut, by the same patience, meanwhile.
    for _ in 0..4 {
        assert_eq!(Client::connect(running.addr).await.rest().await, "");
    }
    go_on.notify_one();
    assert_eq!(long.answer().await.1, "done");

    // A reader that takes nothing until others, which came later, have lost the patience of the server.
    let mut slow = Client::connect(running.addr).await;
    slow.send("GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    for _ in 0..4 {
        assert_eq!(Client::connect(running.addr).await.rest().await, "");
    }
    let text = slow.rest().await;
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.len(), LARGE_LEN);
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_place_back() {
    let site = Site::open().await;
    let brisk = ListenerConfig {
        connections_max: 1,
        head_timeout: Duration::from_millis(20),
        stall_timeout: Duration::from_millis(40),
        ..config()
    };
    let general = site.router.clone().route("/large", get(async || vec![b'x'; LARGE_LEN]));
    let running = Running::start(brisk, Served { general, ..served(&site) });
    let mut deaf = Client::connect(running.addr).await;
    deaf.send("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    deaf.0.readable().await.unwrap();
    wait_for_a_place(&running).await;
    assert!(deaf.rest().await.len() < LARGE_LEN);
    running.stop().await;
}

/// Waits until a connection is taken, by a listener that had no place for one.
async fn wait_for_a_place(running: &Running) {
    let taken = async {
        loop {
            let mut client = Client::connect(running.addr).await;
            client.send("GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
            if client.rest().await.starts_with("HTTP/1.1 200 ") {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENT, taken).await.expect("the place was not given back");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let site = Site::open().await;
    let running = Running::start(ListenerConfig { connections_max: 1, ..config() }, served(&site));
    let mut first = Client::connect(running.addr).await;
    first.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    first.answer().await;
    let second = Client::connect(running.addr).await.rest().await;
    assert!(second.starts_with("HTTP/1.1 503 ") && second.contains("retry-after: 1"), "{second}");
    drop(first);
    wait_for_a_place(&running).await;
    running.stop().await;
}

/// Its request has come before it is looked at, as on a server that is late; a reset could cost it the answer.
#[tokio::test]
async fn one_connection_too_many_that_has_asked_is_told_so_and_not_reset() {
    let site = Site::open().await;
    let full = ListenerConfig { connections_max: 0, ..config() };
    let listener = Listener::bind(ANYWHERE.parse().unwrap(), full).unwrap();
    let mut client = Client::connect(listener.addr()).await;
    client.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let running = Running::of(listener, served(&site));
    let mut told = String::new();
    let read = client.0.read_to_string(&mut told);
    tokio::time::timeout(PATIENT, read).await.unwrap().expect("the connection was reset");
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("retry-after: 1"), "{told}");
    running.stop().await;
}

#[tokio::test]
async fn at_shutdown_what_is_under_way_finishes_and_nothing_more_is_taken() {
    let site = Site::open().await;
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, wait) = (entered.clone(), go_on.clone());
    let work = async move || {
        told.notify_one();
        wait.notified().await;
        "done"
    };
    let general = Router::new().route("/work", get(work));
    let running = Running::start(config(), Served { general, ..served(&site) });
    let addr = running.addr;
    let idle = Client::connect(addr).await;
    let mut busy = Client::connect(addr).await;
    busy.send("GET /work HTTP/1.1\r\nhost: x\r\n\r\n").await;
    entered.notified().await;

    running.stop.send(()).unwrap();
    assert_eq!(idle.rest().await, "", "an idle connection is closed at once");
    let refused = async { while TcpStream::connect(addr).await.is_ok() {} };
    tokio::time::timeout(PATIENT, refused).await.expect("connections are still taken");
    go_on.notify_one();
    let (head, body) = busy.answer().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(body, "done");
    tokio::time::timeout(PATIENT, running.end).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn whoever_asked_before_the_shutdown_is_answered_by_a_thread_that_was_busy() {
    let site = Site::open().await;
    for buy_route in [served(&site).buy, None] {
        let (entered, free) = (Arc::new(Notify::new()), Arc::new(std::sync::Barrier::new(2)));
        let (told, held) = (entered.clone(), free.clone());
        let sockets: SocketService = Arc::new(move |_| {
            told.notify_one();
            held.wait();
            async { Response::default() }.boxed()
        });
        let site = Served { buy: buy_route, sockets: Some(sockets), ..served(&site) };
        let running = Running::start(ListenerConfig { threads: NonZeroUsize::MIN, ..config() }, site);
        let mut known = Client::connect(running.addr).await;
        known.send(&buy("1", "none", "{}")).await;
        known.answer().await;
        let mut holding = Client::connect(running.addr).await;
        holding.send("GET /socket.io/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
        entered.notified().await;
        // More than tokio lets a task take at once.
        let new = futures_util::future::join_all((0..200).map(|_| Client::connect(running.addr)));
        let mut new = new.await;
        for client in std::iter::once(&mut known).chain(&mut new) {
            client.send(&buy("1", "none", "{}")).await;
        }
        running.stop.send(()).unwrap();
        // The listener, a task of this thread, hears of it.
        tokio::task::yield_now().await;
        free.wait();
        for client in [&mut known, &mut holding].into_iter().chain(&mut new) {
            client.answer().await;
        }
        tokio::time::timeout(PATIENT, running.end).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_takes_too_long_at_shutdown_is_cut() {
    let site = Site::open().await;
    let general = Router::new().route("/work", get(std::future::pending::<&'static str>));
    let brisk = ListenerConfig { drain_timeout: Duration::from_millis(20), ..config() };
    let running = Running::start(brisk, Served { general, ..served(&site) });
    let mut client = Client::connect(running.addr).await;
    client.send("GET /work HTTP/1.1\r\nhost: x\r\n\r\n").await;
    running.stop().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_names_it() {
    let first = Listener::bind(ANYWHERE.parse().unwrap(), config()).unwrap();
    let taken = Listener::bind(first.addr(), config()).unwrap_err();
    assert_eq!(taken.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(taken.to_string().starts_with(&format!("cannot listen on {}", first.addr())), "{taken}");
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
