//! `GET /me`: who is signed in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::extract::Buyer;
use crate::problem::{Answer, ProblemCode};
use crate::web::Web;
use crate::wire::UserBody;

/// Who is signed in.
#[utoipa::path(
    get, path = "/me", tag = "accounts", security(("session" = [])),
    responses((status = 200, description = "The account", body = UserBody))
)]
pub(crate) async fn show(State(web): State<Arc<Web>>, Buyer(session): Buyer) -> Answer<Json<UserBody>> {
    let user = web.ports.users.lookup(session.user).await?.ok_or(ProblemCode::Unauthenticated)?;
    Ok(Json(UserBody::from(&user)))
}
