//! Single WebSocket frames: the header of what a client sends, and whole frames for what the server sends.
//!
//! Not for fragmented messages: see `decoder`. A frame built here is what a broadcast shares between all its readers.

use bytes::{BufMut, Bytes, BytesMut};

/// The longest payload that a control frame (close, ping, pong) may have, by RFC 6455 section 5.5.
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the message that an earlier text or binary frame began.
    Continuation,
    /// The first, or only, fragment of a text message.
    Text,
    /// The first, or only, fragment of a binary message.
    Binary,
    /// The sender closes the connection.
    Close,
    /// Asks for a pong with the same payload.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether frames of this kind may come between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a client's frame, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether this frame ends its message.
    pub is_final: bool,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The key that the payload is masked with, by exclusive or.
    pub mask: [u8; 4],
    /// The length of the header itself.
    pub header_bytes: usize,
    /// The length of the payload behind it.
    pub payload_bytes: usize,
}

/// Why a client's bytes are not acceptable; the connection must be closed with [`Violation::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A frame or a sequence of frames that RFC 6455 forbids.
    Protocol,
    /// A text message, or the reason of a close frame, that is not UTF-8.
    NotUtf8,
    /// A message beyond the limit.
    TooLong,
}

impl Violation {
    /// The status code of RFC 6455 section 7.4.1 for a close frame about this.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLong => 1009,
        }
    }
}

/// Reads the header of a frame that a client sent, from the start of `bytes`.
///
/// `Ok(None)` means that more bytes are needed. A payload beyond `payload_bytes_max` is refused from the header alone,
/// before any of it has been kept. Lengths that are not in their shortest form are refused, as the RFC demands.
pub fn read_header(bytes: &[u8], payload_bytes_max: usize) -> Result<Option<Header>, Violation> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let reserved_bits = first & 0x70;
    let is_masked = second & 0x80 != 0;
    let Some(opcode) = Opcode::from_bits(first & 0x0F) else {
        return Err(Violation::Protocol);
    };
    if reserved_bits != 0 || !is_masked {
        return Err(Violation::Protocol);
    }
    let is_final = first & 0x80 != 0;
    let short_length = usize::from(second & 0x7F);
    if opcode.is_control() && (!is_final || short_length > CONTROL_PAYLOAD_BYTES_MAX) {
        return Err(Violation::Protocol);
    }

    let (length, length_end) = match short_length {
        126 => match bytes[2..].first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return Ok(None),
        },
        short => (short as u64, 2),
    };
    let is_shortest_form = match length_end {
        4 => length > 125,
        10 => length > u64::from(u16::MAX),
        _ => true,
    };
    if !is_shortest_form {
        return Err(Violation::Protocol);
    }
    let payload_bytes = usize::try_from(length).map_err(|_| Violation::TooLong)?;
    if payload_bytes > payload_bytes_max {
        return Err(Violation::TooLong);
    }
    let Some(&mask) = bytes[length_end..].first_chunk() else {
        return Ok(None);
    };
    Ok(Some(Header { is_final, opcode, mask, header_bytes: length_end + 4, payload_bytes }))
}

/// Takes the mask off a payload (or puts it on) in place.
pub fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask) {
        *byte ^= key;
    }
}

/// A whole, unfragmented frame as a server sends it: no mask, shortest length form.
///
/// The payload is given in `parts` so that a prefix need not be copied in front of it first.
pub fn server_frame(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let payload_bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut frame = BytesMut::with_capacity(payload_bytes + 10);
    frame.put_u8(0x80 | opcode.bits());
    if let Ok(length) = u8::try_from(payload_bytes)
        && length <= 125
    {
        frame.put_u8(length);
    } else if let Ok(length) = u16::try_from(payload_bytes) {
        frame.put_u8(126);
        frame.put_u16(length);
    } else {
        frame.put_u8(127);
        frame.put_u64(payload_bytes as u64);
    }
    for part in parts {
        frame.put_slice(part);
    }
    frame.freeze()
}

/// A close frame with a status code and no reason.
pub fn server_close_frame(code: u16) -> Bytes {
    server_frame(Opcode::Close, &[&code.to_be_bytes()])
}

/// The opcode and the payload of a frame that [`server_frame`] made; another transport sends the payload alone.
///
/// # Panics
/// If `frame` was not made by [`server_frame`].
pub fn server_frame_payload(frame: &Bytes) -> (Opcode, &[u8]) {
    let opcode = Opcode::from_bits(frame[0] & 0x0F).expect("server_frame writes known opcodes only");
    let header_bytes = match frame[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    (opcode, &frame[header_bytes..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
        read_header(bytes, 1_000_000)
    }

    #[test]
    fn a_header_is_incomplete_until_its_last_byte() {
        let frame = [0x82, 0xFE, 0x01, 0x00, 1, 2, 3, 4];
        for end in 0..frame.len() {
            assert_eq!(header(&frame[..end]), Ok(None), "{end} bytes");
        }
        let whole = header(&frame).unwrap().unwrap();
        assert_eq!((whole.header_bytes, whole.payload_bytes, whole.mask), (8, 256, [1, 2, 3, 4]));
    }

    #[test]
    fn an_unmasked_frame_is_refused() {
        assert_eq!(header(&[0x81, 0x01, b'x']), Err(Violation::Protocol));
    }

    #[test]
    fn reserved_bits_and_unknown_opcodes_are_refused() {
        for first in [0xC1, 0xA1, 0x91, 0x83, 0x8B] {
            assert_eq!(header(&[first, 0x80, 0, 0, 0, 0]), Err(Violation::Protocol), "{first:#x}");
        }
    }

    #[test]
    fn a_control_frame_is_short_and_whole() {
        assert_eq!(header(&[0x89, 0xFE, 0, 126, 0, 0, 0, 0]), Err(Violation::Protocol));
        assert_eq!(header(&[0x09, 0x80, 0, 0, 0, 0]), Err(Violation::Protocol));
    }

    #[test]
    fn a_length_in_a_longer_form_than_needed_is_refused() {
        assert_eq!(header(&[0x82, 0xFE, 0, 125, 0, 0, 0, 0]), Err(Violation::Protocol));
        assert_eq!(header(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]), Err(Violation::Protocol));
    }

    #[test]
    fn a_payload_beyond_the_limit_is_refused_before_its_mask_has_come() {
        assert_eq!(read_header(&[0x82, 0xFE, 0x10, 0x01], 4096), Err(Violation::TooLong));
        assert_eq!(header(&[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]), Err(Violation::TooLong));
    }

    #[test]
    fn a_server_frame_gives_its_payload_back_at_every_length_form() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7_u8; length];
            let frame = server_frame(Opcode::Binary, &[&payload[..length / 2], &payload[length / 2..]]);
            assert_eq!(server_frame_payload(&frame), (Opcode::Binary, &payload[..]), "{length} bytes");
        }
    }
}
