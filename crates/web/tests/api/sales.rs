//! `GET /sales`, `GET /sales/{id}`.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::site::{Call, Site};

async fn show(site: &Site, sale: &str) -> Value {
    site.call(Call::get(&format!("/api/v1/sales/{sale}"))).await.require(StatusCode::OK)
}

#[tokio::test]
async fn a_sale_is_shown_as_the_contract_says_and_never_with_its_answer() {
    let site = Site::open().await;
    let sale = site
        .sale(json!({
            "stock": 100, "list_price": "1999.00", "hold_seconds": 60, "image": "/images/console.jpg",
            "question": "Who makes it?", "choices": ["Sony", "Microsoft"], "answer": "Sony",
        }))
        .await;
    let body = show(&site, &sale).await;
    let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "description",
        "ends_at",
        "hold_seconds",
        "id",
        "image",
        "list_price",
        "price",
        "question",
        "server_time",
        "starts_at",
        "state",
        "stock",
        "title",
    ];
    assert_eq!(fields, expected);
    assert_eq!(body["price"], json!({"amount": "199.00", "currency": "USD"}));
    assert_eq!(body["question"], json!({"text": "Who makes it?", "choices": ["Sony", "Microsoft"]}));
    assert_eq!(body["hold_seconds"], json!(60));
    assert_eq!(body["state"], "open");
    assert!(body["starts_at"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn what_a_sale_does_not_have_is_null() {
    let site = Site::open().await;
    let body = show(&site, &site.sale(json!({})).await).await;
    assert_eq!(body["description"], "");
    for name in ["image", "list_price", "question"] {
        assert_eq!(body[name], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn texts_are_in_the_language_asked_for() {
    let site = Site::open().await;
    let sale = site
        .sale(json!({
            "title": {"en": "Console", "zh-TW": "主機"}, "question": {"en": "Who?", "zh-TW": "誰？"},
            "choices": [{"en": "Sony", "zh-TW": "索尼"}, {"en": "Microsoft", "zh-TW": "微軟"}], "answer": "Sony",
        }))
        .await;
    for path in [format!("/api/v1/sales/{sale}"), "/api/v1/sales".to_owned()] {
        let call = Call::get(&path).header("accept-language", "de, zh;q=0.9, en;q=0.1");
        let answer = site.call(call).await;
        assert_eq!(answer.headers["content-language"], "zh-TW");
        assert_eq!(answer.headers["vary"], "accept-language");
        let body = answer.require(StatusCode::OK);
        let shown = if body["items"].is_array() { &body["items"][0] } else { &body };
        assert_eq!(shown["title"], "主機");
        assert_eq!(shown["question"]["choices"], json!(["索尼", "微軟"]));
    }
}

#[tokio::test]
async fn a_list_is_paged_newest_first() {
    let site = Site::open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(site.sale(json!({})).await);
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/sales?limit=2".to_owned();
    loop {
        let page = site.call(Call::get(&path)).await.require(StatusCode::OK);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|sale| sale["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/sales?limit=2&after={next}");
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_sale_opens_and_ends_by_the_servers_clock() {
    let site = Site::open().await;
    let sale = site.sale(json!({"starts_in_seconds": 60, "lasts_seconds": 60})).await;
    assert_eq!(show(&site, &sale).await["state"], "scheduled");
    site.clock.advance(Duration::from_mins(1));
    assert_eq!(show(&site, &sale).await["state"], "open");
    site.clock.advance(Duration::from_mins(1));
    assert_eq!(show(&site, &sale).await["state"], "ended");
}
