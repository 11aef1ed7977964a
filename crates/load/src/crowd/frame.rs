//! WebSocket frames as a client sees them: unmasked ones come, masked ones go (RFC 6455 section 5).
//!
//! A message split into fragments is refused: the site sends small ones, and nothing between here and there has a
//! reason to split them.

use super::end::Malformed;

/// The longest frame that is taken; the site's are some hundred bytes.
pub(super) const FRAME_LEN_MAX: usize = 32 * 1024;

/// What a client writes to answer Engine.IO's ping, which is a text message.
pub(super) const PONG: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'3'];

const FIN_AND_TEXT: u8 = 0x81;
const FIN_AND_PONG: u8 = 0x8A;
const MASKED: u8 = 0x80;
const LEN_IN_TWO_BYTES: u8 = 0x7E;
const LEN_IN_EIGHT_BYTES: u8 = 0x7F;
/// A key of zeros leaves the payload as it is, so what everyone sends is made once. The key's purpose, that a web
/// page cannot choose the bytes that a proxy on the way sees, does not arise here: there is no page. For the server
/// it is a key like any other.
const MASK: [u8; 4] = [0; 4];

/// A whole frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Close,
    /// Binary messages and pongs, which mean nothing here.
    Other,
}

/// The frame that `bytes` begin with, and its length with its header; None if more bytes are needed.
pub(super) fn next_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Malformed> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    if second & MASKED != 0 {
        return Err(Malformed("a masked frame"));
    }
    let (len, header_len) = match second {
        LEN_IN_TWO_BYTES => match bytes[2..].first_chunk() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        LEN_IN_EIGHT_BYTES => match bytes[2..].first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        len => (u64::from(len), 2),
    };
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > FRAME_LEN_MAX {
        return Err(Malformed("a frame longer than 32 KiB"));
    }
    let end = header_len + len;
    let Some(payload) = bytes.get(header_len..end) else { return Ok(None) };
    let frame = match first {
        0x81 => Frame::Text(payload),
        0x88 => Frame::Close,
        0x89 => Frame::Ping(payload),
        0x82 | 0x8A => Frame::Other,
        _ => return Err(Malformed("a fragment, or a frame of no known kind")),
    };
    Ok(Some((frame, end)))
}

/// Appends one text message of these parts together.
pub(super) fn write_text(parts: &[&str], out: &mut Vec<u8>) {
    write_header(FIN_AND_TEXT, parts.iter().map(|part| part.len()).sum(), out);
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends the answer to a WebSocket ping.
pub(super) fn write_pong(payload: &[u8], out: &mut Vec<u8>) {
    write_header(FIN_AND_PONG, payload.len(), out);
    out.extend_from_slice(payload);
}

fn write_header(first: u8, len: usize, out: &mut Vec<u8>) {
    out.push(first);
    if len < usize::from(LEN_IN_TWO_BYTES) {
        out.push(MASKED | u8::try_from(len).expect("below 126"));
    } else {
        let len = u16::try_from(len).expect("a token and a few words are far below 64 KiB");
        out.push(MASKED | LEN_IN_TWO_BYTES);
        out.extend_from_slice(&len.to_be_bytes());
    }
    out.extend_from_slice(&MASK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;
    use tungstenite::protocol::{Message, Role, WebSocket};

    fn peer(role: Role, bytes: Vec<u8>) -> WebSocket<Cursor<Vec<u8>>> {
        WebSocket::from_raw_socket(Cursor::new(bytes), role, None)
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        for bytes in [[0x81, 0x81], [0x01, 0], [0x80, 0], [0xC1, 0], [0x83, 0]] {
            assert!(next_frame(&bytes).is_err(), "{bytes:?}");
        }
        assert!(next_frame(&[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_known_codec_reads_the_ready_made_pong() {
        assert_eq!(peer(Role::Server, PONG.to_vec()).read().unwrap(), Message::text("3"));
    }

    proptest! {
        #[test]
        fn a_known_codec_reads_what_is_written(text in ".{0,300}", ping in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = Vec::new();
            write_text(&["4", &text], &mut bytes);
            write_pong(&ping, &mut bytes);
            let mut peer = peer(Role::Server, bytes);
            prop_assert_eq!(peer.read().unwrap(), Message::text(format!("4{text}")));
            prop_assert_eq!(peer.read().unwrap(), Message::Pong(ping.into()));
        }

        #[test]
        fn what_a_known_codec_writes_is_read_however_it_is_cut(text in "[ -é]{0,16000}", cut: prop::sample::Index) {
            let mut peer = peer(Role::Server, Vec::new());
            peer.send(Message::text(text.clone())).unwrap();
            let bytes = peer.get_ref().get_ref();
            let whole = (Frame::Text(text.as_bytes()), bytes.len());
            prop_assert_eq!(next_frame(bytes), Ok(Some(whole)));
            prop_assert_eq!(next_frame(&bytes[..cut.index(bytes.len())]), Ok(None));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = next_frame(&bytes);
        }
    }
}
