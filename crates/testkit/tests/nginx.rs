//! The configuration in `deploy/nginx`, on a real Nginx before stand-ins for the processes of a fleet.
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

#[path = "nginx/stand_in.rs"]
mod stand_in;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use miaosha_testkit::services::{Fleet, Nginx, NginxOptions, Place, PushNode, Service as _, wait_until};

use stand_in::Manner::{Answers, HangsUp};
use stand_in::{
    Message, Nowhere, StandIn, call, call_from, call_with, keep_back, receive, receive_many, send, send_many,
};

const BUY: &str = "/api/v1/sales/1/requests";

/// Two publishers, two push nodes with the numbers 3 and 14, two general.
struct Site {
    publishers: [StandIn; 2],
    push: [StandIn; 2],
    general: [StandIn; 2],
}

impl Site {
    fn start() -> Self {
        Self {
            publishers: ["publisher a", "publisher b"].map(|name| StandIn::start(name, Answers)),
            push: ["push 3", "push 14"].map(|name| StandIn::start(name, Answers)),
            general: ["general a", "general b"].map(|name| StandIn::start(name, Answers)),
        }
    }

    fn fleet(&self) -> Fleet {
        let [three, fourteen] = self.push.each_ref().map(|stand_in| stand_in.address);
        Fleet {
            publishers: self.publishers.iter().map(|stand_in| stand_in.address).collect(),
            push: vec![PushNode { node: 3, address: three }, PushNode { node: 14, address: fourteen }],
            general: self.general.iter().map(|stand_in| stand_in.address).collect(),
        }
    }
}

fn start(fleet: &Fleet) -> Nginx {
    Nginx::start(fleet, NginxOptions::default()).unwrap()
}

fn start_limited(fleet: &Fleet) -> Nginx {
    Nginx::start(fleet, NginxOptions { is_limited: true, ..NginxOptions::default() }).unwrap()
}

/// The limits that refused something, by the names of their zones, as Nginx wrote it down before it answered.
fn limits_met(nginx: &Nginx) -> BTreeSet<String> {
    let log = nginx.error_log().unwrap();
    let zones = log.lines().filter_map(|line| line.split_once(" by zone \"")?.1.split_once('"'));
    zones.map(|(zone, _)| zone.to_owned()).collect()
}

fn assert_refused_by_a_limit(answer: &Message) {
    assert_eq!((answer.status(), answer.code().as_str()), (429, "too_many_requests"));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[test]
fn what_an_operator_is_given_is_valid_with_and_without_limits() {
    let deployed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nginx");
    for limits in [String::new(), format!("include {deployed}/limits.conf;")] {
        let directory = tempfile::tempdir().unwrap();
        let include = |file: &str| format!("include {deployed}/{file};\n");
        let (first, second) = (include("miaosha.conf"), include("upstreams.conf"));
        let server = format!(
            "server {{ listen unix:{}/socket; {} }}",
            directory.path().display(),
            include("routes.conf")
        );
        let http = format!("http {{ access_log off;\n{first}{second}{limits}\n{server} }}");
        let configuration = format!("pid pid;\nevents {{}}\n{http}\n");
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut check = Command::new("/usr/sbin/nginx");
        check.arg("-p").arg(directory.path()).arg("-e").arg("stderr").arg("-c").arg(file).arg("-t");
        let output = check.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_route_leads_to_its_role_in_turn() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    let both = |method: &str, path: &str| {
        let mut names = [(); 2].map(|()| call(nginx.address(), method, path, "").body);
        names.sort();
        names
    };
    assert_eq!(both("POST", BUY), ["publisher a", "publisher b"]);
    assert_eq!(both("GET", "/socket.io/?EIO=4&transport=polling"), ["push 14", "push 3"]);
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/sales"),
        ("GET", "/api/v1/sales/1"),
        ("GET", "/api/v1/sales/1/claim"),
        ("POST", "/api/v1/checkout"),
        ("GET", "/readyz"),
    ] {
        assert_eq!(both(method, path), ["general a", "general b"], "{method} {path}");
    }
    assert_eq!(call(nginx.address(), "GET", "/metrics", "").status(), 404);
}

#[test]
fn nginx_runs_on_the_core_that_it_is_bound_to() {
    let site = Site::start();
    let options = NginxOptions { place: Place::on(0), ..NginxOptions::default() };
    let nginx = Nginx::start(&site.fleet(), options).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", nginx.process_id().unwrap())).unwrap();
    assert!(status.lines().any(|line| line == "Cpus_allowed_list:\t0"), "{status}");
}

#[test]
fn a_push_session_stays_with_the_node_whose_number_its_name_begins_with() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    for _ in 0..5 {
        for (sid, node) in [("3-x1", "push 3"), ("14-3-x", "push 14")] {
            for (method, transport) in [("GET", "polling"), ("POST", "polling"), ("GET", "websocket")] {
                let path = format!("/socket.io/?EIO=4&transport={transport}&sid={sid}");
                assert_eq!(call(nginx.address(), method, &path, "").body, node, "{path}");
            }
        }
    }
    for sid in ["9-of-a-node-that-left", "nonsense", "", "33-x", "-3"] {
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        assert!(
            call(nginx.address(), "GET", &path, "").body.starts_with("push "),
            "somebody says that it is unknown"
        );
    }
}

