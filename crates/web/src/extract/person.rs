//! Who asks, proved by the token in `Authorization: Bearer`.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use miaosha_app::model::Role;

use crate::problem::{Problem, ProblemCode};
use crate::tokens::{Checkout, Session, TokenRefusal};
use crate::web::Web;

/// A person with a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buyer(pub(crate) Session);

/// A person who may manage sales, by the account as it is now: a role that was taken away counts at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Editor;

/// Whoever may open the control socket of the node: put into a request by [`crate::routes::control`], and by nothing that
/// comes over the network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

/// A person with a reservation to pay for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Payer(pub(crate) Checkout);

impl FromRequestParts<Arc<Web>> for Buyer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let token = bearer_of(&parts.headers).ok_or(ProblemCode::Unauthenticated)?;
        let session = web.keyring.verify_session(token, web.ports.clock.now());
        session.map(Self).map_err(|_| ProblemCode::Unauthenticated.into())
    }
}

impl FromRequestParts<Arc<Web>> for Editor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        if parts.extensions.get::<Operator>().is_some() {
            return Ok(Self);
        }
        let Buyer(session) = Buyer::from_request_parts(parts, web).await?;
        let user = web.ports.users.lookup(session.user).await?;
        let user = user.ok_or(ProblemCode::Unauthenticated)?;
        match user.role {
            Role::Editor | Role::Admin => Ok(Self),
            Role::Buyer => Err(ProblemCode::Forbidden.into()),
        }
    }
}

impl FromRequestParts<Arc<Web>> for Payer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let token = bearer_of(&parts.headers).ok_or(ProblemCode::Unauthenticated)?;
        match web.keyring.verify_checkout(token, web.ports.clock.now()) {
            Ok(checkout) => Ok(Self(checkout)),
            Err(TokenRefusal::Expired) => Err(ProblemCode::TokenExpired.into()),
            Err(TokenRefusal::Invalid) => Err(ProblemCode::Unauthenticated.into()),
        }
    }
}

/// The token of a request, if its `Authorization` has one.
pub(crate) fn bearer_of(headers: &HeaderMap) -> Option<&[u8]> {
    bearer(headers.get(header::AUTHORIZATION)?.as_bytes())
}

/// The token of `Bearer <token>`, without space around it.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(b"bearer ".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    match token {
        [b'!'..=b'~', .., b'!'..=b'~'] => Some(token),
        // There may be space of any script around it.
        _ => str::from_utf8(token).ok().map(|token| token.trim().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_its_scheme_and_has_no_space_around_it() {
        for (authorization, token) in [
            ("Bearer a.b.c", Some("a.b.c")),
            ("bEARER   a.b.c \t", Some("a.b.c")),
            ("Bearer \u{3000}a.b\u{A0}c\u{A0}", Some("a.b\u{A0}c")),
            ("Bearer a", Some("a")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Bearer\ta.b.c", None),
            (" Bearer a.b.c", None),
            ("Basic a.b.c", None),
            ("", None),
        ] {
            assert_eq!(bearer(authorization.as_bytes()), token.map(str::as_bytes), "{authorization:?}");
        }
        assert_eq!(bearer(b"Bearer a.b.c\xA0"), None, "no text");
    }
}
