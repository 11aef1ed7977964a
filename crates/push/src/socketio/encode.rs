//! What the server sends: Socket.IO v5 packets inside Engine.IO messages, framed for a WebSocket.
//!
//! A [`Frames`] is serialized once and shared by all who get it; a long-polling client gets the same frames without
//! their WebSocket headers.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::websocket::frame::{Opcode, server_frame};

/// The frames of one packet, in order: the packet itself, then its attachments.
#[derive(Clone, Debug)]
pub struct Frames {
    text: Bytes,
    attachments: Option<Arc<[Bytes]>>,
}

impl Frames {
    /// Frames one Engine.IO message, text without attachments.
    pub fn text(message: &str) -> Self {
        Self { text: server_frame(Opcode::Text, &[b"4", message.as_bytes()]), attachments: None }
    }

    /// Frames one binary Engine.IO message.
    pub fn binary(message: &[u8]) -> Self {
        Self { text: server_frame(Opcode::Binary, &[message]), attachments: None }
    }

    /// The frames in the order in which they must be sent, with nothing of the same sender between them.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.text).chain(self.attachments.iter().flat_map(|frames| frames.iter()))
    }

    fn with_attachments(text: &str, attachments: &[Bytes]) -> Self {
        let mut frames = Self::text(text);
        if !attachments.is_empty() {
            frames.attachments =
                Some(attachments.iter().map(|bytes| server_frame(Opcode::Binary, &[bytes])).collect());
        }
        frames
    }
}

/// Tells a client that it has joined `namespace` under the name `sid`.
pub fn connected(namespace: &str, sid: &str) -> Frames {
    let mut text = head('0', namespace, None, 0);
    let _infallible = write!(text, r#"{{"sid":"{sid}"}}"#);
    Frames::text(&text)
}

/// Tells a client that it may not join `namespace`; `reason_json` is a JSON object, by custom with a `message`.
pub fn refused(namespace: &str, reason_json: &str) -> Frames {
    Frames::text(&(head('4', namespace, None, 0) + reason_json))
}

/// Tells a client that the server has removed it from `namespace`.
pub fn disconnected(namespace: &str) -> Frames {
    let mut text = head('1', namespace, None, 0);
    if text.ends_with(',') {
        text.pop();
    }
    Frames::text(&text)
}

/// An event with `arguments`, each the text of one JSON value, and `attachments`, to which they refer by placeholders.
/// With `ack_id` the client is asked to acknowledge it under that id.
#[expect(clippy::missing_panics_doc, reason = "a string always serializes")]
pub fn event(
    namespace: &str,
    name: &str,
    arguments: &[&str],
    attachments: &[Bytes],
    ack_id: Option<u64>,
) -> Frames {
    let kind = if attachments.is_empty() { '2' } else { '5' };
    let mut text = head(kind, namespace, ack_id, attachments.len());
    text.push('[');
    text.push_str(&serde_json::to_string(name).expect("a string always serializes"));
    for argument in arguments {
        text.push(',');
        text.push_str(argument);
    }
    text.push(']');
    Frames::with_attachments(&text, attachments)
}

/// Acknowledges the client's event `ack_id`; `arguments` and `attachments` as for [`event`].
pub fn acknowledgement(namespace: &str, ack_id: u64, arguments: &[&str], attachments: &[Bytes]) -> Frames {
    let kind = if attachments.is_empty() { '3' } else { '6' };
    let mut text = head(kind, namespace, Some(ack_id), attachments.len());
    text.push('[');
    text.push_str(&arguments.join(","));
    text.push(']');
    Frames::with_attachments(&text, attachments)
}

fn head(kind: char, namespace: &str, ack_id: Option<u64>, attachments: usize) -> String {
    let mut text = String::with_capacity(128);
    text.push(kind);
    if attachments > 0 {
        let _infallible = write!(text, "{attachments}-");
    }
    if namespace != "/" {
        text.push_str(namespace);
        text.push(',');
    }
    if let Some(ack_id) = ack_id {
        let _infallible = write!(text, "{ack_id}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::frame::server_frame_payload;

    fn text_of(frames: &Frames) -> String {
        let (_, payload) = server_frame_payload(frames.iter().next().unwrap());
        String::from_utf8(payload.to_vec()).unwrap()
    }

    #[test]
    fn packets_of_the_main_namespace_do_not_name_it() {
        assert_eq!(text_of(&connected("/", "abc")), r#"40{"sid":"abc"}"#);
        assert_eq!(text_of(&refused("/", r#"{"message":"no"}"#)), r#"44{"message":"no"}"#);
        assert_eq!(text_of(&disconnected("/")), "41");
        assert_eq!(text_of(&event("/", "a\"b", &["1", "{}"], &[], None)), r#"42["a\"b",1,{}]"#);
        assert_eq!(text_of(&acknowledgement("/", 7, &[], &[])), "437[]");
    }

    #[test]
    fn packets_of_another_namespace_name_it() {
        assert_eq!(text_of(&connected("/x", "abc")), r#"40/x,{"sid":"abc"}"#);
        assert_eq!(text_of(&disconnected("/x")), "41/x");
        assert_eq!(text_of(&event("/x", "e", &[], &[], Some(9))), r#"42/x,9["e"]"#);
    }

    #[test]
    fn attachments_are_counted_and_follow_as_binary_frames() {
        let placeholder = r#"{"_placeholder":true,"num":0}"#;
        let frames = event("/", "e", &[placeholder], &[Bytes::from_static(b"\x01\x02")], None);
        assert_eq!(text_of(&frames), format!(r#"451-["e",{placeholder}]"#));
        let attachment = frames.iter().nth(1).unwrap();
        assert_eq!(server_frame_payload(attachment), (Opcode::Binary, &[1_u8, 2][..]));
    }
}
