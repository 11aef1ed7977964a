//! The key of a WebSocket upgrade request and its answer (RFC 6455 section 4.2.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

const HANDSHAKE_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`, or `None` if the key is not 16 bytes in base64.
pub fn accept_key(key: &[u8]) -> Option<String> {
    let decoded = STANDARD.decode(key).ok()?;
    if decoded.len() != KEY_BYTES {
        return None;
    }
    let mut digest = Sha1::new();
    digest.update(key);
    digest.update(HANDSHAKE_GUID);
    Some(STANDARD.encode(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_in_the_rfc() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn a_key_that_is_not_sixteen_bytes_is_refused() {
        assert_eq!(accept_key(b"c2hvcnQ="), None);
        assert_eq!(accept_key(b"no base64!"), None);
    }
}
