//! `POST /checkout`.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::{Value, json};

use crate::site::{Call, DECLINED, PAYS, PAYS_LATER, Person, Site, payment};

async fn reserved(site: &Site) -> (String, Person, String) {
    let sale = site.sale(json!({"stock": 1, "hold_seconds": 600})).await;
    let person = site.person(Role::Buyer).await;
    let claim = site.buy(&sale, &person).await;
    let token = claim["checkout_token"].as_str().unwrap().to_owned();
    (sale, person, token)
}

fn pay(token: &str, card: &str) -> Call {
    Call::post("/api/v1/checkout").bearer(token).json(&payment(card))
}

#[tokio::test]
async fn a_reservation_is_paid_once() {
    let site = Site::open().await;
    let (sale, person, token) = reserved(&site).await;
    let order = site.call(pay(&token, PAYS)).await.require(StatusCode::CREATED);
    assert_eq!((&order["sale"], &order["status"]), (&json!(sale), &json!("paid")));
    let money = |amount: &str| json!({"amount": amount, "currency": "USD"});
    assert_eq!(
        order["lines"],
        json!([{"title": "Console", "quantity": 1, "unit_price": money("199.00"), "total": money("199.00")}])
    );
    assert_eq!(
        order["totals"],
        json!({
            "net": money("199.00"), "tax": money("0.00"), "shipping": money("0.00"),
            "discount": money("0.00"), "total": money("199.00"),
        })
    );
    assert_eq!(order["shipping"], payment(PAYS)["shipping"]);
    let claim = site.claim(&sale, &person).await;
    assert_eq!((&claim["status"], &claim["order"]), (&json!("paid"), &order["id"]));
    let before = site.everything(&sale).await;
    site.call(pay(&token, PAYS)).await.require_problem(409, "already_paid");
    assert_eq!(site.everything(&sale).await, before);
}

#[tokio::test]
async fn a_declined_card_leaves_the_reservation_for_another() {
    let site = Site::open().await;
    let (sale, person, token) = reserved(&site).await;
    site.call(pay(&token, DECLINED)).await.require_problem(402, "payment_declined");
    let claim = site.claim(&sale, &person).await;
    assert_eq!(claim["status"], "reserved");
    assert_eq!(claim["checkout_token"], token, "the same reservation, the same token");
    site.call(pay(&token, PAYS)).await.require(StatusCode::CREATED);
}

#[tokio::test]
async fn a_card_that_never_pays_stores_nothing() {
    let site = Site::open().await;
    let (sale, _, token) = reserved(&site).await;
    let before = site.everything(&sale).await;
    for card in ["1234", "", "4242 4242 4242 4241"] {
        site.call(pay(&token, card)).await.require_problem(422, "invalid_card");
    }
    assert_eq!(site.everything(&sale).await, before);
}

#[tokio::test]
async fn a_payment_under_way_holds_the_claim_until_it_ends() {
    let site = Site::open().await;
    let (sale, person, token) = reserved(&site).await;
    let answer = site.call(pay(&token, PAYS_LATER)).await;
    assert_eq!(answer.require(StatusCode::ACCEPTED), json!({"status": "paying"}));
    site.call(pay(&token, PAYS)).await.require_problem(409, "payment_in_progress");
    site.clock.advance(Duration::from_secs(6));
    site.sweep().await;
    let claim = site.claim_when(&sale, &person, |claim| claim["status"] != "paying").await;
    assert_eq!(claim["status"], "paid");
    assert!(claim["order"].is_string());
}

#[tokio::test]
async fn a_reservation_given_up_cannot_be_paid() {
    let site = Site::open().await;
    let (sale, person, token) = reserved(&site).await;
    let path = format!("/api/v1/sales/{sale}/claim");
    site.call(Call::delete(&path).by(&person)).await.require(StatusCode::OK);
    site.call(pay(&token, PAYS)).await.require_problem(409, "reservation_over");
}

#[tokio::test]
async fn where_to_send_it_is_needed_and_said_by_field() {
    let site = Site::open().await;
    let (sale, _, token) = reserved(&site).await;
    let before = site.everything(&sale).await;
    let cases: [(&[&str], Value, &str); 6] = [
        (&["shipping", "name"], json!(" "), "shipping.name"),
        (&["shipping", "name"], json!("x".repeat(101)), "shipping.name"),
        (&["shipping", "address"], json!(""), "shipping.address"),
        (&["shipping", "phone"], json!(5), "shipping.phone"),
        (&["shipping"], json!("home"), "shipping"),
        (&["payment", "method"], json!("cash"), "payment.method"),
    ];
    for (path, value, field) in cases {
        let mut body = payment(PAYS);
        *path.iter().fold(&mut body, |inner, name| &mut inner[*name]) = value;
        let answer = site.call(Call::post("/api/v1/checkout").bearer(&token).json(&body)).await;
        assert_eq!(answer.require_problem(422, "invalid_body")["field"], field);
    }
    assert_eq!(site.everything(&sale).await, before);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_its_payment() {
    let site = Site::open().await;
    let (sale, person, token) = reserved(&site).await;
    let mut answer = Box::pin(site.call(pay(&token, PAYS)));
    // Begun, and then nobody waits for it any more.
    let begun = futures_util::poll!(answer.as_mut());
    assert!(begun.is_pending());
    drop(answer);
    let claim = site.claim_when(&sale, &person, |claim| claim["status"] == "paid").await;
    assert!(claim["order"].is_string());
    site.tasks.close();
    site.tasks.wait().await;
}
