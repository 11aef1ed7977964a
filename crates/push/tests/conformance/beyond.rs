//! What the official suites do not ask, of the same server.

use tungstenite::Message;

use crate::client::{Site, wait_until};

#[test]
fn a_page_of_any_origin_may_read_the_answers() {
    let site = Site::start();
    let answer =
        site.begin("GET", "/engine.io/?EIO=4&transport=polling", "origin: http://a.test\r\n", "").finish();
    assert!(answer.head.contains("access-control-allow-origin: *"), "{}", answer.head);
    let preflight =
        site.begin("OPTIONS", "/engine.io/", "access-control-request-headers: x-a\r\n", "").finish();
    assert_eq!(preflight.status, 204);
    assert!(preflight.head.contains("access-control-allow-headers: x-a"), "{}", preflight.head);
}

#[test]
fn a_refusal_says_why_as_the_reference_does() {
    let site = Site::start();
    for (target, expected) in [
        ("/engine.io/?EIO=4", r#"{"code":0,"message":"Transport unknown"}"#),
        ("/engine.io/?EIO=4&transport=polling&sid=x", r#"{"code":1,"message":"Session ID unknown"}"#),
        ("/engine.io/?EIO=4&transport=websocket", r#"{"code":3,"message":"Bad request"}"#),
        ("/engine.io/?EIO=3&transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
    ] {
        assert_eq!(site.get(target).body, expected, "{target}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused_and_ends_the_session() {
    let site = Site::start();
    let target = site.open_polling("/engine.io/");
    assert_eq!(site.post(&target, &format!("4{}", "x".repeat(1_000_000))).status, 413);
    wait_until("the session's end", || site.sessions.counts().connections == 0);
}

#[test]
fn a_message_beyond_the_limit_closes_the_connection() {
    let mut socket = Site::start().open_websocket("/engine.io/");
    socket.expect_close_by(&vec![0; 1_000_001]);
}

#[test]
fn a_message_of_many_reads_comes_back_whole() {
    let mut socket = Site::start().open_websocket("/engine.io/");
    let message = Message::binary((0..900_000_u32).map(|index| index.to_le_bytes()[0]).collect::<Vec<_>>());
    socket.0.send(message.clone()).unwrap();
    assert!(socket.message_but_pings() == message, "it is not the same");
}

#[test]
fn what_waited_for_a_poll_comes_by_the_websocket_after_the_move() {
    let site = Site::start();
    let target = site.open_polling("/engine.io/");
    assert_eq!(site.post(&target, "4first\x1ebAQI=").status, 200);
    let mut socket = site.websocket(&target.replace("=polling", "=websocket"));
    socket.send("2probe");
    socket.send("5");
    assert_eq!(socket.text(), "3probe");
    assert_eq!(socket.text(), "4first");
    assert_eq!(socket.message(), Message::binary(vec![1, 2]));
}

#[test]
fn a_probe_that_goes_away_leaves_the_session_as_it_was() {
    let site = Site::start();
    let target = site.open_polling("/engine.io/");
    let mut probe = site.websocket(&target.replace("=polling", "=websocket"));
    probe.send("2probe");
    assert_eq!(probe.text(), "3probe");
    drop(probe);
    assert_eq!(site.post(&target, "4still here").status, 200);
    assert_eq!(site.get(&target).body, "4still here");
}

#[test]
fn a_second_join_of_a_namespace_closes_the_connection() {
    let mut socket = Site::start().join();
    socket.send("40");
    socket.expect_close();
}

#[test]
fn an_event_before_joining_closes_the_connection() {
    let mut socket = Site::start().open_websocket("/socket.io/");
    socket.send(r#"42["message"]"#);
    socket.expect_close();
}

#[test]
fn a_packet_between_another_and_its_attachments_closes_the_connection() {
    let mut socket = Site::start().join();
    socket.send(r#"451-["message",{"_placeholder":true,"num":0}]"#);
    socket.send(r#"42["message"]"#);
    socket.expect_close();
}

#[test]
fn an_attachment_that_nobody_announced_closes_the_connection() {
    let mut socket = Site::start().join();
    socket.send_binary(&[1]);
    socket.expect_close();
}

#[test]
fn a_placeholder_without_its_attachment_closes_the_connection() {
    let mut socket = Site::start().join();
    socket.send(r#"451-["message",{"_placeholder":true,"num":1}]"#);
    socket.send_binary(&[1]);
    socket.expect_close();
}
