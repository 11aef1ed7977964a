//! Whole messages out of the bytes of a connection, however the network cut them.
//!
//! A [`Decoder`] lives for one read: it works in place on the shared read buffer, and what must outlive the read is
//! handed back as a [`Remainder`], which does not exist between messages. So an idle connection keeps nothing.

use super::frame::{Header, Opcode, Violation, apply_mask, read_header};

/// A whole message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping, to be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The client closes, with its status code if it gave one.
    Close(Option<u16>),
}

/// What a read left undone: the start of a frame, or the first fragments of a message.
#[derive(Debug, Default)]
pub struct Remainder {
    undecoded: Vec<u8>,
    fragments: Option<Fragments>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    payload: Vec<u8>,
}

/// Decodes the bytes of one read.
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: Input<'a>,
    position: usize,
    fragments: Option<Fragments>,
    finished: Vec<u8>,
    message_bytes_max: usize,
}

#[derive(Debug)]
enum Input<'a> {
    Shared(&'a mut [u8]),
    Kept(Vec<u8>),
}

impl Input<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }
}

impl<'a> Decoder<'a> {
    /// Begins with what the last read left, followed by `bytes`, which are unmasked in place.
    ///
    /// No message longer than `message_bytes_max` is accepted, fragments counted together.
    pub fn new(remainder: Option<Box<Remainder>>, bytes: &'a mut [u8], message_bytes_max: usize) -> Self {
        let Remainder { mut undecoded, fragments } = remainder.map(|kept| *kept).unwrap_or_default();
        let bytes = if undecoded.is_empty() {
            Input::Shared(bytes)
        } else {
            undecoded.extend_from_slice(bytes);
            Input::Kept(undecoded)
        };
        Self { bytes, position: 0, fragments, finished: Vec::new(), message_bytes_max }
    }

    /// The next whole message, or `None` once the bytes hold no further one.
    pub fn next_message(&mut self) -> Result<Option<Message<'_>>, Violation> {
        loop {
            let Some((header, start)) = self.next_frame()? else {
                return Ok(None);
            };
            let end = start + header.payload_bytes;
            apply_mask(&mut self.bytes.as_mut()[start..end], header.mask);
            match header.opcode {
                Opcode::Text | Opcode::Binary if header.is_final => {
                    if self.fragments.is_some() {
                        return Err(Violation::Protocol);
                    }
                    let payload = &self.bytes.as_mut()[start..end];
                    return whole_message(header.opcode == Opcode::Text, payload).map(Some);
                }
                Opcode::Text | Opcode::Binary => self.begin_fragments(header, start)?,
                Opcode::Continuation => {
                    if let Some(is_text) = self.add_fragment(header, start)? {
                        return whole_message(is_text, &self.finished).map(Some);
                    }
                }
                Opcode::Close => return close_code(&self.bytes.as_mut()[start..end]).map(Some),
                Opcode::Ping => return Ok(Some(Message::Ping(&self.bytes.as_mut()[start..end]))),
                Opcode::Pong => return Ok(Some(Message::Pong)),
            }
        }
    }

    /// What has to be kept until the next read; `None` at the end of a message.
    pub fn into_remainder(mut self) -> Option<Box<Remainder>> {
        let position = self.position;
        let undecoded = match &mut self.bytes {
            Input::Shared(bytes) => bytes[position..].to_vec(),
            Input::Kept(bytes) => {
                bytes.drain(..position);
                std::mem::take(bytes)
            }
        };
        if undecoded.is_empty() && self.fragments.is_none() {
            return None;
        }
        Some(Box::new(Remainder { undecoded, fragments: self.fragments }))
    }

    /// The header of the next frame whose payload has come whole, and where that payload starts.
    fn next_frame(&mut self) -> Result<Option<(Header, usize)>, Violation> {
        let position = self.position;
        let bytes = self.bytes.as_mut();
        let Some(header) = read_header(&bytes[position..], self.message_bytes_max)? else {
            return Ok(None);
        };
        let start = position + header.header_bytes;
        if bytes.len() - start < header.payload_bytes {
            return Ok(None);
        }
        self.position = start + header.payload_bytes;
        Ok(Some((header, start)))
    }

    fn begin_fragments(&mut self, header: Header, start: usize) -> Result<(), Violation> {
        if self.fragments.is_some() {
            return Err(Violation::Protocol);
        }
        let payload = self.bytes.as_mut()[start..start + header.payload_bytes].to_vec();
        self.fragments = Some(Fragments { is_text: header.opcode == Opcode::Text, payload });
        Ok(())
    }

    /// Adds to the message begun; whether it is text, once it is whole and stands in `self.finished`.
    fn add_fragment(&mut self, header: Header, start: usize) -> Result<Option<bool>, Violation> {
        let Some(fragments) = &mut self.fragments else {
            return Err(Violation::Protocol);
        };
        if fragments.payload.len() + header.payload_bytes > self.message_bytes_max {
            return Err(Violation::TooLong);
        }
        let addition = &self.bytes.as_mut()[start..start + header.payload_bytes];
        fragments.payload.extend_from_slice(addition);
        if !header.is_final {
            return Ok(None);
        }
        let is_text = fragments.is_text;
        self.finished = std::mem::take(&mut fragments.payload);
        self.fragments = None;
        Ok(Some(is_text))
    }
}

fn whole_message(is_text: bool, payload: &[u8]) -> Result<Message<'_>, Violation> {
    if is_text {
        let text = std::str::from_utf8(payload).map_err(|_| Violation::NotUtf8)?;
        Ok(Message::Text(text))
    } else {
        Ok(Message::Binary(payload))
    }
}

fn close_code(payload: &[u8]) -> Result<Message<'_>, Violation> {
    match payload {
        [] => Ok(Message::Close(None)),
        [_] => Err(Violation::Protocol),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let is_allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            if !is_allowed {
                return Err(Violation::Protocol);
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Message::Close(Some(code)))
        }
    }
}

#[cfg(test)]
#[path = "decoder/tests.rs"]
mod tests;
