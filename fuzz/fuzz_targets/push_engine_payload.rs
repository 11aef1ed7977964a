//! Long-polling bodies: a body of messages that is read is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use miaosha_push::engine::payload::{Entry, read_payload, write_payload};
use miaosha_push::websocket::frame::{Opcode, server_frame};

fuzz_target!(|body: &str| {
    let Ok(entries) = read_payload(body).collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let frames: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Text(packet) => packet.to_frame(),
            Entry::Binary(bytes) => server_frame(Opcode::Binary, &[bytes]),
        })
        .collect();
    assert_eq!(write_payload(&frames), body);
});
