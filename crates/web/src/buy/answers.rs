//! Every answer of the buy route, with its body ready.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use miaosha_domain::claim::ClaimStatus;

use crate::problem::{PROBLEM_JSON, ProblemCode};

/// What a buy request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuyAnswer {
    /// Accepted for good; the outcome will be told.
    Queued,
    /// Nothing is left.
    SoldOut,
    /// The person has this claim.
    Claimed(ClaimStatus),
    /// Not taken.
    Refused(ProblemCode),
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl BuyAnswer {
    /// The answer, for hyper to send.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let Parts { status, content_type, extra, body } = self.parts();
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.extend(extra);
        response
    }

    /// Appends the answer as it goes over an HTTP/1.1 connection, which stays open unless `closes`. `date` is the value of
    /// its `Date` (RFC 9110, section 6.6.1).
    pub(crate) fn write(self, date: &str, closes: bool, wire: &mut Vec<u8>) {
        let Parts { status, content_type, extra, body } = self.parts();
        for piece in
            ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"]
        {
            wire.extend_from_slice(piece.as_bytes());
        }
        let mut line = |name: &[u8], value: &[u8]| {
            for piece in [name, b": ", value, b"\r\n"] {
                wire.extend_from_slice(piece);
            }
        };
        line(b"content-type", content_type.as_bytes());
        if let Some((name, value)) = &extra {
            line(name.as_str().as_bytes(), value.as_bytes());
        }
        if closes {
            line(b"connection", b"close");
        }
        line(b"content-length", itoa::Buffer::new().format(body.len()).as_bytes());
        line(b"date", date.as_bytes());
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(body.as_bytes());
    }

    fn parts(self) -> Parts {
        let (status, content_type, body) = match self {
            Self::Queued => (StatusCode::ACCEPTED, JSON, r#"{"status":"queued"}"#),
            Self::SoldOut => (StatusCode::OK, JSON, r#"{"status":"sold_out"}"#),
            Self::Claimed(status) => (StatusCode::OK, JSON, body_of(status)),
            Self::Refused(code) => (code.status(), PROBLEM_JSON, code.plain_body()),
        };
        let extra = if let Self::Refused(code) = self { code.extra_header() } else { None };
        Parts { status, content_type, extra, body }
    }
}

/// What every form of an answer is made of.
struct Parts {
    status: StatusCode,
    content_type: HeaderValue,
    extra: Option<(HeaderName, HeaderValue)>,
    body: &'static str,
}

const fn body_of(status: ClaimStatus) -> &'static str {
    match status {
        ClaimStatus::Reserved => r#"{"status":"reserved"}"#,
        ClaimStatus::Standby => r#"{"status":"standby"}"#,
        ClaimStatus::Paying => r#"{"status":"paying"}"#,
        ClaimStatus::Paid => r#"{"status":"paid"}"#,
        ClaimStatus::Expired => r#"{"status":"expired"}"#,
        ClaimStatus::Released => r#"{"status":"released"}"#,
        ClaimStatus::Left => r#"{"status":"left"}"#,
        ClaimStatus::Rejected => r#"{"status":"rejected"}"#,
        ClaimStatus::Refunded => r#"{"status":"refunded"}"#,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_bodies_name_each_status_by_its_name() {
        for status in ClaimStatus::ALL {
            assert_eq!(body_of(status), serde_json::json!({ "status": status.name() }).to_string());
        }
    }

    #[tokio::test]
    async fn both_forms_of_an_answer_say_the_same() {
        use http_body_util::BodyExt as _;

        let refusals = ProblemCode::ALL.iter().copied().map(BuyAnswer::Refused);
        for answer in refusals.chain([BuyAnswer::Queued, BuyAnswer::Claimed(ClaimStatus::Paid)]) {
            let mut wire = Vec::new();
            answer.write("Thu, 01 Jan 1970 00:00:00 GMT", false, &mut wire);
            let (response, mut headers) = (answer.response(), [httparse::EMPTY_HEADER; 8]);
            let mut read = httparse::Response::new(&mut headers);
            let head_len = read.parse(&wire).unwrap().unwrap();
            assert_eq!((read.version, read.code), (Some(1), Some(response.status().as_u16())));
            let mut known = 0;
            for header in
                read.headers.iter().filter(|header| !["date", "content-length"].contains(&header.name))
            {
                assert_eq!(response.headers()[header.name].as_bytes(), header.value);
                known += 1;
            }
            assert_eq!(known, response.headers().len());
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(&wire[head_len..], body);
            let len = read.headers.iter().find(|header| header.name == "content-length").unwrap();
            assert_eq!(str::from_utf8(len.value).unwrap(), body.len().to_string());
        }
    }

    #[test]
    fn an_answer_that_closes_says_so() {
        let mut wire = Vec::new();
        BuyAnswer::Queued.write("-", true, &mut wire);
        assert!(wire.windows(21).any(|line| line == b"\r\nconnection: close\r\n"));
    }

    #[test]
    fn whoever_is_asked_to_come_again_is_told_when() {
        for code in [ProblemCode::Overloaded, ProblemCode::Unavailable] {
            let response = BuyAnswer::Refused(code).response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }
}
