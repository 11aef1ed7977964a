//! The name of an Engine.IO session: where it lives, and a secret that only its client knows.
//!
//! The place inside the name makes an index from names to sessions unnecessary; the secret makes names unguessable. The
//! node comes first and can be read by anybody, so that a load balancer can bring a session's requests to its process.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many random bytes a session's name has.
pub const SECRET_BYTES: usize = 13;

const ID_BYTES: usize = 1 + 4 + SECRET_BYTES;

/// An Engine.IO session. As text it is the number of its node, a dash and the rest in base64, such as `7-AAAAAAB…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub(crate) node: u16,
    pub(crate) reactor: u8,
    pub(crate) key: u32,
    pub(crate) secret: [u8; SECRET_BYTES],
}

impl SessionId {
    /// Reads the form that the client got; `None` for any other text. The session may be of another node.
    pub fn parse(text: &str) -> Option<Self> {
        let (node, text) = text.split_once('-')?;
        let node = parse_node(node)?;
        let mut bytes = [0; ID_BYTES];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if length != ID_BYTES {
            return None;
        }
        let [reactor, a, b, c, d, secret @ ..] = bytes;
        Some(Self { node, reactor, key: u32::from_be_bytes([a, b, c, d]), secret })
    }
}

impl std::fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0; ID_BYTES];
        bytes[0] = self.reactor;
        bytes[1..5].copy_from_slice(&self.key.to_be_bytes());
        bytes[5..].copy_from_slice(&self.secret);
        write!(formatter, "{}-{}", self.node, URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// A number in the one way in which we write it, so that a load balancer and we never read two nodes out of one text.
fn parse_node(text: &str) -> Option<u16> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for node in [0, 7, u16::MAX] {
            let id = SessionId { node, reactor: 3, key: 70_000, secret: [0xfb; SECRET_BYTES] };
            let text = id.to_string();
            assert!(text.starts_with(&format!("{node}-")), "{text}");
            assert_eq!(SessionId::parse(&text), Some(id));
        }
    }

    #[test]
    fn any_other_text_is_no_name() {
        let long = format!("7-{}", "A".repeat(200));
        for text in ["", "-", "7-", "7-abc", "abc", "7-ÄÖÜ", "Ä-Ö", long.as_str()] {
            assert_eq!(SessionId::parse(text), None, "{text:?}");
        }
        let rest = "A".repeat(24);
        assert!(SessionId::parse(&format!("7-{rest}")).is_some());
        for node in ["", "+7", "07", "-7", "65536", "7-", "7 "] {
            assert_eq!(SessionId::parse(&format!("{node}-{rest}")), None, "{node:?}");
        }
    }
}
