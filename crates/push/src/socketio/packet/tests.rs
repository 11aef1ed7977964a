use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::socketio::encode::{acknowledgement, event};
use crate::websocket::frame::server_frame_payload;

const ATTACHMENTS_MAX: usize = 10;

fn refusal(text: &str) -> Option<MalformedPacket> {
    Packet::parse(text, ATTACHMENTS_MAX).err()
}

#[test]
fn a_connect_packet_may_carry_an_object() {
    for (text, expected_namespace, expected_auth) in [
        ("0", "/", None),
        (r#"0{"token":"1"}"#, "/", Some(r#"{"token":"1"}"#)),
        ("0/custom", "/custom", None),
        ("0/custom,", "/custom", None),
        (r#"0/custom?a=b,{"x":{}}"#, "/custom", Some(r#"{"x":{}}"#)),
    ] {
        let Ok(Packet::Connect { namespace, auth }) = Packet::parse(text, ATTACHMENTS_MAX) else {
            panic!("{text} is a connect packet");
        };
        assert_eq!((namespace, auth.map(RawValue::get)), (expected_namespace, expected_auth), "{text}");
    }
}

#[test]
fn a_connect_packet_carries_nothing_but_an_object() {
    for text in ["0[]", "0\"a\"", "01", "0{", "0{}{}", "0null"] {
        assert_eq!(refusal(text), Some(MalformedPacket::Data), "{text}");
    }
}

#[test]
fn an_event_has_a_name_and_arguments_as_the_client_wrote_them() {
    let Ok(Packet::Event { namespace, ack_id, attachments, name, arguments }) =
        Packet::parse(r#"2/a,12["n\u0061me", 1.50 ,"2",{"3":[true]}]"#, ATTACHMENTS_MAX)
    else {
        panic!("an event");
    };
    assert_eq!((namespace, ack_id, attachments, name.as_ref()), ("/a", Some(12), 0, "name"));
    assert_eq!(
        arguments.iter().map(|argument| argument.get()).collect::<Vec<_>>(),
        ["1.50", "\"2\"", "{\"3\":[true]}"]
    );
}

#[test]
fn an_event_without_a_usable_name_is_malformed() {
    for text in
        ["2", "2[]", "2{}", "2[{}]", "2[null]", "2[\"disconnect\"]", "2[\"\\u0064isconnect\"]", "2[\"a\"]]"]
    {
        assert_eq!(refusal(text), Some(MalformedPacket::Data), "{text}");
    }
}

#[test]
fn an_acknowledgement_needs_its_id() {
    assert_eq!(refusal("3[1]"), Some(MalformedPacket::AckId));
    assert_eq!(refusal("39007199254740992[1]"), Some(MalformedPacket::AckId));
    assert!(matches!(
        Packet::parse("39007199254740991[1]", ATTACHMENTS_MAX),
        Ok(Packet::Ack { ack_id: ACK_ID_MAX, .. })
    ));
}

#[test]
fn attachments_are_announced_within_the_limit() {
    assert!(matches!(
        Packet::parse("510-[\"a\"]", ATTACHMENTS_MAX),
        Ok(Packet::Event { attachments: 10, .. })
    ));
    for text in ["511-[\"a\"]", "5[\"a\"]", "5-[\"a\"]", "5+1-[\"a\"]", "5999999999999-[\"a\"]", "6x-1[]"] {
        assert_eq!(refusal(text), Some(MalformedPacket::Attachments), "{text}");
    }
}

#[test]
fn a_disconnect_carries_nothing() {
    assert!(matches!(
        Packet::parse("1/custom,", ATTACHMENTS_MAX),
        Ok(Packet::Disconnect { namespace: "/custom" })
    ));
    assert_eq!(refusal("1{}"), Some(MalformedPacket::Data));
}

#[test]
fn types_that_no_client_sends_are_malformed() {
    for text in ["", "4{\"message\":\"x\"}", "7", "a", "é"] {
        assert_eq!(refusal(text), Some(MalformedPacket::Type), "{text}");
    }
}

#[test]
fn json_deeper_than_the_limit_is_malformed() {
    let nested = |depth: usize| format!("2[\"a\",{}{}]", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(refusal(&nested(NESTING_MAX - 1)), None);
    assert_eq!(refusal(&nested(NESTING_MAX)), Some(MalformedPacket::Data));
    assert_eq!(refusal(&format!("2[\"a\",\"\\\"{}\"]", "[".repeat(100))), None);
}

fn namespaces() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[a-z0-9/_-]{1,12}"]
}

fn json_arguments() -> impl Strategy<Value = Vec<String>> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just("null".to_owned()),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(",")))
    });
    prop::collection::vec(value, 0..4)
}

fn message_text(frame: &Bytes) -> String {
    String::from_utf8(server_frame_payload(frame).1[1..].to_vec()).unwrap()
}

proptest! {
    #[test]
    fn an_event_is_read_as_it_was_written(
        namespace in namespaces(),
        name in ".{0,12}".prop_filter("reserved", |name| !RESERVED_EVENTS.contains(&name.as_str())),
        arguments in json_arguments(),
        attachment_count in 0..3_usize,
        id in prop::option::of(0..=ACK_ID_MAX),
    ) {
        let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let frames = event(&namespace, &name, &borrowed, &vec![Bytes::new(); attachment_count], id);
        let text = message_text(frames.iter().next().unwrap());
        let Ok(Packet::Event { namespace: read_namespace, ack_id, attachments, name: read_name, arguments: read }) =
            Packet::parse(&text, ATTACHMENTS_MAX)
        else {
            return Err(TestCaseError::fail(format!("{text} is an event")));
        };
        prop_assert_eq!(read_namespace, namespace);
        prop_assert_eq!((ack_id, attachments, read_name.as_ref()), (id, attachment_count, name.as_str()));
        prop_assert_eq!(read.iter().map(|argument| argument.get()).collect::<Vec<_>>(), borrowed);
    }

    #[test]
    fn an_acknowledgement_is_read_as_it_was_written(
        namespace in namespaces(),
        arguments in json_arguments(),
        id in 0..=ACK_ID_MAX,
    ) {
        let borrowed: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let frames = acknowledgement(&namespace, id, &borrowed, &[]);
        let text = message_text(frames.iter().next().unwrap());
        let Ok(Packet::Ack { namespace: read_namespace, ack_id, arguments: read, .. }) =
            Packet::parse(&text, ATTACHMENTS_MAX)
        else {
            return Err(TestCaseError::fail(format!("{text} is an acknowledgement")));
        };
        prop_assert_eq!((read_namespace, ack_id), (namespace.as_str(), id));
        prop_assert_eq!(read.iter().map(|argument| argument.get()).collect::<Vec<_>>(), borrowed);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-6]?[0-9]{0,3}-?(/[a-z,?]{0,4})?[0-9]{0,2}.{0,40}") {
        let _refused_or_not = Packet::parse(&text, ATTACHMENTS_MAX);
    }
}
