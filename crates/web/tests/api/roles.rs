//! Processes that serve a part of the site.

use axum::Router;
use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_web::Serves;
use serde_json::json;

use crate::site::{Call, Site};

const NOTHING: Serves = Serves { buying: false, sockets: false, general: false };

/// A call of each part that is not the buy route.
fn general_calls(sale: &str) -> Vec<Call> {
    let paths = ["/", "/docs", "/api/openapi.json", "/api/v1/sales", "/api/v1/nothing", "/sales/1"];
    let mut calls: Vec<Call> = paths.into_iter().map(Call::get).collect();
    calls.push(Call::get(&format!("/api/v1/sales/{sale}")));
    calls.push(Call::post("/api/v1/sessions").json(&json!({})));
    calls
}

async fn require_operations(router: &Router) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(Site::call_on(router, Call::get(path)).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_publisher_serves_the_buy_route_and_its_health() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let router = site.web.router(Serves { buying: true, ..NOTHING });
    require_operations(&router).await;
    let buy = Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
    let queued = Site::call_on(&router, buy).await;
    assert_eq!(queued.require(StatusCode::ACCEPTED), json!({"status": "queued"}));
    assert_eq!(queued.headers["cache-control"], "no-store");
    for call in general_calls(&sale).into_iter().chain([Call::get("/socket.io/?EIO=4&transport=polling")]) {
        Site::call_on(&router, call).await.require_problem(421, "misdirected");
    }
}

#[tokio::test]
async fn a_push_node_serves_no_page_and_takes_no_request() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let router = site.web.router(Serves { sockets: true, ..NOTHING });
    require_operations(&router).await;
    let buy = Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
    for call in general_calls(&sale).into_iter().chain([buy]) {
        Site::call_on(&router, call).await.require_problem(421, "misdirected");
    }
}

#[tokio::test]
async fn a_general_node_serves_all_but_buying_and_sockets_and_documents_them() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let router = site.web.router(Serves { general: true, ..NOTHING });
    require_operations(&router).await;
    for call in general_calls(&sale) {
        assert_ne!(Site::call_on(&router, call).await.status, StatusCode::MISDIRECTED_REQUEST);
    }
    let buy = Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
    let sockets = ["/socket.io/?EIO=4&transport=polling", "/socket.io/more"].map(Call::get);
    for call in [buy].into_iter().chain(sockets) {
        Site::call_on(&router, call).await.require_problem(421, "misdirected");
    }
    let document = Site::call_on(&router, Call::get("/api/openapi.json")).await.require(StatusCode::OK);
    let whole = site.call(Call::get("/api/openapi.json")).await.require(StatusCode::OK);
    assert_eq!(document, whole);
}
