//! What a caller is told when something is refused: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! The list of codes below is the only one: answers, the `OpenAPI` document and `/docs` are made from it. What a use case
//! refuses is turned into a code where its route is; [`From<PortError>`](PortError) is here. Internals never leak: the
//! cause of a technical failure is logged, once, and the caller learns only whether to try again.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use miaosha_app::PortError;
use serde::Serialize;
use tracing::{error, warn};
use utoipa::ToSchema;

/// The media type of every problem.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// How long a caller is asked to wait before trying again.
pub(crate) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

macro_rules! problem_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// Why a request was refused. The name is stable; everything else of a problem is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ProblemCode {
            /// Every code, by status.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name in `code`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// A short sentence for people; the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What the code means and what to do about it, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+)),+ }
            }

            const fn status_number(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// The whole body of a problem without particulars; equal to what [`Problem`] serialises to.
            pub const fn plain_body(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!(
                        "{\"type\":\"/docs#", $name, "\",\"title\":\"", $title,
                        "\",\"status\":", $status, ",\"detail\":\"", $title, "\",\"code\":\"", $name, "\"}"
                    )),+
                }
            }
        }
    };
}

problem_codes! {
    /// There is no valid session token in `Authorization: Bearer`. Sign in.
    Unauthenticated = "unauthenticated", 401, "Sign in first";
    /// The checkout token was valid; its reservation has run out.
    TokenExpired = "token_expired", 401, "The token has expired";
    /// The address or the password is wrong; which of them is not told.
    BadCredentials = "bad_credentials", 401, "The e-mail address or the password is wrong";
    /// The provider refused the payment. The reservation stands until its deadline.
    PaymentDeclined = "payment_declined", 402, "The payment was declined";
    /// The role of this account does not allow it.
    Forbidden = "forbidden", 403, "This account may not do that";
    /// The sale has not started yet, by the server's clock.
    NotOpen = "not_open", 403, "The sale has not started";
    /// The sale has ended.
    Ended = "ended", 403, "The sale has ended";
    /// The sale is stopped for a while.
    Paused = "paused", 403, "The sale is paused";
    /// There is nothing at this address, or it is somebody else's.
    NotFound = "not_found", 404, "There is nothing here";
    /// There is no sale with this id.
    NoSuchSale = "no_such_sale", 404, "There is no such sale";
    /// This person has no claim in this sale.
    NoClaim = "no_claim", 404, "There is no claim";
    /// The address exists, the method does not; `Allow` lists those that do.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here";
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive";
    /// Somebody has an account with this address.
    EmailTaken = "email_taken", 409, "There is an account with this e-mail address";
    /// The `Idempotency-Key` was used with another body. Take a new key.
    IdempotencyKeyReused = "idempotency_key_reused", 409, "The idempotency key was used with another body";
    /// A payment for this claim is under way.
    PaymentInProgress = "payment_in_progress", 409, "A payment is in progress";
    /// The claim has ended: there is nothing to give up.
    ClaimOver = "claim_over", 409, "The claim is over";
    /// The claim is no longer at the `rev` that was named. Look it up again.
    ClaimChanged = "claim_changed", 409, "The claim has changed";
    /// The claim is paid already.
    AlreadyPaid = "already_paid", 409, "The claim is already paid";
    /// The reservation has run out or was given up.
    ReservationOver = "reservation_over", 409, "The reservation is over";
    /// The sale has ended, so it cannot be changed that way.
    SaleEnded = "sale_ended", 409, "The sale has ended";
    /// This process serves another part of the site, and the request should not have been brought to it.
    Misdirected = "misdirected", 421, "This process does not serve that";
    /// The body is larger than this call takes.
    BodyTooLarge = "body_too_large", 413, "The body is too large";
    /// The body is to be `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, "Send application/json";
    /// The body is not JSON of the expected shape; `detail` and `field` say where.
    InvalidBody = "invalid_body", 422, "The body is not what this call takes";
    /// A query parameter is not of the expected shape.
    InvalidQuery = "invalid_query", 422, "A query parameter is not what this call takes";
    /// The `Idempotency-Key` is empty, too long or not visible ASCII.
    InvalidIdempotencyKey = "invalid_idempotency_key", 422, "The idempotency key is not valid";
    /// The password is too short or too long.
    WeakPassword = "weak_password", 422, "The password is too weak";
    /// The answer to the sale's question is wrong.
    WrongAnswer = "wrong_answer", 422, "The answer is wrong";
    /// The card can never pay here. Nothing was stored.
    InvalidCard = "invalid_card", 422, "This card cannot pay here";
    /// A defect of the server, which is logged. Trying again will not help.
    Internal = "internal", 500, "Something went wrong here";
    /// Too much at once; nothing was done. Asking again after `Retry-After` is safe.
    Overloaded = "overloaded", 503, "Too much at once, please try again";
    /// A part is away for a moment, or too slow. What was asked for may be done nevertheless: ask again after
    /// `Retry-After`, where repeating would do it twice with the same `Idempotency-Key`.
    Unavailable = "unavailable", 503, "This is not available for a moment, please try again";
}

