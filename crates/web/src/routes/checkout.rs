//! `POST /checkout`: pays for a reservation, proved by its checkout token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use miaosha_app::Ports;
use miaosha_app::check_out::{CheckOut, CheckedOut, check_out};
use miaosha_app::model::Shipping;
use miaosha_app::ports::PaymentMethod;
use miaosha_domain::payment::CheckOutError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{JsonBody, Languages, Payer};
use crate::patience::Patience;
use crate::problem::{Answer, Problem, ProblemBody, ProblemCode};
use crate::web::Web;
use crate::wire::{OrderBody, ShippingBody};

const NAME_LEN_MAX: usize = 100;
const PHONE_LEN_MAX: usize = 40;
const ADDRESS_LEN_MAX: usize = 500;

/// How to pay and where to send it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CheckOutBody {
    payment: PaymentBody,
    shipping: ShippingBody,
}

/// How to pay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "method", rename_all = "snake_case")]
enum PaymentBody {
    /// A card of the built-in sandbox.
    Sandbox {
        /// Its number.
        card: String,
    },
}

/// A payment under way.
#[derive(Debug, Serialize, ToSchema)]
struct PayingBody {
    /// `paying`.
    status: &'static str,
}

/// Pay.
#[utoipa::path(
    post, path = "/checkout", tag = "checkout", request_body = CheckOutBody, security(("checkout" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes repeating the call safe")),
    responses(
        (status = 201, description = "Paid: the order", body = OrderBody),
        (status = 202, description = "Under way: the end comes with the claim", body = PayingBody),
        (status = 401, description = "`unauthenticated` (not a checkout token), `token_expired`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 402, description = "`payment_declined`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`already_paid`, `payment_in_progress`, `reservation_over`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`invalid_card`, `invalid_body`", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(web): State<Arc<Web>>,
    Payer(checkout): Payer,
    languages: Languages,
    patience: Patience,
    JsonBody(body): JsonBody<CheckOutBody>,
) -> Answer<Response> {
    let PaymentBody::Sandbox { card } = body.payment;
    let request = CheckOut {
        sale: checkout.sale,
        user: checkout.user,
        seq: checkout.seq,
        method: PaymentMethod::Sandbox { card },
        shipping: read_shipping(body.shipping)?,
        lease: web.lease,
    };
    let provider = patience.unhurried_provider(&web.ports.provider);
    match check_out(&Ports { provider, ..web.ports.clone() }, request).await? {
        CheckedOut::Ordered(order) => {
            let body = Json(OrderBody::new(&order, &languages));
            Ok((StatusCode::CREATED, body).into_response())
        }
        CheckedOut::Paying => {
            Ok((StatusCode::ACCEPTED, Json(PayingBody { status: "paying" })).into_response())
        }
        CheckedOut::Declined => Err(ProblemCode::PaymentDeclined.into()),
        CheckedOut::InvalidCard => Err(ProblemCode::InvalidCard.into()),
        CheckedOut::Refused(CheckOutError::AlreadyPaid) => Err(ProblemCode::AlreadyPaid.into()),
        CheckedOut::Refused(CheckOutError::PaymentInProgress) => Err(ProblemCode::PaymentInProgress.into()),
        CheckedOut::Refused(CheckOutError::ReservationOver) => Err(ProblemCode::ReservationOver.into()),
    }
}

fn read_shipping(body: ShippingBody) -> Answer<Shipping> {
    let ShippingBody { name, phone, address } = body;
    Ok(Shipping {
        name: read_line("shipping.name", &name, 1..=NAME_LEN_MAX)?,
        phone: read_line("shipping.phone", &phone, 0..=PHONE_LEN_MAX)?,
        address: read_line("shipping.address", &address, 1..=ADDRESS_LEN_MAX)?,
    })
}

fn read_line(field: &'static str, text: &str, len: std::ops::RangeInclusive<usize>) -> Answer<String> {
    let text = text.trim();
    if len.contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        let detail = format!("give {} to {} characters", len.start(), len.end());
        Err(Problem::invalid_field(field, detail))
    }
}
