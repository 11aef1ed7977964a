//! What a text message says: Engine.IO v4 with Socket.IO v5 inside, as far as a client of the contract needs it.
//!
//! Events are cut out of the text, not parsed as JSON: a broadcast is the same text for everyone, and reading it a
//! million times would only measure the reader.

use serde::Deserialize;

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// The session is open; the text of its settings.
    Open(&'a [u8]),
    Ping,
    /// The main namespace is joined.
    Joined,
    /// It may not be joined; the text of the reason.
    Refused(&'a [u8]),
    /// An event with its first argument's text, empty if it has none.
    Event {
        name: &'a str,
        payload: &'a [u8],
    },
    /// The acknowledgement of what was asked; its first argument's text.
    Ack(&'a [u8]),
    /// The session ends, or is put out of the namespace.
    Closed,
    /// Other namespaces, attachments, and what is not known.
    Other,
}

impl<'a> Packet<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Self {
        match text {
            [b'0', settings @ ..] => Self::Open(settings),
            [b'1'] | [b'4', b'1'] => Self::Closed,
            [b'2'] => Self::Ping,
            [b'4', b'0', ..] => Self::Joined,
            [b'4', b'4', reason @ ..] => Self::Refused(reason),
            [b'4', b'2', event @ ..] => parse_event(event).unwrap_or(Self::Other),
            [b'4', b'3', ack @ ..] => arguments(ack).map_or(Self::Other, Self::Ack),
            _ => Self::Other,
        }
    }
}

/// How long a server may be silent: its ping interval and its ping timeout, as its own clients reckon.
pub(super) fn silence_max_ms(settings: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Settings {
        ping_interval: u32,
        ping_timeout: u32,
    }
    let settings: Settings = serde_json::from_slice(settings).ok()?;
    Some(settings.ping_interval.saturating_add(settings.ping_timeout))
}

/// Why the namespace may not be joined.
pub(super) fn word_of_refusal(reason: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Reason {
        message: String,
    }
    serde_json::from_slice(reason).map_or_else(|_| "refused".to_owned(), |Reason { message }| message)
}

/// Of an acknowledgement that is none: the code of what was wrong.
pub(super) fn code_of(ack: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    serde_json::from_slice(ack).ok().map(|Problem { code }| code)
}

fn parse_event(event: &[u8]) -> Option<Packet<'_>> {
    let quoted = arguments(event)?.strip_prefix(b"\"")?;
    let name_len = quoted.iter().position(|byte| *byte == b'"')?;
    let (name, rest) = quoted.split_at(name_len);
    if name.contains(&b'\\') {
        return None;
    }
    let payload = rest[1..].strip_prefix(b",").unwrap_or_default();
    Some(Packet::Event { name: std::str::from_utf8(name).ok()?, payload })
}

/// What stands between the brackets of `17["a",{}]`.
fn arguments(text: &[u8]) -> Option<&[u8]> {
    let start = text.iter().position(|byte| !byte.is_ascii_digit())?;
    text[start..].strip_prefix(b"[")?.strip_suffix(b"]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_messages_of_a_session_are_known() {
        let event = |name, payload: &'static str| Packet::Event { name, payload: payload.as_bytes() };
        for (text, packet) in [
            (r#"0{"sid":"7-a"}"#, Packet::Open(br#"{"sid":"7-a"}"#)),
            ("2", Packet::Ping),
            (r#"40{"sid":"x"}"#, Packet::Joined),
            (r#"44{"message":"no"}"#, Packet::Refused(br#"{"message":"no"}"#)),
            (r#"42["sale",{"sale":"1"}]"#, event("sale", r#"{"sale":"1"}"#)),
            (r#"4217["sale"]"#, event("sale", "")),
            (r#"430[{"sale":"1"}]"#, Packet::Ack(br#"{"sale":"1"}"#)),
            ("41", Packet::Closed),
            ("1", Packet::Closed),
            (r#"42/x,["sale",1]"#, Packet::Other),
            (r#"42["sa\"le",1]"#, Packet::Other),
            (r#"451-["e",{"_placeholder":true,"num":0}]"#, Packet::Other),
            ("", Packet::Other),
        ] {
            assert_eq!(Packet::parse(text.as_bytes()), packet, "{text}");
        }
    }

    #[test]
    fn settings_refusals_and_problems_are_read() {
        let settings =
            br#"{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1}"#;
        assert_eq!((silence_max_ms(settings), silence_max_ms(b"{}")), (Some(45_000), None));
        assert_eq!(word_of_refusal(br#"{"message":"unauthenticated"}"#), "unauthenticated");
        assert_eq!(word_of_refusal(b"no"), "refused");
        assert_eq!(code_of(br#"{"code":"no_such_sale"}"#).as_deref(), Some("no_such_sale"));
        assert_eq!(code_of(br#"{"sale":"1","state":"open"}"#), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, event in r#"42\[?"?.{0,10}"?,?.{0,10}\]?"#) {
            let _ = Packet::parse(&bytes);
            let _ = Packet::parse(event.as_bytes());
        }
    }
}
