use std::io::{Cursor, Read, Write};

use proptest::prelude::*;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message as Known, WebSocket};

use super::*;

const MESSAGE_BYTES_MAX: usize = 4096;

/// What both codecs may say of a stream, in one vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// Feeds `stream` to our decoder in pieces that end at `cuts`; what it read before the first violation, if any.
fn decode(stream: &[u8], cuts: &[usize]) -> (Vec<Told>, Result<(), Violation>) {
    let (told, outcome) = decode_to_remainder(stream, cuts);
    (told, outcome.map(drop))
}

/// The same, with what would be kept for the next read.
fn decode_to_remainder(
    stream: &[u8],
    cuts: &[usize],
) -> (Vec<Told>, Result<Option<Box<Remainder>>, Violation>) {
    let mut told = Vec::new();
    let mut remainder = None;
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        let mut piece = stream[start..end].to_vec();
        start = end;
        let mut decoder = Decoder::new(remainder.take(), &mut piece, MESSAGE_BYTES_MAX);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => told.push(match message {
                    Message::Text(text) => Told::Text(text.to_owned()),
                    Message::Binary(bytes) => Told::Binary(bytes.to_vec()),
                    Message::Ping(bytes) => Told::Ping(bytes.to_vec()),
                    Message::Pong => Told::Pong,
                    Message::Close(code) => Told::Close(code),
                }),
                Ok(None) => break,
                Err(violation) => return (told, Err(violation)),
            }
            if matches!(told.last(), Some(Told::Close(_))) {
                return (told, Ok(None));
            }
        }
        remainder = decoder.into_remainder();
    }
    (told, Ok(remainder))
}

/// A stream that only gives: what the known codec would answer is thrown away.
struct Given(Cursor<Vec<u8>>);

impl Read for Given {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Given {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The same by the known codec; the flag says that it found a violation.
fn decode_by_known_codec(stream: &[u8]) -> (Vec<Told>, bool) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket =
        WebSocket::from_raw_socket(Given(Cursor::new(stream.to_vec())), Role::Server, Some(config));
    let mut told = Vec::new();
    loop {
        told.push(match socket.read() {
            Ok(Known::Text(text)) => Told::Text(text.to_string()),
            Ok(Known::Binary(bytes)) => Told::Binary(bytes.to_vec()),
            Ok(Known::Ping(bytes)) => Told::Ping(bytes.to_vec()),
            Ok(Known::Pong(_)) => Told::Pong,
            Ok(Known::Close(frame)) => {
                told.push(Told::Close(frame.map(|frame| frame.code.into())));
                return (told, false);
            }
            Ok(Known::Frame(_)) => unreachable!("read gives messages"),
            Err(
                tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
                | tungstenite::Error::Io(_),
            ) => return (told, false),
            Err(_) => return (told, true),
        });
    }
}

/// Frames of a client, as the known codec writes them; not necessarily in an order that makes sense.
fn client_frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        (".{0,40}", any::<bool>()).prop_map(|(text, is_final)| (
            OpCode::Data(Data::Text),
            text.into_bytes(),
            is_final
        )),
        (prop::collection::vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(bytes, is_final)| (
            OpCode::Data(Data::Binary),
            bytes,
            is_final
        )),
        (".{0,40}", any::<bool>()).prop_map(|(text, is_final)| (
            OpCode::Data(Data::Continue),
            text.into_bytes(),
            is_final
        )),
        prop::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| (
            OpCode::Control(Control::Ping),
            bytes,
            true
        )),
        prop::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| (
            OpCode::Control(Control::Pong),
            bytes,
            true
        )),
    ];
    prop::collection::vec((frame, any::<[u8; 4]>()), 1..6).prop_map(|frames| {
        let mut stream = Vec::new();
        for ((opcode, payload, is_final), mask) in frames {
            let header = FrameHeader { is_final, opcode, mask: Some(mask), ..FrameHeader::default() };
            Frame::from_payload(header, payload.into()).format(&mut stream).unwrap();
        }
        stream
    })
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

proptest! {
    #[test]
    fn what_the_known_codec_writes_is_read_alike_however_it_is_cut(
        stream in client_frames(),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        let (told, outcome) = decode(&stream, &cuts);
        let (known_told, known_is_violated) = decode_by_known_codec(&stream);
        prop_assert_eq!(told, known_told);
        prop_assert_eq!(outcome.is_err(), known_is_violated);
    }

    #[test]
    fn arbitrary_bytes_are_read_alike_wherever_they_are_cut(
        stream in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<usize>(), 0..5),
    ) {
        prop_assert_eq!(decode(&stream, &cuts), decode(&stream, &[]));
    }

    #[test]
    fn no_whole_message_is_accepted_that_the_known_codec_refuses(
        stream in prop::collection::vec(any::<u8>(), 0..60),
        first in prop_oneof![Just(0x81_u8), Just(0x82), Just(0x88), Just(0x89), Just(0x01)],
        length in 0_u8..40,
    ) {
        let mut with_a_plausible_start = vec![first, 0x80 | length];
        with_a_plausible_start.extend(stream);
        let (told, outcome) = decode_to_remainder(&with_a_plausible_start, &[]);
        let (known_told, known_is_violated) = decode_by_known_codec(&with_a_plausible_start);
        // The known codec looks into fragments before their message is whole, ours does not.
        if matches!(outcome, Ok(None)) {
            prop_assert_eq!(told, known_told);
            prop_assert!(!known_is_violated);
        }
    }
}

#[test]
fn a_close_frame_of_the_known_codec_gives_its_code() {
    let mut stream = Vec::new();
    let close = CloseFrame { code: 1001.into(), reason: "bye".into() };
    let mut frame = Frame::close(Some(close));
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    frame.format(&mut stream).unwrap();
    assert_eq!(decode(&stream, &[]), (vec![Told::Close(Some(1001))], Ok(())));
}

#[test]
fn a_close_code_that_nobody_may_send_is_a_violation() {
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let stream = masked(0x88, &code.to_be_bytes());
        assert_eq!(decode(&stream, &[]).1, Err(Violation::Protocol), "{code}");
    }
    assert_eq!(decode(&masked(0x88, &[3]), &[]).1, Err(Violation::Protocol));
}

#[test]
fn a_character_may_be_cut_between_fragments_but_not_be_broken() {
    let mut stream = masked(0x01, &"é".as_bytes()[..1]);
    stream.extend(masked(0x80, &"é".as_bytes()[1..]));
    assert_eq!(decode(&stream, &[]), (vec![Told::Text("é".to_owned())], Ok(())));
    assert_eq!(decode(&masked(0x81, &[0xC3]), &[]).1, Err(Violation::NotUtf8));
}

#[test]
fn fragments_are_limited_together() {
    let mut stream = Vec::new();
    for index in 0..40 {
        stream.extend(masked(if index == 0 { 0x02 } else { 0x00 }, &[7; 120]));
    }
    assert_eq!(decode(&stream, &[]), (vec![], Err(Violation::TooLong)));
}

#[test]
fn nothing_is_kept_between_messages() {
    let mut stream = masked(0x81, b"whole");
    let mut decoder = Decoder::new(None, &mut stream, MESSAGE_BYTES_MAX);
    assert_eq!(decoder.next_message(), Ok(Some(Message::Text("whole"))));
    assert_eq!(decoder.next_message(), Ok(None));
    assert!(decoder.into_remainder().is_none());
}
