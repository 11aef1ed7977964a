//! `POST /sales/{id}/requests`: what passes. What is refused is in `bad_requests`.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::json;

use crate::site::{Call, PAYS, Site, payment};

#[tokio::test]
async fn a_request_is_queued_and_becomes_a_reservation_standby_or_sold_out() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1, "standby": 1})).await;
    let (first, second, third) =
        (site.person(Role::Buyer).await, site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    let path = format!("/api/v1/sales/{sale}/requests");
    let ask = |person| Call::post(&path).by(person).json(&json!({"answer": "anything"}));

    let answer = site.call(ask(&first)).await;
    assert_eq!(answer.require(StatusCode::ACCEPTED), json!({"status": "queued"}));
    assert_eq!(answer.headers["content-type"], "application/json");
    let claim = site.claim_when(&sale, &first, |claim| claim["status"] == "reserved").await;
    assert_eq!((&claim["rev"], &claim["seq"]), (&json!(1), &json!(1)));
    assert!(claim["checkout_token"].is_string() && claim["deadline"].is_string());

    let claim = site.buy(&sale, &second).await;
    assert_eq!((&claim["status"], &claim["position"]), (&json!("standby"), &json!(1)));
    assert!(claim.get("checkout_token").is_none());

    site.board_when(&sale, |sale| sale.book().sold_out()).await;
    let sold_out = site.call(ask(&third)).await;
    assert_eq!(sold_out.require(StatusCode::OK), json!({"status": "sold_out"}));
    assert_eq!(site.claim(&sale, &third).await["status"], "none");
}

#[tokio::test]
async fn a_repeat_is_answered_with_the_claim_as_it_is_now() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let person = site.person(Role::Buyer).await;
    let claim = site.buy(&sale, &person).await;
    let path = format!("/api/v1/sales/{sale}/requests");
    let ask = || Call::post(&path).by(&person).json(&json!({"answer": ""}));
    let status = |name: &'static str| {
        let (site, ask) = (&site, ask());
        async move {
            loop {
                let answer = site.call(ask.clone()).await;
                if answer.status == StatusCode::OK && answer.json()["status"] == name {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), status("reserved")).await.unwrap();
    let token = claim["checkout_token"].as_str().unwrap();
    let paid = site.call(Call::post("/api/v1/checkout").bearer(token).json(&payment(PAYS))).await;
    paid.require(StatusCode::CREATED);
    tokio::time::timeout(Duration::from_secs(20), status("paid")).await.unwrap();
    let snapshot = site.everything(&sale).await;
    site.call(ask()).await.require(StatusCode::OK);
    assert_eq!(site.everything(&sale).await, snapshot);
}

#[tokio::test]
async fn the_right_answer_counts_in_any_language() {
    let site = Site::open().await;
    let sale = site
        .sale(json!({
            "question": {"en": "Who?", "zh-TW": "誰？"}, "answer": "Sony",
            "choices": [{"en": "Sony", "zh-TW": "索尼"}, {"en": "Microsoft", "zh-TW": "微軟"}],
        }))
        .await;
    let path = format!("/api/v1/sales/{sale}/requests");
    for answer in [" sony ", "索尼"] {
        let person = site.person(Role::Buyer).await;
        let answer = site.call(Call::post(&path).by(&person).json(&json!({"answer": answer}))).await;
        answer.require(StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn without_a_question_no_answer_is_needed_and_unknown_fields_do_no_harm() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 10})).await;
    let path = format!("/api/v1/sales/{sale}/requests");
    for body in
        [json!({}), json!({"answer": null}), json!({"answer": "x", "entry": "e", "pass": 7, "more": [1]})]
    {
        let person = site.person(Role::Buyer).await;
        site.call(Call::post(&path).by(&person).json(&body)).await.require(StatusCode::ACCEPTED);
    }
}

#[tokio::test]
async fn a_unit_that_comes_back_is_sold_although_the_people_cap_was_reached() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 2, "standby": 0, "max_people": 2})).await;
    let people = [site.person(Role::Buyer).await, site.person(Role::Buyer).await];
    for person in &people {
        site.buy(&sale, person).await;
    }
    let claim = format!("/api/v1/sales/{sale}/claim");
    site.call(Call::delete(&claim).by(&people[0])).await.require(StatusCode::OK);
    site.board_when(&sale, |sale| sale.book().free() == 1).await;
    let third = site.person(Role::Buyer).await;
    let path = format!("/api/v1/sales/{sale}/requests");
    site.call(Call::post(&path).by(&third).json(&json!({"answer": ""}))).await.require(StatusCode::ACCEPTED);
}
