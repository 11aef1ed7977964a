//! The cases that the Engine.IO and the Socket.IO suite have in common. Each takes the path of the server under test.

use serde_json::{Value, json};

use crate::client::{Site, wait_until};

/// The handshake of an open packet but its session's name, which must be a string.
fn handshake(open_packet: &str) -> Value {
    let mut handshake: Value = serde_json::from_str(open_packet.strip_prefix('0').unwrap()).unwrap();
    let sid = handshake.as_object_mut().unwrap().remove("sid");
    assert!(sid.is_some_and(|sid| sid.is_string()));
    handshake
}

pub(crate) fn polling_opens_a_session(path: &str) {
    let answer = Site::start().get(&format!("{path}?EIO=4&transport=polling"));
    assert_eq!(answer.status, 200);
    assert_eq!(
        handshake(&answer.body),
        json!({"upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000})
    );
}

pub(crate) fn polling_with_an_invalid_revision_fails(path: &str) {
    let site = Site::start();
    assert_eq!(site.get(&format!("{path}?transport=polling")).status, 400);
    assert_eq!(site.get(&format!("{path}?EIO=abc&transport=polling")).status, 400);
}

pub(crate) fn polling_with_an_invalid_transport_fails(path: &str) {
    let site = Site::start();
    assert_eq!(site.get(&format!("{path}?EIO=4")).status, 400);
    assert_eq!(site.get(&format!("{path}?EIO=4&transport=abc")).status, 400);
}

pub(crate) fn polling_with_an_invalid_method_fails(path: &str) {
    let site = Site::start();
    let target = format!("{path}?EIO=4&transport=polling");
    assert_eq!(site.post(&target, "").status, 400);
    assert_eq!(site.begin("PUT", &target, "", "").finish().status, 400);
}

pub(crate) fn a_websocket_opens_a_session(path: &str) {
    let mut socket = Site::start().websocket(&format!("{path}?EIO=4&transport=websocket"));
    assert_eq!(
        handshake(&socket.text()),
        json!({"upgrades": [], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000})
    );
}

pub(crate) fn a_websocket_with_an_invalid_revision_fails(path: &str) {
    let site = Site::start();
    for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
        assert_eq!(site.try_websocket(&format!("{path}?{query}")).err(), Some(400), "{query}");
    }
}

pub(crate) fn a_websocket_with_an_invalid_transport_fails(path: &str) {
    let site = Site::start();
    for query in ["EIO=4", "EIO=4&transport=abc"] {
        assert_eq!(site.try_websocket(&format!("{path}?{query}")).err(), Some(400), "{query}");
    }
}

pub(crate) fn polling_sends_pings_and_takes_pongs(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path);
    for _ in 0..3 {
        let answer = site.get(&target);
        assert_eq!((answer.status, answer.body.as_str()), (200, "2"));
        assert_eq!(site.post(&target, "3").status, 200);
    }
}

pub(crate) fn polling_without_a_pong_ends_the_session(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path);
    let server = if path == "/engine.io/" { &site.sessions } else { &site.sockets };
    wait_until("the session's end", || server.counts().ping_timeouts == 1);
    assert_eq!(site.get(&target).status, 400);
}

pub(crate) fn a_websocket_gets_pings_and_gives_pongs(path: &str) {
    let mut socket = Site::start().open_websocket(path);
    for _ in 0..3 {
        assert_eq!(socket.text(), "2");
        socket.send("3");
    }
}

pub(crate) fn a_websocket_without_a_pong_is_closed(path: &str) {
    let site = Site::start();
    site.open_websocket(path).expect_close();
    let server = if path == "/engine.io/" { &site.sessions } else { &site.sockets };
    wait_until("the count", || server.counts().ping_timeouts == 1);
}

pub(crate) fn polling_closes_a_session(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path);
    let poll = site.begin("GET", &target, "", "");
    assert_eq!(site.post(&target, "1").status, 200);
    let answer = poll.finish();
    assert_eq!((answer.status, answer.body.as_str()), (200, "6"));
    assert_eq!(site.get(&target).status, 400);
}

pub(crate) fn a_websocket_closes_a_session(path: &str) {
    let mut socket = Site::start().open_websocket(path);
    socket.send("1");
    socket.expect_close();
}

pub(crate) fn a_session_moves_from_polling_to_a_websocket(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path);
    let mut socket = site.websocket(&target.replace("=polling", "=websocket"));
    socket.send("2probe");
    assert_eq!(socket.text(), "3probe");
    let last_poll = site.get(&target);
    assert_eq!((last_poll.status, last_poll.body.as_str()), (200, "6"));
    socket.send("5");
    assert_eq!(socket.text(), "2", "the heart-beat goes on where it was");
}

pub(crate) fn requests_after_the_move_are_refused(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path);
    let mut socket = site.websocket(&target.replace("=polling", "=websocket"));
    socket.send("2probe");
    socket.send("5");
    assert_eq!(site.get(&target).status, 400);
    assert_eq!((socket.text().as_str(), socket.text().as_str()), ("3probe", "2"));
}

pub(crate) fn a_second_websocket_after_the_move_is_closed(path: &str) {
    let site = Site::start();
    let target = site.open_polling(path).replace("=polling", "=websocket");
    let mut socket = site.websocket(&target);
    socket.send("2probe");
    socket.send("5");
    site.websocket(&target).expect_close();
    assert_eq!((socket.text().as_str(), socket.text().as_str()), ("3probe", "2"));
}
