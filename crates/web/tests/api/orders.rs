//! `GET /orders`, `GET /orders/{id}`.

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::json;

use crate::site::{Call, PAYS, Person, Site, payment};

async fn order(site: &Site, person: &Person) -> String {
    let sale = site.sale(json!({"title": {"en": "Console", "zh-TW": "主機"}})).await;
    let claim = site.buy(&sale, person).await;
    let call = Call::post("/api/v1/checkout").bearer(claim["checkout_token"].as_str().unwrap());
    let order = site.call(call.json(&payment(PAYS))).await.require(StatusCode::CREATED);
    order["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn orders_are_listed_newest_first_by_page_and_in_the_readers_language() {
    let site = Site::open().await;
    let person = site.person(Role::Buyer).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(order(&site, &person).await);
    }
    let first = Call::get("/api/v1/orders?limit=2").by(&person).header("accept-language", "zh");
    let first = site.call(first).await.require(StatusCode::OK);
    assert_eq!(first["items"][0]["id"], made[2]);
    assert_eq!(first["items"][1]["id"], made[1]);
    assert_eq!(first["items"][0]["lines"][0]["title"], "主機");
    let path = format!("/api/v1/orders?limit=2&after={}", first["next"].as_str().unwrap());
    let last = site.call(Call::get(&path).by(&person)).await.require(StatusCode::OK);
    assert_eq!((last["items"].as_array().unwrap().len(), &last["next"]), (1, &json!(null)));
    assert_eq!(last["items"][0]["id"], made[0]);
}

#[tokio::test]
async fn another_persons_order_is_as_if_it_did_not_exist() {
    let site = Site::open().await;
    let (person, other) = (site.person(Role::Buyer).await, site.person(Role::Admin).await);
    let path = format!("/api/v1/orders/{}", order(&site, &person).await);
    site.call(Call::get(&path).by(&person)).await.require(StatusCode::OK);
    let theirs = site.call(Call::get(&path).by(&other)).await;
    let missing = site.call(Call::get("/api/v1/orders/1").by(&other)).await;
    theirs.require_problem(404, "not_found");
    assert_eq!(theirs.bytes, missing.bytes);
    let list = site.call(Call::get("/api/v1/orders").by(&other)).await.require(StatusCode::OK);
    assert_eq!(list, json!({"items": [], "next": null}));
}
