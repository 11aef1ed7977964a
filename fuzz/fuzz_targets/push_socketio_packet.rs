//! Socket.IO packets: what is read as an event or an acknowledgement stays the same when written and read again.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use miaosha_push::socketio::attachments::are_placeholders_valid;
use miaosha_push::socketio::encode::{Frames, acknowledgement, event};
use miaosha_push::socketio::packet::Packet;
use miaosha_push::websocket::frame::server_frame_payload;
use serde_json::value::RawValue;

const ATTACHMENTS_MAX: usize = 10;

fuzz_target!(|text: &str| {
    let Ok(packet) = Packet::parse(text, ATTACHMENTS_MAX) else {
        return;
    };
    let attachments = vec![Bytes::new(); packet.attachments()];
    let written = match &packet {
        // A name that is a number comes back as a string, so only the rest can be compared.
        Packet::Event { namespace, ack_id, name, arguments, .. } => {
            are_placeholders_valid(arguments, attachments.len());
            event(namespace, name, &texts(arguments), &attachments, *ack_id)
        }
        Packet::Ack { namespace, ack_id, arguments, .. } => {
            are_placeholders_valid(arguments, attachments.len());
            acknowledgement(namespace, *ack_id, &texts(arguments), &attachments)
        }
        Packet::Connect { .. } | Packet::Disconnect { .. } => return,
    };
    let text = message(&written);
    let again = Packet::parse(&text, ATTACHMENTS_MAX).expect("what is written can be read");
    assert_eq!(format!("{packet:?}"), format!("{again:?}"));
});

fn texts<'a>(arguments: &[&'a RawValue]) -> Vec<&'a str> {
    arguments.iter().map(|argument| argument.get()).collect()
}

fn message(frames: &Frames) -> String {
    let frame = frames.iter().next().expect("a packet has a frame");
    let (_, payload) = server_frame_payload(frame);
    String::from_utf8(payload[1..].to_vec()).expect("a packet is text")
}
