//! `GET` and `DELETE /sales/{id}/claim`: what the person has in a sale, and giving it up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use miaosha_app::give_up::{GivenUp, give_up as give_claim_up};
use miaosha_app::look_up_claim::ClaimView;
use miaosha_domain::settle::GiveUpError;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{Buyer, QueryOf, SalePath};
use crate::last_write::LastWrite;
use crate::problem::{Answer, ProblemBody, ProblemCode};
use crate::web::Web;
use crate::wire::ClaimBody;

/// What the person has in this sale.
#[utoipa::path(
    get, path = "/sales/{id}/claim", tag = "sales", security(("session" = [])),
    params(("id" = String, Path, description = "The sale")),
    responses(
        (status = 200, description = "The claim; `none` if there is none", body = ClaimBody),
        (status = 404, description = "`no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(web): State<Arc<Web>>,
    Buyer(session): Buyer,
    SalePath(id): SalePath,
    last_write: LastWrite,
) -> Answer<Json<ClaimBody>> {
    let sale = web.require_sale(id).await?;
    let view = web.claims.look_up(&sale, session.user, last_write).await?;
    Ok(body_of(&web, &view))
}

/// Which version of the claim is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct GiveUpQuery {
    /// Gives up only if the claim is still at this `rev`.
    rev: Option<u64>,
}

/// Give up a standby or a reservation.
#[utoipa::path(
    delete, path = "/sales/{id}/claim", tag = "sales", security(("session" = [])),
    params(("id" = String, Path, description = "The sale"), GiveUpQuery),
    responses(
        (status = 200, description = "The claim, `left` or `released`", body = ClaimBody),
        (status = 404, description = "`no_claim`, `no_such_sale`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`payment_in_progress`, `claim_over`, `claim_changed`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn give_up(
    State(web): State<Arc<Web>>,
    Buyer(session): Buyer,
    SalePath(id): SalePath,
    QueryOf(query): QueryOf<GiveUpQuery>,
) -> Answer<Json<ClaimBody>> {
    let sale = web.require_sale(id).await?;
    match give_claim_up(&web.ports, id, session.user, query.rev).await? {
        GivenUp::Done(claim) => Ok(body_of(&web, &web.claims.view(&sale, claim).await?)),
        GivenUp::NoClaim => Err(ProblemCode::NoClaim.into()),
        GivenUp::Refused(GiveUpError::PaymentInProgress) => Err(ProblemCode::PaymentInProgress.into()),
        GivenUp::Refused(GiveUpError::Over) => Err(ProblemCode::ClaimOver.into()),
        GivenUp::Refused(GiveUpError::Changed) => Err(ProblemCode::ClaimChanged.into()),
    }
}

fn body_of(web: &Web, view: &ClaimView) -> Json<ClaimBody> {
    Json(ClaimBody::new(view, &web.keyring, web.ports.clock.now()))
}
