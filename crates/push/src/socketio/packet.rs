//! What a Socket.IO v5 client sends: one packet, read and checked without copying it.
//!
//! The form is `<type>[<attachments>-][<namespace>,][<ack id>][<JSON>]`. JSON inside is checked to be well-formed and
//! not too deep, and is handed on as raw text: who wants values parses them.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// How deep the JSON of a packet may nest.
pub const NESTING_MAX: usize = 32;

/// The largest acknowledgement id: what a JavaScript client can count to.
pub const ACK_ID_MAX: u64 = (1 << 53) - 1;

/// Names that the client library keeps for itself; nobody may send them as events.
const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet of a client.
#[derive(Debug)]
pub enum Packet<'a> {
    /// Asks to join a namespace.
    Connect {
        /// The namespace, beginning with a slash.
        namespace: &'a str,
        /// The client's `auth`, a JSON object.
        auth: Option<&'a RawValue>,
    },
    /// Leaves a namespace.
    Disconnect {
        /// The namespace, beginning with a slash.
        namespace: &'a str,
    },
    /// An event.
    Event {
        /// The namespace, beginning with a slash.
        namespace: &'a str,
        /// The id under which the client awaits an acknowledgement.
        ack_id: Option<u64>,
        /// How many binary messages follow that belong to this packet.
        attachments: usize,
        /// The event's name.
        name: Cow<'a, str>,
        /// The event's arguments.
        arguments: Vec<&'a RawValue>,
    },
    /// Acknowledges an event of the server.
    Ack {
        /// The namespace, beginning with a slash.
        namespace: &'a str,
        /// The id that the server gave to the event.
        ack_id: u64,
        /// How many binary messages follow that belong to this packet.
        attachments: usize,
        /// The acknowledgement's arguments.
        arguments: Vec<&'a RawValue>,
    },
}

/// The text is no packet that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedPacket {
    /// The type is none that a client sends.
    Type,
    /// The number of attachments is missing, superfluous, or beyond the limit.
    Attachments,
    /// The acknowledgement id is missing, superfluous, or too large.
    AckId,
    /// The JSON is broken, too deep, or of a shape that the type does not have.
    Data,
}

impl<'a> Packet<'a> {
    /// Reads a packet with at most `attachments_max` attachments.
    pub fn parse(text: &'a str, attachments_max: usize) -> Result<Self, MalformedPacket> {
        let kind = *text.as_bytes().first().ok_or(MalformedPacket::Type)?;
        if !(b'0'..=b'6').contains(&kind) {
            return Err(MalformedPacket::Type);
        }
        let rest = &text[1..];
        let (attachments, rest) = match kind {
            b'5' | b'6' => read_attachments(rest, attachments_max)?,
            _ => (0, rest),
        };
        let (namespace, rest) = read_namespace(rest);
        let (ack_id, data) = read_ack_id(rest)?;
        match kind {
            b'0' if ack_id.is_none() => Ok(Self::Connect { namespace, auth: read_auth(data)? }),
            b'1' if ack_id.is_none() && data.is_empty() => Ok(Self::Disconnect { namespace }),
            b'0' | b'1' => Err(MalformedPacket::Data),
            b'2' | b'5' => {
                let mut arguments = read_array(data)?;
                if arguments.is_empty() {
                    return Err(MalformedPacket::Data);
                }
                let name = read_event_name(arguments.remove(0))?;
                Ok(Self::Event { namespace, ack_id, attachments, name, arguments })
            }
            b'3' | b'6' => {
                let ack_id = ack_id.ok_or(MalformedPacket::AckId)?;
                Ok(Self::Ack { namespace, ack_id, attachments, arguments: read_array(data)? })
            }
            _ => Err(MalformedPacket::Type),
        }
    }

    /// How many binary messages must follow before the packet is whole.
    pub fn attachments(&self) -> usize {
        match self {
            Self::Event { attachments, .. } | Self::Ack { attachments, .. } => *attachments,
            Self::Connect { .. } | Self::Disconnect { .. } => 0,
        }
    }
}

fn read_attachments(text: &str, attachments_max: usize) -> Result<(usize, &str), MalformedPacket> {
    let (digits, rest) = text.split_once('-').ok_or(MalformedPacket::Attachments)?;
    let is_number =
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(MalformedPacket::Attachments);
    }
    let attachments = digits.parse().map_err(|_| MalformedPacket::Attachments)?;
    if attachments > attachments_max {
        return Err(MalformedPacket::Attachments);
    }
    Ok((attachments, rest))
}

/// The namespace without its query string, which older clients append.
fn read_namespace(text: &str) -> (&str, &str) {
    if !text.starts_with('/') {
        return ("/", text);
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    let without_query = namespace.split_once('?').map_or(namespace, |(name, _query)| name);
    (without_query, rest)
}

fn read_ack_id(text: &str) -> Result<(Option<u64>, &str), MalformedPacket> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok((None, text));
    }
    let (digits, rest) = text.split_at(digits);
    match digits.parse() {
        Ok(ack_id) if ack_id <= ACK_ID_MAX => Ok((Some(ack_id), rest)),
        _ => Err(MalformedPacket::AckId),
    }
}

fn read_auth(data: &str) -> Result<Option<&RawValue>, MalformedPacket> {
    if data.is_empty() {
        return Ok(None);
    }
    if !data.starts_with('{') {
        return Err(MalformedPacket::Data);
    }
    require_shallow(data)?;
    serde_json::from_str(data).map(Some).map_err(|_| MalformedPacket::Data)
}

fn read_array(data: &str) -> Result<Vec<&RawValue>, MalformedPacket> {
    require_shallow(data)?;
    serde_json::from_str(data).map_err(|_| MalformedPacket::Data)
}

/// An event's name is a string, or a number, which is taken as its digits.
fn read_event_name(value: &RawValue) -> Result<Cow<'_, str>, MalformedPacket> {
    let text = value.get();
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return Ok(Cow::Borrowed(text));
    }
    let name = serde_json::from_str::<Name<'_>>(text).map_err(|_| MalformedPacket::Data)?.0;
    if RESERVED_EVENTS.contains(&name.as_ref()) {
        return Err(MalformedPacket::Data);
    }
    Ok(name)
}

/// A string that is borrowed unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn require_shallow(json: &str) -> Result<(), MalformedPacket> {
    let mut depth = 0_usize;
    let mut is_in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if is_in_string => drop(bytes.next()),
            b'"' => is_in_string = !is_in_string,
            b'[' | b'{' if !is_in_string => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(MalformedPacket::Data);
                }
            }
            b']' | b'}' if !is_in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "packet/tests.rs"]
mod tests;
