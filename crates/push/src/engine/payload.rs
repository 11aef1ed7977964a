//! The body of a long-polling request or answer: packets with a record separator between them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::packet::{MalformedPacket, Packet};
use crate::websocket::frame::{Opcode, server_frame_payload};

const SEPARATOR: char = '\x1e';
const BINARY_PREFIX: char = 'b';

/// One packet of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A packet in its text form.
    Text(Packet<'a>),
    /// A binary message.
    Binary(Vec<u8>),
}

/// Reads the packets of a client's body one after the other, in order.
///
/// An entry that is malformed is an error; what comes behind it must not be used.
pub fn read_payload(body: &str) -> impl Iterator<Item = Result<Entry<'_>, MalformedPacket>> {
    body.split(SEPARATOR).map(|text| match text.strip_prefix(BINARY_PREFIX) {
        Some(encoded) => STANDARD.decode(encoded).map(Entry::Binary).map_err(|_| MalformedPacket),
        None => Packet::parse(text).map(Entry::Text),
    })
}

/// Writes the body that carries the same packets as these WebSocket frames of the server.
///
/// Frames that carry no packet (WebSocket's own ping, pong and close) are left out.
///
/// # Panics
/// If a text frame is not UTF-8; those of `socketio::encode` and `Packet::to_frame` are made of strings.
pub fn write_payload<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> String {
    let mut body = String::new();
    for frame in frames {
        let (opcode, data) = server_frame_payload(frame);
        if !matches!(opcode, Opcode::Text | Opcode::Binary) {
            continue;
        }
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        if opcode == Opcode::Text {
            body.push_str(std::str::from_utf8(data).expect("text frames are made of strings"));
        } else {
            body.push(BINARY_PREFIX);
            STANDARD.encode_string(data, &mut body);
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::frame::server_frame;

    #[test]
    fn text_and_binary_packets_share_a_body() {
        let entries: Result<Vec<_>, _> = read_payload("4hello\x1ebAQIDBA==\x1e2").collect();
        let expected = vec![
            Entry::Text(Packet::Message("hello")),
            Entry::Binary(vec![1, 2, 3, 4]),
            Entry::Text(Packet::Ping("")),
        ];
        assert_eq!(entries, Ok(expected));
    }

    #[test]
    fn an_empty_packet_or_broken_base64_is_malformed() {
        for body in ["", "4a\x1e", "b===", "b\u{e9}"] {
            let entries: Result<Vec<_>, _> = read_payload(body).collect();
            assert_eq!(entries, Err(MalformedPacket), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(messages in prop::collection::vec(
            prop_oneof![
                "[^\x1e]{0,40}".prop_map(Ok),
                prop::collection::vec(any::<u8>(), 0..40).prop_map(Err),
            ], 1..8,
        )) {
            let frames: Vec<Bytes> = messages.iter().map(|message| match message {
                Ok(text) => Packet::Message(text).to_frame(),
                Err(binary) => server_frame(Opcode::Binary, &[binary]),
            }).collect();
            let body = write_payload(&frames);
            let expected: Vec<_> = messages.iter().map(|message| match message {
                Ok(text) => Entry::Text(Packet::Message(text)),
                Err(binary) => Entry::Binary(binary.clone()),
            }).collect();
            prop_assert_eq!(read_payload(&body).collect::<Result<Vec<_>, _>>(), Ok(expected));
        }

        #[test]
        fn no_body_makes_the_reader_panic(body in ".*") {
            read_payload(&body).for_each(drop);
        }
    }
}
