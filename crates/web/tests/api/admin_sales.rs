//! `/admin/sales`.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::{Value, json};

use crate::site::{Call, Person, Site};

async fn act(site: &Site, editor: &Person, sale: &str, verb: &str) -> crate::site::Answer {
    site.call(Call::post(&format!("/api/v1/admin/sales/{sale}/{verb}")).by(editor)).await
}

async fn add_stock(site: &Site, editor: &Person, sale: &str, units: Value) -> crate::site::Answer {
    let call = Call::post(&format!("/api/v1/admin/sales/{sale}/add-stock")).by(editor);
    site.call(call.json(&json!({"units": units}))).await
}

#[tokio::test]
async fn only_editors_and_administrators_manage_sales_by_the_role_they_have_now() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    // A token that says more than the account may.
    let now = site.ports.clock.now();
    let forged = site.keyring.mint_session(buyer.id, Role::Admin, now, Duration::from_hours(1));
    let forged = Person { id: buyer.id, token: forged };
    let before = site.everything(&sale).await;
    for person in [&buyer, &forged] {
        for (method, path) in [
            ("GET", "/api/v1/admin/sales".to_owned()),
            ("POST", "/api/v1/admin/sales".to_owned()),
            ("GET", format!("/api/v1/admin/sales/{sale}")),
            ("POST", format!("/api/v1/admin/sales/{sale}/pause")),
            ("POST", format!("/api/v1/admin/sales/{sale}/resume")),
            ("POST", format!("/api/v1/admin/sales/{sale}/add-stock")),
            ("POST", format!("/api/v1/admin/sales/{sale}/close")),
            ("GET", format!("/api/v1/admin/sales/{sale}/verify")),
        ] {
            site.call(Call::new(method, &path).by(person)).await.require_problem(403, "forbidden");
            site.call(Call::new(method, &path)).await.require_problem(401, "unauthenticated");
        }
    }
    assert_eq!(site.everything(&sale).await, before);
    for role in [Role::Editor, Role::Admin] {
        let person = site.person(role).await;
        site.call(Call::get("/api/v1/admin/sales").by(&person)).await.require(StatusCode::OK);
    }
}

#[tokio::test]
async fn a_planned_sale_counts_at_once_and_shows_its_book() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let plan = json!({
        "title": {"en": "Console", "zh-TW": "主機"}, "stock": 10, "standby": 5, "max_people": 20,
        "starts_at": "2099-01-01T00:00:00+08:00", "lasts_seconds": 60, "hold_seconds": 0.5, "price": "5",
        "currency": "EUR", "question": "Who?", "choices": ["Sony", "Microsoft"], "answer": "Sony",
    });
    let made = site.call(Call::post("/api/v1/admin/sales").by(&editor).json(&plan)).await;
    let made = made.require(StatusCode::CREATED);
    let expected = json!({
        "title": "Console", "stock": 10, "free": 10, "taken": 0, "incoming": 0, "standing": 0,
        "standby_limit": 5, "max_people": 20, "answer": "Sony", "state": "scheduled", "version": 1, "claims": 0,
        "starts_at": "2098-12-31T16:00:00.000Z", "ends_at": "2098-12-31T16:01:00.000Z", "hold_seconds": 0.5,
        "price": {"amount": "5.00", "currency": "EUR"}, "paused": false, "closed": false, "time_zone": "UTC",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&made[name], value, "{name}");
    }
    let id = made["id"].as_str().unwrap();
    site.call(Call::get(&format!("/api/v1/sales/{id}"))).await.require(StatusCode::OK);
    let list = site.call(Call::get("/api/v1/admin/sales").by(&editor)).await.require(StatusCode::OK);
    assert_eq!(list["items"][0]["id"], id);
}

#[tokio::test]
async fn a_bad_plan_is_refused_by_field_and_nothing_is_stored() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let good = json!({"title": "Console", "stock": 10, "starts_in_seconds": 5});
    let cases = [
        ("title", json!(""), "title"),
        ("stock", json!(0), "stock"),
        ("stock", json!(-1), "stock"),
        ("stock", json!("ten"), "stock"),
        ("stock", json!(1.5), "stock"),
        ("price", json!("-1.00"), "price"),
        ("hold_seconds", json!(0.01), "hold_seconds"),
        ("lasts_seconds", json!(0), "lasts_seconds"),
        ("max_people", json!(19), "max_people"),
        ("starts_at", json!("tomorrow"), "starts_at"),
        ("surprise", json!(1), "surprise"),
    ];
    for (name, value, field) in cases {
        let mut plan = good.clone();
        plan[name] = value;
        let answer = site.call(Call::post("/api/v1/admin/sales").by(&editor).json(&plan)).await;
        assert_eq!(answer.require_problem(422, "invalid_body")["field"], field, "{plan}");
    }
    let list = site.call(Call::get("/api/v1/admin/sales").by(&editor)).await.require(StatusCode::OK);
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn a_sale_is_paused_resumed_grown_and_closed() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let buyer = site.person(Role::Buyer).await;
    let ask = || Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));

    let paused = act(&site, &editor, &sale, "pause").await.require(StatusCode::OK);
    assert_eq!((&paused["state"], &paused["paused"]), (&json!("paused"), &json!(true)));
    site.call(ask()).await.require_problem(403, "paused");
    let again = act(&site, &editor, &sale, "pause").await.require(StatusCode::OK);
    assert_eq!(again["version"], paused["version"], "repeating it changes nothing");
    assert_eq!(act(&site, &editor, &sale, "resume").await.require(StatusCode::OK)["state"], "open");

    let grown = add_stock(&site, &editor, &sale, json!(4)).await.require(StatusCode::OK);
    assert_eq!((&grown["stock"], &grown["free"]), (&json!(5), &json!(5)));
    for units in [json!(-1), json!(0), json!("4"), json!(1_000_000)] {
        let refused = add_stock(&site, &editor, &sale, units).await;
        assert_eq!(refused.require_problem(422, "invalid_body")["field"], "units");
    }

    assert_eq!(act(&site, &editor, &sale, "close").await.require(StatusCode::OK)["state"], "ended");
    site.call(ask()).await.require_problem(403, "ended");
    act(&site, &editor, &sale, "pause").await.require_problem(409, "sale_ended");
    act(&site, &editor, &sale, "resume").await.require_problem(409, "sale_ended");
    add_stock(&site, &editor, &sale, json!(1)).await.require_problem(409, "sale_ended");
    act(&site, &editor, &sale, "close").await.require(StatusCode::OK);
}

#[tokio::test]
async fn a_recount_says_what_the_rows_add_up_to() {
    let site = Site::open().await;
    let editor = site.person(Role::Editor).await;
    let sale = site.sale(json!({"stock": 1, "standby": 1})).await;
    for _ in 0..2 {
        let buyer = site.person(Role::Buyer).await;
        site.buy(&sale, &buyer).await;
    }
    let path = format!("/api/v1/admin/sales/{sale}/verify");
    let recount = site.call(Call::get(&path).by(&editor)).await.require(StatusCode::OK);
    let expected = json!({
        "sale": sale, "stock": 1, "free": 0, "reserved": 1, "paying": 0, "paid": 0, "refunded": 0, "standby": 1,
        "rejected": 0, "orders": 0, "refunds": 0, "ok": true, "broken": [],
    });
    assert_eq!(recount, expected);
}
