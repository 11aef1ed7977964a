//! What is inside a token, and when it is over.

use std::time::Duration;

use miaosha_app::model::Role;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::TokenRefusal;
use crate::plain_json;

const SESSION_AUDIENCE: &str = "session";
const CHECKOUT_AUDIENCE: &str = "checkout";

/// Who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The person.
    pub user: UserId,
    /// What the person could do when the token was made.
    pub role: Role,
}

/// A reservation that may be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkout {
    /// The person.
    pub user: UserId,
    /// The sale.
    pub sale: SaleId,
    /// Which of the person's reservations.
    pub seq: u64,
    /// Until when it is held.
    pub deadline: Timestamp,
}

/// The claims of a session token. `exp` and `iat` are seconds (RFC 7519).
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionClaims<'a> {
    aud: &'a str,
    sub: &'a str,
    role: &'a str,
    iat: i64,
    exp: i64,
}

impl<'a> SessionClaims<'a> {
    pub(super) fn new(sub: &'a str, role: Role, now: Timestamp, lasts: Duration) -> Self {
        let (iat, exp) = (now.as_millis() / 1_000, seconds_up(now + lasts));
        Self { aud: SESSION_AUDIENCE, sub, role: role.name(), iat, exp }
    }

    pub(super) fn read(json: &'a [u8], now: Timestamp) -> Result<Session, TokenRefusal> {
        let claims = match Self::read_plain(json) {
            Some(claims) => claims,
            None => serde_json::from_slice(json).map_err(|_| TokenRefusal::Invalid)?,
        };
        if claims.aud != SESSION_AUDIENCE {
            return Err(TokenRefusal::Invalid);
        }
        let role = Role::lookup(claims.role).ok_or(TokenRefusal::Invalid)?;
        let user = claims.sub.parse().map_err(|_| TokenRefusal::Invalid)?;
        require_before(now, claims.exp.saturating_mul(1_000))?;
        Ok(Session { user, role })
    }

    /// The claims, if they are written as this type is; in the order of its fields.
    fn read_plain(json: &'a [u8]) -> Option<Self> {
        let (aud, rest) = plain_json::text(json.strip_prefix(br#"{"aud":""#)?)?;
        let (sub, rest) = plain_json::text(rest.strip_prefix(br#","sub":""#)?)?;
        let (role, rest) = plain_json::text(rest.strip_prefix(br#","role":""#)?)?;
        let (iat, rest) = plain_json::number(rest.strip_prefix(br#","iat":"#)?)?;
        let (exp, rest) = plain_json::number(rest.strip_prefix(br#","exp":"#)?)?;
        (rest == b"}").then_some(Self { aud, sub, role, iat, exp })
    }
}

/// The claims of a checkout token. `exp` is the second after the deadline, for whoever reads tokens by the standard;
/// `deadline_ms` is judged.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckoutClaims<'a> {
    aud: &'a str,
    sub: &'a str,
    sale: &'a str,
    seq: u64,
    exp: i64,
    deadline_ms: i64,
}

impl<'a> CheckoutClaims<'a> {
    pub(super) fn new(sub: &'a str, sale: &'a str, checkout: &Checkout) -> Self {
        Self {
            aud: CHECKOUT_AUDIENCE,
            sub,
            sale,
            seq: checkout.seq,
            exp: seconds_up(checkout.deadline),
            deadline_ms: checkout.deadline.as_millis(),
        }
    }

    pub(super) fn read(json: &'a [u8], now: Timestamp) -> Result<Checkout, TokenRefusal> {
        let claims: Self = serde_json::from_slice(json).map_err(|_| TokenRefusal::Invalid)?;
        if claims.aud != CHECKOUT_AUDIENCE {
            return Err(TokenRefusal::Invalid);
        }
        let checkout = Checkout {
            user: claims.sub.parse().map_err(|_| TokenRefusal::Invalid)?,
            sale: claims.sale.parse().map_err(|_| TokenRefusal::Invalid)?,
            seq: claims.seq,
            deadline: Timestamp::from_millis(claims.deadline_ms),
        };
        require_before(now, claims.deadline_ms.min(claims.exp.saturating_mul(1_000)))?;
        Ok(checkout)
    }
}

/// A token is over at its end, not after it.
fn require_before(now: Timestamp, end_ms: i64) -> Result<(), TokenRefusal> {
    if now.as_millis() < end_ms { Ok(()) } else { Err(TokenRefusal::Expired) }
}

/// The first whole second that is not before `at`.
fn seconds_up(at: Timestamp) -> i64 {
    at.as_millis().saturating_add(999).div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_minted_is_plain() {
        for role in [Role::Buyer, Role::Editor, Role::Admin] {
            let (now, lasts) = (Timestamp::from_millis(1_800_000_000_250), Duration::from_hours(24));
            let claims = SessionClaims::new("9223372036854775807", role, now, lasts);
            let json = serde_json::to_vec(&claims).unwrap();
            assert_eq!(SessionClaims::read_plain(&json), Some(claims));
        }
    }

    /// Claims of every kind, and things that are nearly claims.
    fn nearly_claims() -> impl Strategy<Value = String> {
        let text = prop_oneof!["[0-9]{1,20}", r#"[a-z"\\ \n]{0,6}"#, Just("session".to_owned())];
        let number = prop_oneof!["-?[0-9]{1,20}", "[0-9][.e]?[0-9]"];
        let separator = prop_oneof![9 => Just(","), 1 => Just(", "), 1 => Just("")];
        (text.clone(), text.clone(), text, number.clone(), number, separator).prop_map(
            |(aud, sub, role, iat, exp, separator)| {
                format!(
                    r#"{{"aud":"{aud}","sub":"{sub}"{separator}"role":"{role}","iat":{iat}{separator}"exp":{exp}}}"#
                )
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_plain_is_read_as_the_parser_reads_it(
            json in nearly_claims(),
            cut in prop::option::weighted(0.2, 0_usize..100),
        ) {
            let json = &json.as_bytes()[..cut.unwrap_or(json.len()).min(json.len())];
            if let Some(claims) = SessionClaims::read_plain(json) {
                prop_assert_eq!(serde_json::from_slice::<SessionClaims<'_>>(json).unwrap(), claims);
            }
        }
    }
}
