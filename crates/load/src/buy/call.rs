//! The buy call.

use crate::http::{SignedCall, Target};

/// The buy calls of one or several sales, among which people are divided.
#[derive(Debug)]
pub(crate) struct BuyCalls(Vec<SignedCall>);

impl BuyCalls {
    /// `sales` are not empty.
    pub(crate) fn new(target: &Target, sales: &[String], answer: &str) -> Self {
        Self(sales.iter().map(|sale| buy_call(target, sale, answer)).collect())
    }

    /// That of the person with the token of this index.
    pub(crate) fn of(&self, token: usize) -> &SignedCall {
        &self.0[token % self.0.len()]
    }
}

/// The buy call of one sale with one answer.
pub(crate) fn buy_call(target: &Target, sale: &str, answer: &str) -> SignedCall {
    let body = serde_json::json!({ "answer": answer });
    SignedCall::post(target, &format!("/api/v1/sales/{sale}/requests"), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_contracts_buy_call() {
        let target = "http://shop.test:81/x".parse().unwrap();
        let mut buffer = b"earlier".to_vec();
        buy_call(&target, "42", "So\"ny").write("t0k", &mut buffer);
        let expected = "POST /x/api/v1/sales/42/requests HTTP/1.1\r\nHost: shop.test:81\r\n\
            Authorization: Bearer t0k\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n\
            {\"answer\":\"So\\\"ny\"}";
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }
}