#[test]
fn a_dead_push_node_fails_its_own_sessions_at_once_and_no_new_ones() {
    let site = Site::start();
    let (mut fleet, gone) = (site.fleet(), Nowhere::new());
    fleet.push[0].address = gone.address;
    let nginx = start(&fleet);
    let began = Instant::now();
    assert_eq!(
        call(nginx.address(), "GET", "/socket.io/?EIO=4&transport=polling&sid=3-x", "").code(),
        "unavailable"
    );
    assert!(began.elapsed() < Duration::from_secs(1));
    for _ in 0..20 {
        assert_eq!(call(nginx.address(), "GET", "/socket.io/?EIO=4&transport=polling", "").body, "push 14");
    }
}

#[test]
fn a_web_socket_is_upgraded_and_carries_bytes_both_ways() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    let mut socket =
        send(nginx.address(), "GET", "/socket.io/?EIO=4&transport=websocket&sid=14-x", upgrade, "");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    socket.write_all(b"ping").unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"ping");

    let tunnel =
        call_with(nginx.address(), "GET", "/socket.io/", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "");
    assert_eq!(tunnel.status(), 200, "another protocol is not upgraded");
}

#[test]
fn a_buy_request_survives_a_publisher_that_is_gone_or_dies_over_it() {
    let site = Site::start();
    let (gone, dying) = (Nowhere::new(), StandIn::start("dying", HangsUp));
    for broken in [gone.address, dying.address] {
        let mut fleet = site.fleet();
        fleet.publishers[0] = broken;
        let nginx = start(&fleet);
        for _ in 0..20 {
            let answer = call(nginx.address(), "POST", BUY, r#"{"answer":"Sony"}"#);
            assert_eq!((answer.status(), answer.body.as_str()), (200, "publisher b"));
        }
    }
    assert!(!dying.requests().is_empty(), "it was tried");
    assert!(site.publishers[1].requests().iter().all(|request| request.body == r#"{"answer":"Sony"}"#));
}

#[test]
fn no_other_write_is_sent_twice() {
    let dying = [(); 2].map(|()| StandIn::start("dying", HangsUp));
    let mut fleet = Site::start().fleet();
    fleet.general = dying.iter().map(|stand_in| stand_in.address).collect();
    let nginx = start(&fleet);

    assert_eq!(call(nginx.address(), "POST", "/api/v1/checkout", "{}").code(), "unavailable");
    let received = || dying.iter().map(|stand_in| stand_in.requests().len()).sum::<usize>();
    assert_eq!(received(), 1);

    call(nginx.address(), "GET", "/api/v1/sales", "");
    assert_eq!(received(), 3, "a read is tried once more");
}

#[test]
fn a_write_that_was_not_sent_goes_to_the_process_that_lives() {
    let site = Site::start();
    let (mut fleet, gone) = (site.fleet(), Nowhere::new());
    fleet.general[0] = gone.address;
    let nginx = start(&fleet);
    for _ in 0..10 {
        assert_eq!(call(nginx.address(), "POST", "/api/v1/checkout", "{}").body, "general b");
    }
}

#[test]
fn without_a_publisher_buying_answers_503_at_once_and_everything_else_goes_on() {
    let (mut fleet, gone) = (Site::start().fleet(), [Nowhere::new(), Nowhere::new()]);
    fleet.publishers = gone.iter().map(|nowhere| nowhere.address).collect();
    let nginx = start(&fleet);
    for _ in 0..5 {
        let began = Instant::now();
        let answer = call(nginx.address(), "POST", BUY, "{}");
        assert_eq!((answer.status(), answer.code().as_str()), (503, "unavailable"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(began.elapsed() < Duration::from_secs(1));
    }
    assert_eq!(call(nginx.address(), "GET", "/api/v1/sales", "").status(), 200);
}

#[test]
fn a_process_that_comes_back_is_used_again() {
    let site = Site::start();
    let (mut fleet, late) = (site.fleet(), Nowhere::new());
    fleet.publishers = vec![late.address];
    let nginx = start(&fleet);
    for _ in 0..5 {
        assert_eq!(call(nginx.address(), "POST", BUY, "{}").status(), 503);
    }
    let _back = late.come_alive("back", Answers);
    wait_until(
        "the publisher is used again",
        || Ok(call(nginx.address(), "POST", BUY, "{}").status() == 200),
    )
    .unwrap();
}

#[test]
fn the_processes_learn_the_address_that_nginx_saw_not_the_one_that_was_claimed() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    let claimed = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n";
    for (path, stand_ins) in
        [(BUY, &site.publishers), ("/api/v1/sales", &site.general), ("/socket.io/?sid=3-x", &site.push)]
    {
        call_with(nginx.address(), "GET", path, claimed, "");
        let request = stand_ins.iter().find_map(|stand_in| stand_in.requests().pop()).unwrap();
        for (header, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("host", "shop.example"),
        ] {
            assert_eq!(request.header(header), Some(value), "{path} {header}");
        }
    }
}

#[test]
fn a_buy_request_above_4_kib_is_refused_before_it_reaches_a_publisher() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    assert_eq!(call(nginx.address(), "POST", BUY, &"x".repeat(4_096)).status(), 200);
    let refused = call(nginx.address(), "POST", BUY, &"x".repeat(4_097));
    assert_eq!((refused.status(), refused.code().as_str()), (413, "body_too_large"));
    assert_eq!(call(nginx.address(), "POST", "/api/v1/users", &"x".repeat(1 << 20)).status(), 200);
}

#[test]
fn connections_to_the_processes_are_kept() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    for _ in 0..20 {
        call(nginx.address(), "POST", BUY, "{}");
        call(nginx.address(), "GET", "/socket.io/?EIO=4&transport=polling", "");
        call(nginx.address(), "GET", "/api/v1/sales", "");
    }
    for role in [&site.publishers, &site.push, &site.general] {
        assert_eq!(role.each_ref().map(StandIn::connections), [1, 1]);
    }
}

#[test]
fn limits_are_off_unless_included_and_then_answer_429_per_address() {
    let site = Site::start();
    let flood = |nginx: &Nginx| -> Vec<Message> {
        (0..300).map(|_| call(nginx.address(), "POST", BUY, "{}")).collect()
    };
    assert!(flood(&start(&site.fleet())).iter().all(|answer| answer.status() == 200));

    let limited = start_limited(&site.fleet());
    let answers = flood(&limited);
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status() == 200);
    assert!(taken.len() > 100, "the burst passes: {}", taken.len());
    assert!(!refused.is_empty());
    refused.into_iter().for_each(assert_refused_by_a_limit);
    assert_eq!(
        call(limited.address(), "GET", "/api/v1/sales", "").status(),
        200,
        "what is not buying has its own limit"
    );
    for _ in 0..50 {
        let elsewhere = call_from([127, 0, 0, 2].into(), limited.address(), "POST", BUY);
        assert_eq!(elsewhere.status(), 200, "another address has its own, too");
    }
    assert_eq!(limits_met(&limited), BTreeSet::from(["buys_by_address".to_owned()]));
}

#[test]
fn an_address_that_asks_too_often_is_refused_whatever_it_asks_for() {
    const CONNECTIONS: usize = 4;
    const REQUESTS_ON_EACH: usize = 500;
    let site = Site::start();
    let limited = start_limited(&site.fleet());
    // All are sent before an answer is read, so that Nginx takes them as fast as it can: far more than 100 a second.
    let connections =
        [(); CONNECTIONS].map(|()| send_many(limited.address(), "/api/v1/sales", REQUESTS_ON_EACH));
    let answers: Vec<_> =
        connections.iter().flat_map(|connection| receive_many(connection, REQUESTS_ON_EACH)).collect();
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status() == 200);
    assert!(taken.len() > 400, "the burst passes: {}", taken.len());
    assert!(!refused.is_empty());
    refused.into_iter().for_each(assert_refused_by_a_limit);
    assert_eq!(call_from([127, 0, 0, 2].into(), limited.address(), "GET", "/api/v1/sales").status(), 200);
    assert_eq!(limits_met(&limited), BTreeSet::from(["requests_by_address".to_owned()]));
}

