//! One Engine.IO v4 packet: a type digit and its data.
//!
//! Binary messages have no digit: on a WebSocket they are binary frames, in a long-polling body they are base64 behind
//! a `b` (see `payload`).

use bytes::Bytes;
use serde::Serialize;

use crate::websocket::frame::{Opcode, server_frame};

/// A packet in its text form, as either side may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The first packet of the server, with the [`Handshake`] as its data.
    Open(&'a str),
    /// The sender ends the session.
    Close,
    /// A heart-beat of the server, or with `probe` a client's question on a new transport.
    Ping(&'a str),
    /// The answer to a ping, with the ping's data.
    Pong(&'a str),
    /// Data of the layer above.
    Message(&'a str),
    /// The client has moved to the new transport.
    Upgrade,
    /// Nothing; ends a long-polling request.
    Noop,
}

/// The text is no packet: its type is unknown, or it has data where none belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedPacket;

impl<'a> Packet<'a> {
    /// Reads a packet from its text form.
    pub fn parse(text: &'a str) -> Result<Self, MalformedPacket> {
        let mut chars = text.chars();
        let kind = chars.next().ok_or(MalformedPacket)?;
        let data = chars.as_str();
        Ok(match kind {
            '0' => Self::Open(data),
            '2' => Self::Ping(data),
            '3' => Self::Pong(data),
            '4' => Self::Message(data),
            '1' if data.is_empty() => Self::Close,
            '5' if data.is_empty() => Self::Upgrade,
            '6' if data.is_empty() => Self::Noop,
            _ => return Err(MalformedPacket),
        })
    }

    /// The packet as one WebSocket text frame of the server.
    pub fn to_frame(self) -> Bytes {
        let (kind, data) = self.parts();
        server_frame(Opcode::Text, &[kind.as_bytes(), data.as_bytes()])
    }

    /// The type digit and the data.
    pub fn parts(self) -> (&'static str, &'a str) {
        match self {
            Self::Open(data) => ("0", data),
            Self::Close => ("1", ""),
            Self::Ping(data) => ("2", data),
            Self::Pong(data) => ("3", data),
            Self::Message(data) => ("4", data),
            Self::Upgrade => ("5", ""),
            Self::Noop => ("6", ""),
        }
    }
}

/// The data of the open packet: what the client must know of the server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Handshake<'a> {
    /// The session's name, a secret of this client.
    pub sid: &'a str,
    /// The transports that the client may move to.
    pub upgrades: &'a [&'a str],
    /// How often the server sends a ping, in milliseconds.
    #[serde(rename = "pingInterval")]
    pub ping_interval_ms: u64,
    /// How long the server waits for the pong, in milliseconds.
    #[serde(rename = "pingTimeout")]
    pub ping_timeout_ms: u64,
    /// The longest long-polling body that the server accepts, in bytes.
    #[serde(rename = "maxPayload")]
    pub max_payload_bytes: usize,
}

impl Handshake<'_> {
    /// The handshake as the JSON text that an open packet carries.
    #[expect(clippy::missing_panics_doc, reason = "strings and numbers always serialize")]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always serialize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_from_its_parts() {
        let packets = [
            Packet::Open("{}"),
            Packet::Close,
            Packet::Ping("probe"),
            Packet::Pong(""),
            Packet::Message("2[\"é\"]"),
            Packet::Upgrade,
            Packet::Noop,
        ];
        for packet in packets {
            let (kind, data) = packet.parts();
            assert_eq!(Packet::parse(&format!("{kind}{data}")), Ok(packet));
        }
    }

    #[test]
    fn an_unknown_type_or_superfluous_data_is_malformed() {
        for text in ["", "7", "abc", "é", "1x", "5x", "6x"] {
            assert_eq!(Packet::parse(text), Err(MalformedPacket), "{text:?}");
        }
    }

    #[test]
    fn the_handshake_has_the_names_of_the_protocol() {
        let handshake = Handshake {
            sid: "abc",
            upgrades: &["websocket"],
            ping_interval_ms: 300,
            ping_timeout_ms: 200,
            max_payload_bytes: 1_000_000,
        };
        assert_eq!(
            handshake.to_json(),
            r#"{"sid":"abc","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#
        );
    }
}
