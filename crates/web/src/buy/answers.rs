//! Every answer of the buy route, with its body ready.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
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
    /// The answer, as it is sent.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let (status, content_type, body) = match self {
            Self::Queued => (StatusCode::ACCEPTED, JSON, r#"{"status":"queued"}"#),
            Self::SoldOut => (StatusCode::OK, JSON, r#"{"status":"sold_out"}"#),
            Self::Claimed(status) => (StatusCode::OK, JSON, body_of(status)),
            Self::Refused(code) => (code.status(), PROBLEM_JSON, code.plain_body()),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Self::Refused(code) = self {
            headers.extend(code.extra_header());
        }
        response
    }
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

    #[test]
    fn whoever_is_asked_to_come_again_is_told_when() {
        for code in [ProblemCode::Overloaded, ProblemCode::Unavailable] {
            let response = BuyAnswer::Refused(code).response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }
}
