//! The bytes of a call that a person signs with a token: the same for everyone but for the token, so made once.

use super::Target;
use serde::{Deserialize, Serialize};

/// One call of the API, for any person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SignedCall {
    before_token: String,
    after_token: String,
}

impl SignedCall {
    /// `path` starts with a slash.
    pub(crate) fn get(target: &Target, path: &str) -> Self {
        Self {
            before_token: format!("{}Authorization: Bearer ", target.head("GET", path)),
            after_token: "\r\n\r\n".to_owned(),
        }
    }

    pub(crate) fn post(target: &Target, path: &str, body: &serde_json::Value) -> Self {
        let body = body.to_string();
        Self {
            before_token: format!("{}Authorization: Bearer ", target.head("POST", path)),
            after_token: format!(
                "\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        }
    }

    /// Replaces the buffer's content by the whole request of that token's owner.
    pub(crate) fn write(&self, token: &str, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(self.before_token.as_bytes());
        buffer.extend_from_slice(token.as_bytes());
        buffer.extend_from_slice(self.after_token.as_bytes());
    }
}
