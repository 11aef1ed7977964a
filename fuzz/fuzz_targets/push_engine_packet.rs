//! Engine.IO packets and session names: whatever is read is written again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use miaosha_push::engine::packet::Packet;
use miaosha_push::engine::session_id::SessionId;

fuzz_target!(|text: &str| {
    if let Ok(packet) = Packet::parse(text) {
        let (kind, data) = packet.parts();
        assert_eq!(format!("{kind}{data}"), text);
    }
    if let Some(session) = SessionId::parse(text) {
        assert_eq!(session.to_string(), text);
    }
});
