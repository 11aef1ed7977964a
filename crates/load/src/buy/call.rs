//! The bytes of a buy call: the same for everyone but for the token, so made once.

use crate::http::Target;

/// The buy call of one sale with one answer.
#[derive(Debug)]
pub(crate) struct BuyCall {
    before_token: String,
    after_token: String,
}

impl BuyCall {
    pub(crate) fn new(target: &Target, sale: &str, answer: &str) -> Self {
        let head = target.post_head(&format!("/api/v1/sales/{sale}/requests"));
        let body = serde_json::json!({ "answer": answer }).to_string();
        Self {
            before_token: format!("{head}Authorization: Bearer "),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_contracts_buy_call() {
        let target = "http://shop.test:81/x".parse().unwrap();
        let mut buffer = b"earlier".to_vec();
        BuyCall::new(&target, "42", "So\"ny").write("t0k", &mut buffer);
        let expected = "POST /x/api/v1/sales/42/requests HTTP/1.1\r\nHost: shop.test:81\r\n\
            Authorization: Bearer t0k\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n\
            {\"answer\":\"So\\\"ny\"}";
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }
}
