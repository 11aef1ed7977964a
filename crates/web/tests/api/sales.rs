//! `GET /sales`, `GET /sales/{id}`.

use std::time::{Duration, Instant};

use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_web::WebLimits;
use serde_json::{Value, json};

use crate::site::{Answer, Call, Site};

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

#[tokio::test]
async fn a_thousand_page_loads_ask_no_store_anything() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sales = [site.sale(json!({})).await, site.sale(json!({"starts_in_seconds": 60})).await];
    let before = watch.calls();
    for number in 0..500 {
        let sale = format!("/api/v1/sales/{}", sales[number % 2]);
        for path in [sale.as_str(), "/api/v1/sales"] {
            let language = if number % 3 == 0 { "zh-TW" } else { "en" };
            let answer = site.call(Call::get(path).header("accept-language", language)).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
    assert_eq!(watch.calls(), before);
}

#[tokio::test]
async fn whoever_has_a_page_is_told_that_it_still_holds_and_what_time_it_is() {
    let site = Site::open().await;
    let sale = site.sale(json!({"starts_in_seconds": 60})).await;
    for path in [format!("/api/v1/sales/{sale}"), "/api/v1/sales".to_owned()] {
        let first = site.call(Call::get(&path)).await;
        assert_eq!(first.headers["content-type"], "application/json");
        assert_eq!(first.headers["cache-control"], "no-store");
        let etag = first.headers["etag"].to_str().unwrap().to_owned();
        let again = Call::get(&path).header("if-none-match", &format!("\"x\", {etag}"));
        site.clock.advance(Duration::from_secs(1));
        let still = site.call(again.clone()).await;
        assert_eq!((still.status, still.text().as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(still.headers["etag"], etag.as_str());
        let time = |answer: &Answer| answer.headers["server-time"].to_str().unwrap().to_owned();
        assert!(time(&still) > time(&first), "{} and {}", time(&still), time(&first));
        let editor = site.person(Role::Editor).await;
        let more = Call::post(&format!("/api/v1/admin/sales/{sale}/add-stock")).by(&editor);
        site.call(more.json(&json!({"units": 1}))).await.require(StatusCode::OK);
        site.call(again).await.require(StatusCode::OK);
    }
}

/// Of what is bounded by the second, at most so many seconds' worth.
fn seconds_begun(since: Instant) -> usize {
    usize::try_from(since.elapsed().as_secs()).unwrap() + 1
}

#[tokio::test]
async fn a_sale_that_does_not_exist_is_looked_up_once_a_second() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let began = Instant::now();
    for _ in 0..50 {
        site.call(Call::get("/api/v1/sales/77")).await.require_problem(404, "no_such_sale");
    }
    assert!(watch.calls() <= seconds_begun(began), "{} look-ups", watch.calls());
}

#[tokio::test]
async fn made_up_sales_hardly_reach_the_database_and_hold_up_no_known_one() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let (before, began) = (watch.calls(), Instant::now());
    let mut refused = Vec::new();
    for made_up in 1..=200 {
        let answer = site.call(Call::get(&format!("/api/v1/sales/{made_up}"))).await;
        if answer.status != StatusCode::NOT_FOUND {
            refused.push(answer);
        }
    }
    let looked_up = watch.calls() - before;
    assert!(looked_up <= 20 * seconds_begun(began), "{looked_up} look-ups");
    assert_eq!(looked_up + refused.len(), 200, "nobody is told more than is known");
    for answer in refused {
        answer.require_problem(503, "overloaded");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    show(&site, &sale).await;
}