#[test]
fn an_address_with_400_requests_under_way_is_refused_another() {
    let site = Site::start();
    let limited = start_limited(&site.fleet());
    // Nginx counts a request before it says that it wants the body, and waits ten seconds for that. With one more, they
    // are just as many as the burst of the other limit lets through, however fast they come.
    let under_way: Vec<_> = (0..400).map(|_| keep_back(limited.address(), "/api/v1/checkout")).collect();
    for connection in &under_way {
        assert_eq!(receive(connection).status(), 100);
    }
    assert_refused_by_a_limit(&call(limited.address(), "GET", "/api/v1/sales", ""));
    assert_eq!(call_from([127, 0, 0, 2].into(), limited.address(), "GET", "/api/v1/sales").status(), 200);
    assert_eq!(limits_met(&limited), BTreeSet::from(["connections_by_address".to_owned()]));
}

#[test]
fn a_killed_nginx_comes_back_on_its_port() {
    let site = Site::start();
    let nginx = start(&site.fleet());
    nginx.kill();
    assert!(std::net::TcpStream::connect(nginx.address()).is_err());
    nginx.start_again().unwrap();
    assert_eq!(call(nginx.address(), "GET", "/", "").status(), 200);
    nginx.stop();
    assert!(std::net::TcpStream::connect(nginx.address()).is_err());
}
