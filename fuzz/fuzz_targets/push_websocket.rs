//! A client's WebSocket bytes: the same messages and the same violation wherever the network cuts them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use miaosha_push::websocket::decoder::{Decoder, Message};

const MESSAGE_BYTES_MAX: usize = 1024;

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (piece_bytes, stream) = input;
    let whole = decode(&stream, stream.len().max(1));
    let cut = decode(&stream, usize::from(piece_bytes) + 1);
    assert_eq!(whole, cut);
});

/// What is read of a stream that comes in pieces, up to a close or a violation.
fn decode(stream: &[u8], piece_bytes: usize) -> Vec<String> {
    let mut told = Vec::new();
    let mut remainder = None;
    for piece in stream.chunks(piece_bytes) {
        let mut piece = piece.to_vec();
        let mut decoder = Decoder::new(remainder.take(), &mut piece, MESSAGE_BYTES_MAX);
        loop {
            match decoder.next_message() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let is_last = matches!(message, Message::Close(_));
                    told.push(format!("{message:?}"));
                    if is_last {
                        return told;
                    }
                }
                Err(violation) => {
                    told.push(format!("{violation:?}"));
                    return told;
                }
            }
        }
        remainder = decoder.into_remainder();
    }
    told
}
