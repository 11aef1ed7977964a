//! The name of an Engine.IO session: where it lives, and a secret that only its client knows.
//!
//! The place inside the name makes an index from names to sessions unnecessary; the secret makes names unguessable.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many random bytes a session's name has.
pub const SECRET_BYTES: usize = 13;

const ID_BYTES: usize = 1 + 4 + SECRET_BYTES;

/// An Engine.IO session of one server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(crate) reactor: u8,
    pub(crate) key: u32,
    pub(crate) secret: [u8; SECRET_BYTES],
}

impl SessionId {
    /// Reads the form that the client got; `None` if it cannot be one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if length != ID_BYTES {
            return None;
        }
        let [reactor, a, b, c, d, secret @ ..] = bytes;
        Some(Self { reactor, key: u32::from_be_bytes([a, b, c, d]), secret })
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; ID_BYTES];
        bytes[0] = self.reactor;
        bytes[1..5].copy_from_slice(&self.key.to_be_bytes());
        bytes[5..].copy_from_slice(&self.secret);
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let id = SessionId { reactor: 3, key: 70_000, secret: [9; SECRET_BYTES] };
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn any_other_text_is_no_name() {
        let long = "A".repeat(200);
        for text in ["", "abc", "ÄÖÜ", long.as_str()] {
            assert_eq!(SessionId::parse(text), None, "{text:?}");
        }
    }
}