impl ProblemCode {
    /// The HTTP status that goes with it, always the same.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.status_number()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The header that callers of this kind of problem need besides the usual ones.
    pub(crate) fn extra_header(self) -> Option<(HeaderName, HeaderValue)> {
        match self.status_number() {
            503 => Some((header::RETRY_AFTER, RETRY_AFTER_SECONDS)),
            401 => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => None,
        }
    }
}

/// One refusal, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    code: ProblemCode,
    detail: Cow<'static, str>,
    field: Option<String>,
}

impl Problem {
    /// A problem that needs no more words than its code has.
    pub(crate) const fn new(code: ProblemCode) -> Self {
        Self { code, detail: Cow::Borrowed(code.title()), field: None }
    }

    /// A problem with particulars for people.
    pub(crate) fn with_detail(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), field: None }
    }

    /// A body that is refused because of one field, such as `shipping.name`.
    pub(crate) fn invalid_field(field: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code: ProblemCode::InvalidBody, detail: detail.into(), field: Some(field.into()) }
    }

    /// Why.
    pub(crate) const fn code(&self) -> ProblemCode {
        self.code
    }

    /// The body, as JSON.
    fn body(&self) -> Bytes {
        let body = ProblemBody {
            r#type: format!("/docs#{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status_number(),
            detail: self.detail.clone(),
            code: self.code.name(),
            field: self.field.clone(),
        };
        serde_json::to_vec(&body).expect("text and numbers are always JSON").into()
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl From<PortError> for Problem {
    /// Logs the failure, so convert it once, where it is answered.
    fn from(failure: PortError) -> Self {
        let cause = std::error::Error::source(&failure).map(ToString::to_string);
        match failure {
            PortError::Retryable { .. } => {
                warn!(%failure, cause, "a request was refused for now");
                ProblemCode::Unavailable.into()
            }
            PortError::Overloaded { .. } => ProblemCode::Overloaded.into(),
            PortError::Terminal { .. } => {
                error!(%failure, cause, "a request failed");
                ProblemCode::Internal.into()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body().into());
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        headers.extend(self.code.extra_header());
        response
    }
}

/// A problem (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Where the code is explained.
    #[schema(example = "/docs#invalid_body")]
    r#type: String,
    /// A short sentence, the same for every occurrence.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The stable name.
    #[schema(example = "invalid_body")]
    code: &'static str,
    /// The field of the body that is wrong, such as `shipping.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// What a route returns.
pub(crate) type Answer<T> = Result<T, Problem>;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_has_one_name_a_valid_status_and_a_body_that_needs_no_serialiser() {
        let mut names = HashSet::new();
        for code in ProblemCode::ALL {
            assert!(names.insert(code.name()), "{} twice", code.name());
            assert_eq!(code.status().as_u16(), code.status_number());
            assert_eq!(Problem::new(*code).body(), code.plain_body(), "{}", code.name());
        }
    }

    #[test]
    fn a_technical_failure_tells_nothing_of_its_cause() {
        let secret = "password of the database";
        let failures = [PortError::terminal("reading", secret), PortError::retryable("reading", secret)];
        for (failure, code) in failures.into_iter().zip([ProblemCode::Internal, ProblemCode::Unavailable]) {
            let problem = Problem::from(failure);
            assert_eq!(problem.code(), code);
            assert_eq!(problem.body(), code.plain_body());
        }
    }
}
