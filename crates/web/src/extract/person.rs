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
pub(crate) fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    bearer(headers.get(header::AUTHORIZATION)?.as_bytes())
}

/// The token of `Bearer <token>`.
pub(crate) fn bearer(authorization: &[u8]) -> Option<&str> {
    let (scheme, token) = str::from_utf8(authorization).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
