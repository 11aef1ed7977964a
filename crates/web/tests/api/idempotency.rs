//! `Idempotency-Key` on writes.

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::json;

use crate::site::{Call, PAYS, Site, payment};

fn keyed(call: Call, key: &str) -> Call {
    call.header("idempotency-key", key)
}

#[tokio::test]
async fn the_same_key_and_body_have_the_same_answer_and_one_effect() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let path = format!("/api/v1/admin/sales/{sale}/add-stock");
    let add = || keyed(Call::post(&path).by(&editor).json(&json!({"units": 4})), "a key");
    let first = site.call(add()).await;
    assert_eq!(first.require(StatusCode::OK)["stock"], 5);
    let second = site.call(add()).await;
    assert_eq!((second.status, &second.bytes), (first.status, &first.bytes));
    assert_eq!(second.headers["content-type"], "application/json");
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert!(!first.headers.contains_key("idempotent-replayed"));

    let other_body = keyed(Call::post(&path).by(&editor).json(&json!({"units": 5})), "a key");
    site.call(other_body).await.require_problem(409, "idempotency_key_reused");
    let other_key = keyed(Call::post(&path).by(&editor).json(&json!({"units": 4})), "another key");
    assert_eq!(site.call(other_key).await.require(StatusCode::OK)["stock"], 9);
}

#[tokio::test]
async fn a_key_belongs_to_its_person_and_its_address() {
    let site = Site::open().await;
    let (one, other) = (site.person(Role::Editor).await, site.person(Role::Editor).await);
    let (here, there) = (site.sale(json!({"stock": 1})).await, site.sale(json!({"stock": 1})).await);
    for (sale, editor, stock) in [(&here, &one, 2), (&here, &other, 3), (&there, &one, 2)] {
        let path = format!("/api/v1/admin/sales/{sale}/add-stock");
        let call = keyed(Call::post(&path).by(editor).json(&json!({"units": 1})), "k");
        assert_eq!(site.call(call).await.require(StatusCode::OK)["stock"], stock);
    }
}

#[tokio::test]
async fn two_at_once_are_one() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let buyer = site.person(Role::Buyer).await;
    let claim = site.buy(&sale, &buyer).await;
    let token = claim["checkout_token"].as_str().unwrap();
    let pay = || keyed(Call::post("/api/v1/checkout").bearer(token).json(&payment(PAYS)), "pay once");
    let (first, second) = tokio::join!(site.call(pay()), site.call(pay()));
    assert_eq!(first.require(StatusCode::CREATED), second.require(StatusCode::CREATED));
    assert_eq!(site.call(pay()).await.require(StatusCode::CREATED)["id"], first.json()["id"]);
}

#[tokio::test]
async fn a_refusal_is_kept_too() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let path = format!("/api/v1/admin/sales/{sale}/add-stock");
    let nothing = || keyed(Call::post(&path).by(&editor).json(&json!({"units": 0})), "k");
    let first = site.call(nothing()).await;
    first.require_problem(422, "invalid_body");
    let second = site.call(nothing()).await;
    second.require_problem(422, "invalid_body");
    assert_eq!(second.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn nothing_is_kept_of_who_is_not_signed_in() {
    let site = Site::open().await;
    let sign_in = json!({"email": "bob@example.com", "password": "correct horse"});
    let sign_in = || keyed(Call::post("/api/v1/sessions").json(&sign_in), "k");
    site.call(sign_in()).await.require_problem(401, "bad_credentials");
    let bob = json!({"email": "bob@example.com", "name": "Bob", "password": "correct horse"});
    site.call(keyed(Call::post("/api/v1/users").json(&bob), "k")).await.require(StatusCode::CREATED);
    let again = site.call(keyed(Call::post("/api/v1/users").json(&bob), "k")).await;
    again.require_problem(409, "email_taken");
    site.call(sign_in()).await.require(StatusCode::OK);
    let other = site.call(sign_in()).await;
    other.require(StatusCode::OK);
    assert!(!other.headers.contains_key("idempotent-replayed"));
}

#[tokio::test]
async fn a_key_must_be_one() {
    let site = Site::open().await;
    let long = "k".repeat(256);
    for key in ["", " ", long.as_str(), "schlüssel"] {
        let call = keyed(Call::post("/api/v1/sessions").json(&json!({})), key);
        site.call(call).await.require_problem(422, "invalid_idempotency_key");
    }
}
