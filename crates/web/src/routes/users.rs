//! `POST /users`: makes an account.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use miaosha_app::model::{Role, User};
use miaosha_app::sign_up::{SignUp, SignedUp, sign_up};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::JsonBody;
use crate::patience::Patience;
use crate::problem::{Answer, Problem, ProblemBody, ProblemCode};
use crate::tokens::SESSION_LASTS;
use crate::web::Web;
use crate::wire::{SignedInBody, UserBody};

/// What a newcomer gives.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NewUser {
    email: String,
    /// How the person wants to be called.
    name: String,
    /// 8 characters or more.
    password: String,
}

/// Make an account, and sign in.
#[utoipa::path(
    post, path = "/users", tag = "accounts", request_body = NewUser,
    responses(
        (status = 201, description = "Signed in", body = SignedInBody),
        (status = 409, description = "`email_taken`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_body`, `weak_password`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(web): State<Arc<Web>>,
    patience: Patience,
    JsonBody(form): JsonBody<NewUser>,
) -> Answer<(StatusCode, Json<SignedInBody>)> {
    let NewUser { email, name, password } = form;
    let form = SignUp { email, name, password, role: Role::Buyer };
    match sign_up(&web.ports, &patience.unhurried_passwords(&web.passwords), form).await? {
        SignedUp::Created(user) => Ok((StatusCode::CREATED, Json(begin_session(&web, &user)))),
        SignedUp::EmailTaken => Err(ProblemCode::EmailTaken.into()),
        SignedUp::WeakPassword => {
            Err(Problem::with_detail(ProblemCode::WeakPassword, "take 8 characters to 128 bytes"))
        }
        SignedUp::InvalidEmail => Err(Problem::invalid_field("email", "this is not an e-mail address")),
        SignedUp::InvalidName => Err(Problem::invalid_field("name", "give a name of 1 to 100 characters")),
    }
}

/// A new session of this person.
pub(crate) fn begin_session(web: &Web, user: &User) -> SignedInBody {
    SignedInBody {
        access_token: web.keyring.mint_session(user.id, user.role, web.ports.clock.now(), SESSION_LASTS),
        expires_in: SESSION_LASTS.as_secs(),
        user: UserBody::from(user),
    }
}
