//! A claim as its person sees it: the answer of `GET …/claim`, and the event `claim`.

use miaosha_app::look_up_claim::{ClaimView, PersonalStanding};
use miaosha_domain::claim::ClaimStatus;
use miaosha_domain::ids::SaleId;
use miaosha_domain::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Moment;
use crate::tokens::{Checkout, Keyring};

/// What a person has in a sale.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Claim)]
pub struct ClaimBody {
    #[schema(value_type = String)]
    sale: SaleId,
    /// `none`, `queued`, `reserved`, `standby`, `paying`, `paid`, `expired`, `released`, `left`, `rejected`, `refunded`.
    status: &'static str,
    /// Counts the changes; a lower one than known is to be ignored.
    rev: u64,
    /// Orders those who stand by.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The place in standby, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// Until when a reservation may be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Moment>,
    /// Pays for the reservation; only while `reserved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkout_token: Option<String>,
    /// The id of the order, once paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    server_time: Moment,
}

impl ClaimBody {
    /// The claim as told at `now`. A reservation comes with its checkout token, as long as it may be paid.
    pub fn new(view: &ClaimView, keyring: &Keyring, now: Timestamp) -> Self {
        let mut body = Self {
            sale: view.sale,
            status: view.standing.name(),
            rev: view.standing.rev(),
            seq: None,
            position: view.position,
            deadline: None,
            checkout_token: None,
            order: view.order.map(|order| order.to_string()),
            server_time: Moment(now),
        };
        let PersonalStanding::Claim(claim) = view.standing else { return body };
        body.seq = Some(claim.seq);
        let Some(deadline) = claim.deadline.filter(|_| claim.status.is_holding()) else { return body };
        body.deadline = Some(Moment(deadline));
        if claim.status == ClaimStatus::Reserved && now < deadline {
            let checkout = Checkout { user: claim.user, sale: claim.sale, seq: claim.seq, deadline };
            body.checkout_token = Some(keyring.mint_checkout(&checkout));
        }
        body
    }
}
