//! What only the owner of a node's data directory may do, besides everything under `/admin`: over the control socket,
//! never over the network.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use miaosha_app::model::{Role, User};
use miaosha_app::ports::PortError;
use miaosha_app::recover::recover;
use miaosha_app::sign_up::{SignUp, SignedUp, new_password, sign_up};
use miaosha_domain::ids::UserId;
use serde::{Deserialize, Serialize};

use super::{admin, layers};
use crate::extract::{JsonBody, Operator};
use crate::problem::{Answer, Problem, ProblemCode};
use crate::web::Web;
use crate::wire::UserBody;
use crate::writes::{Writes, run_to_end};

/// The most tokens of one call.
const TOKENS_MAX: u64 = 1_000;

/// Every route under `/admin`, for an operator, and the routes of this module. Tokens are minted only if the
/// configuration allows it.
pub(crate) fn router(web: &Arc<Web>, mints_tokens: bool) -> Router {
    let body_len_max = web.limits.admin_body_len_max;
    let writes = middleware::from_fn_with_state(
        Writes { web: web.clone(), body_len_max, answer_within: None },
        run_to_end,
    );
    let (admin, _document) = admin::routes().merge(admin::recount_routes()).split_for_parts();
    let tokens = if mints_tokens { post(mint_tokens) } else { post(refuse_tokens) };
    let api = admin
        .route("/admin/users", post(create_user))
        .route("/admin/tokens", tokens)
        .route("/admin/recover", post(recover_site));
    Router::new()
        .nest("/api/v1", api)
        .route_layer(writes)
        .layer(middleware::from_fn(as_operator))
        .method_not_allowed_fallback(layers::method_not_allowed)
        .fallback(async || Problem::new(ProblemCode::NotFound))
        .with_state(web.clone())
}

async fn as_operator(mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Operator);
    next.run(request).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStaff {
    email: String,
    role: String,
}

/// An account and the password that is told once.
#[derive(Debug, Serialize)]
struct StaffBody {
    #[serde(flatten)]
    user: UserBody,
    password: String,
}

async fn create_user(
    State(web): State<Arc<Web>>,
    JsonBody(form): JsonBody<NewStaff>,
) -> Answer<(StatusCode, Json<StaffBody>)> {
    let role = Role::lookup(&form.role)
        .ok_or_else(|| Problem::invalid_field("role", "give `buyer`, `editor` or `admin`"))?;
    let password = new_password(web.ports.random.as_ref());
    let name = form.email.split('@').next().unwrap_or_default().to_owned();
    let form = SignUp { email: form.email, name, password: password.clone(), role };
    match sign_up(&web.ports, web.passwords.as_ref(), form).await? {
        SignedUp::Created(user) => {
            Ok((StatusCode::CREATED, Json(StaffBody { user: UserBody::from(&user), password })))
        }
        SignedUp::EmailTaken => Err(ProblemCode::EmailTaken.into()),
        SignedUp::InvalidEmail | SignedUp::InvalidName | SignedUp::WeakPassword => {
            Err(Problem::invalid_field("email", "this is not an e-mail address"))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    first: u64,
    last: u64,
    ttl_seconds: f64,
}

#[derive(Debug, Serialize)]
struct MintedBody {
    tokens: Vec<String>,
}

/// A session for each of the load-test users `first..=last`, in order; makes those that are missing.
async fn mint_tokens(
    State(web): State<Arc<Web>>,
    JsonBody(mint): JsonBody<Mint>,
) -> Answer<Json<MintedBody>> {
    let Mint { first, last, ttl_seconds } = mint;
    if first > last || last - first >= TOKENS_MAX {
        return Err(Problem::invalid_field("last", "ask for 1 to 1000 users at a time"));
    }
    let lasts = Duration::try_from_secs_f64(ttl_seconds)
        .map_err(|_| Problem::invalid_field("ttl_seconds", "give a number of seconds"))?;
    let now = web.ports.clock.now();
    let new_id =
        || UserId::new(web.ports.ids.next()).map_err(|error| PortError::terminal("making an id", error));
    let users = (first..=last).map(|number| {
        Ok(User {
            id: new_id()?,
            email: format!("load-{number}@example.invalid"),
            name: format!("Load {number}"),
            role: Role::Buyer,
            password_hash: None,
            created_at: now,
        })
    });
    let users = users.collect::<Result<Vec<User>, PortError>>()?;
    let ids = web.ports.users.create_missing(&users).await?;
    let mint = |id| web.keyring.mint_session(id, Role::Buyer, now, lasts);
    Ok(Json(MintedBody { tokens: ids.into_iter().map(mint).collect() }))
}

/// The sales whose caches were rebuilt.
#[derive(Debug, Serialize)]
struct RecoveredBody {
    sales: Vec<String>,
}

async fn recover_site(State(web): State<Arc<Web>>) -> Answer<Json<RecoveredBody>> {
    let sales = recover(&web.ports).await?;
    Ok(Json(RecoveredBody { sales: sales.iter().map(ToString::to_string).collect() }))
}

async fn refuse_tokens() -> Problem {
    let say =
        "set `[dev] token_mint = true` (MIAOSHA_DEV__TOKEN_MINT=true) to mint tokens, never in production";
    Problem::with_detail(ProblemCode::Forbidden, say)
}
