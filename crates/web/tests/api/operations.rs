//! `/healthz`, `/readyz`, `/metrics`, `/api/openapi.json`, `/docs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use metrics_exporter_prometheus::PrometheusBuilder;
use miaosha_app::model::Role;
use miaosha_web::{ProblemCode, stand_in};
use serde_json::json;

use crate::site::{Call, Site};

#[tokio::test]
async fn a_node_that_is_not_ready_is_healthy_and_says_why() {
    let site = Site::open().await;
    let ready = site.call(Call::get("/readyz")).await.require(StatusCode::OK);
    assert_eq!(ready, json!({"ready": true, "reasons": []}));
    site.health.is_draining.store(true, Ordering::SeqCst);
    let unready = site.call(Call::get("/readyz")).await.require(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready, json!({"ready": false, "reasons": ["draining"]}));
    assert_eq!(site.call(Call::get("/healthz")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_process_that_cannot_open_its_site_yet_lives_and_answers_nothing_else() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let figures = PrometheusBuilder::new().build_recorder().handle();
    let router = stand_in(Arc::new(|| vec!["no database".to_owned()]), figures);
    let call = async |call| Site::call_on(&router, call).await;
    let unready = call(Call::get("/readyz")).await.require(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unready, json!({"ready": false, "reasons": ["no database"]}));
    for path in ["/healthz", "/metrics"] {
        assert_eq!(call(Call::get(path)).await.status, StatusCode::OK, "{path}");
    }
    let buy = Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
    let look_up = Call::get(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    let others = ["/", "/api/v1/sales", "/socket.io/?EIO=4&transport=polling"].map(Call::get);
    for refused in [buy, look_up].into_iter().chain(others) {
        let answer = call(refused).await;
        answer.require_problem(503, "unavailable");
        assert!(answer.headers.contains_key("retry-after") && answer.headers["cache-control"] == "no-store");
    }
}

#[tokio::test]
async fn figures_are_in_the_text_format() {
    let site = Site::open().await;
    let answer = site.call(Call::get("/metrics")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
}

#[tokio::test]
async fn the_description_has_every_call_and_every_code() {
    let site = Site::open().await;
    let api = site.call(Call::get("/api/openapi.json")).await.require(StatusCode::OK);
    assert!(api["openapi"].as_str().unwrap().starts_with("3."));
    let calls = [
        ("post", "/api/v1/users"),
        ("post", "/api/v1/sessions"),
        ("get", "/api/v1/me"),
        ("get", "/api/v1/sales"),
        ("get", "/api/v1/sales/{id}"),
        ("post", "/api/v1/sales/{id}/requests"),
        ("get", "/api/v1/sales/{id}/claim"),
        ("delete", "/api/v1/sales/{id}/claim"),
        ("post", "/api/v1/checkout"),
        ("get", "/api/v1/orders"),
        ("get", "/api/v1/orders/{id}"),
        ("get", "/api/v1/admin/sales"),
        ("post", "/api/v1/admin/sales"),
        ("get", "/api/v1/admin/sales/{id}"),
        ("post", "/api/v1/admin/sales/{id}/pause"),
        ("post", "/api/v1/admin/sales/{id}/resume"),
        ("post", "/api/v1/admin/sales/{id}/add-stock"),
        ("post", "/api/v1/admin/sales/{id}/close"),
        ("get", "/api/v1/admin/sales/{id}/verify"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    ];
    for (method, path) in calls {
        assert!(api["paths"][path][method].is_object(), "{method} {path}");
    }
    let text = api.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(api.pointer(pointer).is_some(), "{pointer} is not there");
    }
    let listed: Vec<_> =
        api["x-problem-codes"].as_array().unwrap().iter().map(|code| &code["code"]).collect();
    let codes: Vec<_> = ProblemCode::ALL.iter().map(|code| json!(code.name())).collect();
    assert_eq!(listed, codes.iter().collect::<Vec<_>>());
    assert_eq!(api["components"]["schemas"]["Problem"]["properties"]["code"]["enum"], json!(codes));
}

#[tokio::test]
async fn the_documentation_loads_nothing_from_elsewhere() {
    let site = Site::open().await;
    for (path, content_type) in
        [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")]
    {
        let answer = site.call(Call::get(path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(content_type), "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
        let text = answer.text();
        assert!(!text.contains("http://") && !text.contains("https://"), "{path}");
    }
    site.call(Call::get("/docs/nothing.js")).await.require_problem(404, "not_found");
}
