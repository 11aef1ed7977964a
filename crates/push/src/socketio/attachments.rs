//! Gathers the binary messages that belong to a Socket.IO packet.
//!
//! A packet with attachments is kept as text until its last attachment has come, and only then handed on.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

/// A packet that still waits for some of its attachments.
#[derive(Debug)]
pub struct Gathering {
    packet: String,
    expected: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

/// The attachments of a packet are more than may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Gathering {
    /// Begins with the text of a packet that announced `expected` attachments, at least one.
    pub fn new(packet: &str, expected: usize) -> Self {
        Self { packet: packet.to_owned(), expected, attachments: Vec::new(), bytes: packet.len() }
    }

    /// Adds the next attachment, of at most `bytes_max` together with all before it. Says whether it was the last.
    pub fn add(&mut self, attachment: &[u8], bytes_max: usize) -> Result<bool, TooLong> {
        self.bytes += attachment.len();
        if self.bytes > bytes_max {
            return Err(TooLong);
        }
        self.attachments.push(Bytes::copy_from_slice(attachment));
        Ok(self.attachments.len() == self.expected)
    }

    /// The packet's text and its attachments, in order.
    pub fn into_parts(self) -> (String, Vec<Bytes>) {
        (self.packet, self.attachments)
    }
}

/// Whether every placeholder in `arguments` names one of `attachments` attachments.
///
/// A placeholder is an object `{"_placeholder":true,"num":N}`; the parser at the other end puts attachment N in its
/// place.
pub fn are_placeholders_valid(arguments: &[&RawValue], attachments: usize) -> bool {
    arguments.iter().all(|argument| {
        serde_json::from_str(argument.get()).is_ok_and(|value| is_value_valid(&value, attachments))
    })
}

/// Recursion ends with the packet's nesting, which its parser has bounded.
fn is_value_valid(value: &Value, attachments: usize) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| is_value_valid(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => fields
            .get("num")
            .and_then(Value::as_u64)
            .and_then(|number| usize::try_from(number).ok())
            .is_some_and(|number| number < attachments),
        Value::Object(fields) => fields.values().all(|field| is_value_valid(field, attachments)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_valid(json: &str, attachments: usize) -> bool {
        let arguments: Vec<&RawValue> = serde_json::from_str(json).unwrap();
        are_placeholders_valid(&arguments, attachments)
    }

    #[test]
    fn a_packet_is_whole_with_its_last_attachment() {
        let mut gathering = Gathering::new("52-[\"e\"]", 2);
        assert_eq!(gathering.add(&[1], 100), Ok(false));
        assert_eq!(gathering.add(&[2, 3], 100), Ok(true));
        let (packet, attachments) = gathering.into_parts();
        assert_eq!((packet.as_str(), attachments.len()), ("52-[\"e\"]", 2));
    }

    #[test]
    fn attachments_are_limited_together() {
        let mut gathering = Gathering::new("52-[]", 2);
        assert_eq!(gathering.add(&[0; 3], 10), Ok(false));
        assert_eq!(gathering.add(&[0; 3], 10), Err(TooLong));
    }

    #[test]
    fn a_placeholder_names_an_attachment_that_exists() {
        assert!(is_valid(r#"[{"a":[{"_placeholder":true,"num":1}]},"_placeholder"]"#, 2));
        for json in [
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":"splice"}]"#,
            r#"[[{"_placeholder":true}]]"#,
        ] {
            assert!(!is_valid(json, 2), "{json}");
        }
    }
}
