//! `POST /sessions`: signs in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use miaosha_app::sign_in::sign_in;
use serde::Deserialize;
use utoipa::ToSchema;

use super::users::begin_session;
use crate::extract::JsonBody;
use crate::patience::Patience;
use crate::problem::{Answer, ProblemBody, ProblemCode};
use crate::web::Web;
use crate::wire::SignedInBody;

/// What a person signs in with.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Credentials {
    email: String,
    password: String,
}

/// Sign in.
#[utoipa::path(
    post, path = "/sessions", tag = "accounts", request_body = Credentials,
    responses(
        (status = 200, description = "Signed in", body = SignedInBody),
        (status = 401, description = "`bad_credentials`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(web): State<Arc<Web>>,
    patience: Patience,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Answer<Json<SignedInBody>> {
    let Credentials { email, password } = credentials;
    let passwords = patience.unhurried_passwords(&web.passwords);
    let user = sign_in(&web.ports, &passwords, &email, password).await?;
    let user = user.ok_or(ProblemCode::BadCredentials)?;
    Ok(Json(begin_session(&web, &user)))
}
