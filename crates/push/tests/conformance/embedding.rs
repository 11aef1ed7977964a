//! What an embedder may rely on: addressing, order, limits, isolation, and the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use miaosha_push::{
    Admission, Application, ClientEvent, Config, ConnectRequest, DisconnectReason, Memory, Random, Server,
    SocketId,
};
use tungstenite::Message;

use crate::client::{DEADLINE, Site, Socket, wait_until};

/// What the application was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Connecting(SocketId),
    Left(SocketId, Option<u64>, DisconnectReason),
}

/// Accepts `{"tag":N}` under its tag, and lets the test answer for `{"later":true}`.
struct Recorder {
    told: Mutex<Sender<Told>>,
}

impl Application for Recorder {
    fn connect(&self, _server: &Server, request: &ConnectRequest<'_>) -> Admission {
        self.tell(Told::Connecting(request.socket));
        let auth = request.auth.map_or("", |auth| auth.get());
        if auth.contains("later") {
            return Admission::Later;
        }
        let tag = auth.strip_prefix(r#"{"tag":"#).and_then(|rest| rest.strip_suffix('}'));
        Admission::Accept { tag: tag.map(|tag| tag.parse().unwrap()) }
    }

    fn event(&self, server: &Server, event: &ClientEvent<'_>) {
        match event.name {
            "panic" => panic!("as the test asked"),
            "join" => server.join(event.socket, "room"),
            name => server.emit(event.socket, name, &[]),
        }
        if let Some(ack) = event.ack {
            server.acknowledge(ack, &[]);
        }
    }

    fn disconnected(&self, _server: &Server, socket: SocketId, tag: Option<u64>, reason: DisconnectReason) {
        self.tell(Told::Left(socket, tag, reason));
    }
}

impl Recorder {
    fn tell(&self, told: Told) {
        // The test may have ended before the server.
        let _unheard = self.told.lock().unwrap().send(told);
    }
}

fn start(config: Config) -> (Site, Receiver<Told>) {
    let (told, heard) = channel();
    let server = Server::start(config, Arc::new(Recorder { told: Mutex::new(told) })).unwrap();
    (Site::of(server.clone(), server), heard)
}

/// Joins the main namespace with an auth payload, and the room.
fn joined(site: &Site, auth: &str) -> Socket {
    let mut socket = site.open_websocket("/socket.io/");
    socket.send(&format!("40{auth}"));
    assert!(socket.text().starts_with("40"));
    socket.send(r#"421["join"]"#);
    assert_eq!(socket.text(), "431[]");
    socket
}

fn next(heard: &Receiver<Told>) -> Told {
    heard.recv_timeout(DEADLINE).unwrap()
}

#[test]
fn a_tag_reaches_all_sockets_of_its_number_on_all_threads() {
    let (site, _heard) = start(Config { reactors: 3, ..Config::default() });
    let mut sockets: Vec<Socket> = (0..6).map(|_| joined(&site, r#"{"tag":7}"#)).collect();
    let mut other = joined(&site, r#"{"tag":8}"#);
    site.sockets.tag("/", 7).emit("claim", &["1"]);
    site.sockets.everyone("/").emit("end", &[]);
    for socket in &mut sockets {
        assert_eq!((socket.text().as_str(), socket.text().as_str()), (r#"42["claim",1]"#, r#"42["end"]"#));
    }
    assert_eq!(other.text(), r#"42["end"]"#);
}

#[test]
fn a_batch_gives_each_tag_its_own_argument() {
    let (site, _heard) = start(Config { reactors: 2, ..Config::default() });
    let mut sockets: Vec<Socket> = (0..8).map(|tag| joined(&site, &format!(r#"{{"tag":{tag}}}"#))).collect();
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    site.sockets.emit_many("/", "claim", (0..1000).collect(), move |tag| {
        counter.fetch_add(1, Relaxed);
        format!("[{tag}]")
    });
    for (tag, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(socket.text(), format!(r#"42["claim",[{tag}]]"#));
    }
    assert_eq!(made.load(Relaxed), sockets.len(), "nothing is made for who is not here");
}

#[test]
fn many_tags_are_told_the_same_and_nobody_else_is() {
    let (site, _heard) = start(Config { reactors: 2, ..Config::default() });
    let mut sockets: Vec<Socket> = (0..8).map(|tag| joined(&site, &format!(r#"{{"tag":{tag}}}"#))).collect();
    site.sockets.tags("/", [0, 1, 2, 3, 99]).emit("claim", &["1"]);
    site.sockets.everyone("/").emit("end", &[]);
    for socket in &mut sockets[..4] {
        assert_eq!(socket.text(), r#"42["claim",1]"#);
    }
    for socket in &mut sockets {
        assert_eq!(socket.text(), r#"42["end"]"#);
    }
}

#[test]
fn whoever_answered_in_time_stays_though_the_thread_was_held_up_and_had_not_read_it() {
    /// More than a thread reads in one turn.
    const SOCKETS: u64 = 1_200;
    const PING_TIMEOUT: Duration = Duration::from_secs(8);
    let config = Config {
        reactors: 1,
        ping_interval: Duration::from_secs(2),
        ping_timeout: PING_TIMEOUT,
        ..Config::default()
    };
    let (site, _heard) = start(config);
    let mut sockets: Vec<Socket> =
        (0..SOCKETS).map(|tag| joined(&site, &format!(r#"{{"tag":{tag}}}"#))).collect();
    for socket in &mut sockets {
        assert_eq!(socket.text(), "2");
    }
    let all_are_pinged = Instant::now();
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    site.sockets.emit_many("/", "held", vec![0], move |_| {
        let _released = held.lock().unwrap().recv();
        "1".to_owned()
    });
    for socket in &mut sockets {
        socket.send("3");
    }
    std::thread::sleep((all_are_pinged + PING_TIMEOUT).saturating_duration_since(Instant::now()));
    drop(release);
    site.sockets.everyone("/").emit("end", &[]);
    assert_eq!(sockets[0].message_but_pings(), Message::text(r#"42["held",1]"#));
    for socket in &mut sockets {
        assert_eq!(socket.message_but_pings(), Message::text(r#"42["end"]"#));
    }
}

#[test]
fn an_argument_that_panics_ends_the_connections_it_was_for() {
    let (site, _heard) = start(Config::default());
    let mut unlucky = [joined(&site, r#"{"tag":7}"#), joined(&site, r#"{"tag":7}"#)];
    let mut other = joined(&site, r#"{"tag":8}"#);
    site.sockets.emit_many("/", "claim", vec![7, 8], |place| {
        if place == 0 { panic!("as the test asked") } else { "1".to_owned() }
    });
    assert_eq!(other.text(), r#"42["claim",1]"#);
    for socket in &mut unlucky {
        socket.expect_close();
    }
}

#[test]
fn one_caller_is_heard_in_its_order_whatever_the_address() {
    let (site, heard) = start(Config::default());
    let mut socket = joined(&site, r#"{"tag":7}"#);
    let Told::Connecting(id) = next(&heard) else { panic!("it has connected") };
    let server = &site.sockets;
    for number in 0..50 {
        let number = number.to_string();
        server.emit(id, "a", &[&number]);
        server.room("/", "room").emit("b", &[&number]);
        server.tag("/", 7).emit("c", &[&number]);
        server.emit_many("/", "d", vec![7], move |_| number.clone());
    }
    for number in 0..50 {
        for name in ["a", "b", "c", "d"] {
            assert_eq!(socket.text(), format!(r#"42["{name}",{number}]"#));
        }
    }
}

#[test]
fn a_long_polling_client_gets_the_same_as_a_websocket() {
    let (site, _heard) = start(Config::default());
    let target = site.open_polling("/socket.io/");
    assert_eq!(site.post(&target, r#"40{"tag":7}"#).status, 200);
    assert!(site.get(&target).body.starts_with("40{"));
    site.sockets.tag("/", 7).emit_binary(
        "e",
        &[r#"{"_placeholder":true,"num":0}"#],
        &[b"\x01\x02".as_slice().into()],
    );
    assert_eq!(site.get(&target).body, "451-[\"e\",{\"_placeholder\":true,\"num\":0}]\x1ebAQI=");
}

#[test]
fn an_answer_may_come_later_and_from_elsewhere() {
    let (site, heard) = start(Config::default());
    let mut accepted = site.open_websocket("/socket.io/");
    accepted.send(r#"40{"later":true}"#);
    let Told::Connecting(id) = next(&heard) else { panic!("it connects") };
    site.sockets.emit(id, "too early", &[]);
    site.sockets.accept(id, Some(5));
    site.sockets.tag("/", 5).emit("in time", &[]);
    assert!(accepted.text().starts_with("40{"));
    assert_eq!(accepted.text(), r#"42["in time"]"#);

    let mut refused = site.open_websocket("/socket.io/");
    refused.send(r#"40{"later":true}"#);
    let Told::Connecting(id) = next(&heard) else { panic!("it connects") };
    site.sockets.refuse(id, r#"{"message":"no"}"#);
    site.sockets.accept(id, None);
    assert_eq!(refused.text(), r#"44{"message":"no"}"#);
}

#[test]
fn an_answer_that_does_not_come_closes_the_connection() {
    let (site, _heard) = start(Config { connect_timeout: Duration::from_millis(50), ..Config::default() });
    let mut socket = site.open_websocket("/socket.io/");
    socket.send(r#"40{"later":true}"#);
    socket.expect_close();
}

#[test]
fn the_end_of_a_socket_is_told_once_with_its_tag_and_reason() {
    let (site, heard) = start(Config::default());
    for end in ["leave", "drop", "malformed"] {
        let mut socket = joined(&site, r#"{"tag":7}"#);
        let Told::Connecting(id) = next(&heard) else { panic!("it connects") };
        let reason = match end {
            "leave" => {
                socket.send("41");
                DisconnectReason::ClientLeft
            }
            "drop" => {
                drop(socket);
                DisconnectReason::TransportClosed
            }
            _ => {
                socket.send("42{}");
                DisconnectReason::Malformed
            }
        };
        assert_eq!(next(&heard), Told::Left(id, Some(7), reason), "{end}");
    }
    wait_until("the last socket's end", || site.sockets.counts().sockets == 0);
    site.sockets.shut_down();
    assert_eq!(heard.try_recv().ok(), None);
}

#[test]
fn a_panic_of_the_application_ends_one_connection_only() {
    let (site, heard) = start(Config::default());
    let mut unlucky = joined(&site, "");
    let mut other = joined(&site, "");
    unlucky.send(r#"42["panic"]"#);
    unlucky.expect_close();
    let left =
        std::iter::from_fn(|| heard.recv_timeout(DEADLINE).ok()).find(|told| matches!(told, Told::Left(..)));
    assert!(matches!(left, Some(Told::Left(_, None, DisconnectReason::ApplicationPanic))), "{left:?}");
    other.send(r#"42["still here"]"#);
    assert_eq!(other.text(), r#"42["still here"]"#);
}

#[test]
fn more_connections_than_the_limit_are_refused_until_one_goes() {
    let (site, _heard) = start(Config { max_connections: 2, ..Config::default() });
    let first = joined(&site, "");
    let _second = joined(&site, "");
    let target = "/socket.io/?EIO=4&transport=websocket";
    assert_eq!(site.try_websocket(target).err(), Some(503));
    assert_eq!(site.get("/socket.io/?EIO=4&transport=polling").status, 503);
    assert_eq!(site.sockets.counts().refused_full, 2);
    drop(first);
    wait_until("the end of the first", || site.sockets.counts().connections == 1);
    joined(&site, "");
}

#[test]
fn more_connects_than_the_rate_are_refused() {
    let (site, _heard) = start(Config { max_connects_per_second: 0, ..Config::default() });
    let answer = site.get("/socket.io/?EIO=4&transport=polling");
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    let counts = site.sockets.counts();
    assert_eq!((counts.refused_rate, counts.connections), (1, 0));
}

/// A memory that has room for as long as the test says so.
#[derive(Default)]
struct Roomy(AtomicBool);

impl Memory for Roomy {
    fn has_room(&self) -> bool {
        self.0.load(Relaxed)
    }
}

#[test]
fn whoever_sends_too_many_messages_within_a_second_is_closed_by_either_transport() {
    const MANY: usize = 100;
    let (site, heard) = start(Config { client_messages_per_second_max: 20, ..Config::default() });
    let mut other = joined(&site, r#"{"tag":1}"#);
    let mut eager = joined(&site, r#"{"tag":2}"#);
    for _ in 0..MANY {
        // The server may have closed by then.
        if eager.try_send(r#"42["hello"]"#).is_err() {
            break;
        }
    }
    eager.expect_close();
    let target = site.open_polling("/socket.io/");
    let messages = vec!["3"; MANY].join("\x1e");
    assert_eq!(site.post(&target, &messages).status, 400);
    other.send(r#"42["hello"]"#);
    assert_eq!(other.text(), r#"42["hello"]"#);
    let left = heard.iter().find(|told| matches!(told, Told::Left(_, Some(2), _)));
    assert!(matches!(left, Some(Told::Left(_, _, DisconnectReason::Malformed))));
    assert_eq!(site.sockets.counts().malformed_closed, 2);
}

#[test]
fn without_memory_newcomers_are_refused_and_nobody_is_lost() {
    let memory = Arc::new(Roomy(true.into()));
    let (site, _heard) = start(Config { memory: Arc::clone(&memory) as _, ..Config::default() });
    let mut first = joined(&site, "");
    memory.0.store(false, Relaxed);
    let target = "/socket.io/?EIO=4&transport=polling";
    wait_until("a refusal", || site.get(target).status == 503);
    assert_eq!(site.try_websocket(&target.replace("polling", "websocket")).err(), Some(503));
    assert!(site.sockets.counts().refused_memory >= 2);
    first.send(r#"421["join"]"#);
    assert_eq!(first.text(), "431[]");
    memory.0.store(true, Relaxed);
    wait_until("room", || site.get(target).status == 200);
}

#[test]
fn a_reader_that_is_too_slow_is_dropped_and_the_others_hear_all() {
    let (site, _heard) = start(Config { outbox_bytes_max: 100_000, ..Config::default() });
    let _slow = joined(&site, "");
    let mut quick = joined(&site, "");
    let text = format!("\"{}\"", "x".repeat(50_000));
    let mut heard = 0;
    // What the kernel buffers is not known, so broadcasts go on until it is full. The quick one reads along.
    while site.sockets.counts().slow_readers_dropped == 0 {
        site.sockets.room("/", "room").emit("news", &[&text]);
        assert_eq!(quick.text().len(), text.len() + r#"42["news",]"#.len());
        heard += 1;
        assert!(heard < 2000, "100 MB have been taken by nobody");
    }
    wait_until("the end of the slow one", || site.sockets.counts().connections == 1);
}

#[test]
fn without_memory_less_may_wait_for_who_does_not_read() {
    let memory = Arc::new(Roomy(true.into()));
    // More than this test sends: only for want of memory is anybody dropped.
    let outbox_bytes_max = 64_000_000;
    let (site, _heard) =
        start(Config { outbox_bytes_max, memory: Arc::clone(&memory) as _, ..Config::default() });
    let _slow = joined(&site, "");
    let mut quick = joined(&site, "");
    let text = format!("\"{}\"", "x".repeat(50_000));
    let mut tell = || {
        site.sockets.room("/", "room").emit("news", &[&text]);
        assert_eq!(quick.text().len(), text.len() + r#"42["news",]"#.len());
    };
    // What the kernel buffers, and well above a sixty-fourth of what may wait.
    (0..400).for_each(|_| tell());
    assert_eq!(site.sockets.counts().slow_readers_dropped, 0);
    memory.0.store(false, Relaxed);
    let mut told = 0;
    while site.sockets.counts().slow_readers_dropped == 0 {
        tell();
        told += 1;
        assert!(told < 400, "nobody was dropped");
    }
    wait_until("the end of the slow one", || site.sockets.counts().connections == 1);
}

/// Gives every session the same secret, so that only the node tells them apart.
struct Always(u8);

impl Random for Always {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

#[test]
fn a_session_is_named_after_its_node_and_unknown_on_any_other() {
    let of_node = |node| start(Config { node, random: Arc::new(Always(9)), ..Config::default() }).0;
    let (seventh, eighth) = (of_node(7), of_node(8));
    let here = seventh.open_polling("/socket.io/");
    let _other = eighth.open_polling("/socket.io/");
    assert!(here.contains("&sid=7-"), "{here}");
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    for answer in [eighth.get(&here), eighth.post(&here, "40")] {
        assert_eq!((answer.status, answer.body.as_str()), (400, unknown));
    }
    assert_eq!(eighth.try_websocket(&here.replace("=polling", "=websocket")).err(), Some(400));
    let there = here.replace("sid=7-", "sid=8-");
    assert_eq!(eighth.post(&there, "40").status, 200, "the rest of the name is the same");
    assert_eq!(seventh.post(&here, "40").status, 200);
}

#[test]
fn draining_closes_all_and_refuses_new_ones() {
    let (site, heard) = start(Config::default());
    let mut sockets: Vec<Socket> = (0..5).map(|_| joined(&site, "")).collect();
    site.sockets.drain(Duration::from_millis(100));
    for socket in &mut sockets {
        socket.expect_close();
    }
    assert_eq!(site.get("/socket.io/?EIO=4&transport=polling").status, 503);
    wait_until("no connections", || site.sockets.counts().connections == 0);
    let left: Vec<Told> = heard.try_iter().filter(|told| matches!(told, Told::Left(..))).collect();
    assert!(
        left.iter().all(|told| matches!(told, Told::Left(_, _, DisconnectReason::GoingAway))),
        "{left:?}"
    );
    assert_eq!(left.len(), 5);
}

/// A generator that works as often as it says: the push threads call it for each new session.
struct Exhaustible(AtomicUsize);

impl Random for Exhaustible {
    fn fill(&self, bytes: &mut [u8]) {
        assert!(self.0.fetch_sub(1, Relaxed) > 0, "as the test asked");
        bytes.fill(7);
    }
}

#[test]
fn a_thread_that_panics_is_told_and_nobody_waits_for_it() {
    // Once for the process, and for one session.
    let random = Arc::new(Exhaustible(AtomicUsize::new(2)));
    let (site, _heard) = start(Config { random, ..Config::default() });
    let mut socket = joined(&site, "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let fallen = async |within| tokio::time::timeout(within, site.sockets.fallen()).await.is_ok();
    assert!(!runtime.block_on(fallen(Duration::ZERO)));
    assert_eq!(site.get("/socket.io/?EIO=4&transport=polling").status, 400, "it is answered, and comes back");
    assert!(runtime.block_on(fallen(DEADLINE)));
    socket.expect_close();
    assert_eq!(site.get("/socket.io/?EIO=4&transport=polling").status, 503);
    runtime.block_on(async { tokio::time::timeout(DEADLINE, site.sockets.drained()).await.unwrap() });
    site.sockets.shut_down();
}

#[test]
fn a_shut_down_server_answers_instead_of_hanging() {
    let (site, _heard) = start(Config::default());
    let target = site.open_polling("/socket.io/");
    let mut socket = joined(&site, "");
    let poll = site.begin("GET", &target, "", "");
    wait_until("both", || site.sockets.counts().connections == 2);
    site.sockets.shut_down();
    socket.expect_close();
    assert!(matches!(poll.finish().status, 200 | 400));
    assert_eq!(site.get(&target).status, 400);
    assert_eq!(site.get("/socket.io/?EIO=4&transport=polling").status, 503);
}
