//! `POST /users`, `POST /sessions`, `GET /me`.

use http::StatusCode;
use serde_json::{Value, json};

use crate::site::{Call, Site};

fn ann() -> Value {
    json!({"email": " Ann@Example.com", "name": "Ann", "password": "correct horse"})
}

#[tokio::test]
async fn a_newcomer_is_signed_in_and_comes_back_with_the_password() {
    let site = Site::open().await;
    let made = site.call(Call::post("/api/v1/users").json(&ann())).await.require(StatusCode::CREATED);
    assert_eq!(made["expires_in"], 86_400);
    assert_eq!(made["user"]["email"], "ann@example.com");
    assert_eq!(made["user"]["role"], "buyer");
    assert!(made["user"]["id"].is_string());

    let token = made["access_token"].as_str().unwrap();
    let me = site.call(Call::get("/api/v1/me").bearer(token)).await.require(StatusCode::OK);
    assert_eq!(me, made["user"]);

    let credentials = json!({"email": "ann@example.com", "password": "correct horse"});
    let again = site.call(Call::post("/api/v1/sessions").json(&credentials)).await;
    assert_eq!(again.require(StatusCode::OK)["user"], made["user"]);
    assert_eq!(again.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_address_is_taken_once() {
    let site = Site::open().await;
    site.call(Call::post("/api/v1/users").json(&ann())).await.require(StatusCode::CREATED);
    let other = json!({"email": "ANN@example.com", "name": "Other", "password": "another horse"});
    site.call(Call::post("/api/v1/users").json(&other)).await.require_problem(409, "email_taken");
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_told_by_code_and_field() {
    let site = Site::open().await;
    let cases = [
        ("email", json!("nobody"), "invalid_body", Some("email")),
        ("email", json!(7), "invalid_body", Some("email")),
        ("name", json!(" "), "invalid_body", Some("name")),
        ("password", json!("short"), "weak_password", None),
        ("password", json!("x".repeat(129)), "weak_password", None),
    ];
    for (name, value, code, field) in cases {
        let mut form = ann();
        form[name] = value;
        let answer = site.call(Call::post("/api/v1/users").json(&form)).await;
        let problem = answer.require_problem(422, code);
        assert_eq!(problem["field"].as_str(), field, "{problem}");
    }
    assert_eq!(site.ports.users.lookup_by_email("ann@example.com").await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_password_an_unknown_address_and_no_address_are_one_answer() {
    let site = Site::open().await;
    site.call(Call::post("/api/v1/users").json(&ann())).await.require(StatusCode::CREATED);
    for (email, password) in [
        ("ann@example.com", "wrong horse"),
        ("bob@example.com", "correct horse"),
        ("not an address", "correct horse"),
        ("ann@example.com", ""),
    ] {
        let credentials = json!({"email": email, "password": password});
        let answer = site.call(Call::post("/api/v1/sessions").json(&credentials)).await;
        answer.require_problem(401, "bad_credentials");
    }
}
