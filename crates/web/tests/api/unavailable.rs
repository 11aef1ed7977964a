//! What is answered while a part behind the site is away or does not come back: soon, and never more than is true.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_web::WebLimits;
use serde_json::json;

use crate::site::{Answer, Call, PAYS, Site, payment};
use crate::watched::Mood;

/// No caller is kept waiting for long, so that a test of those who hang is over soon.
fn brisk() -> WebLimits {
    WebLimits { answer_within: Duration::from_millis(100), ..WebLimits::default() }
}

#[track_caller]
fn require_unavailable(answer: &Answer) {
    answer.require_problem(503, "unavailable");
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn every_call_that_needs_the_database_is_answered_soon_without_it() {
    let (site, watch) = Site::open_watched(brisk()).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let (buyer, other) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    let editor = site.person(Role::Editor).await;
    let claim = site.buy(&sale, &buyer).await;
    let token = claim["checkout_token"].as_str().unwrap();
    let path = format!("/api/v1/sales/{sale}/claim");
    let calls = || {
        [
            Call::delete(&path).by(&buyer),
            Call::get("/api/v1/me").by(&buyer),
            Call::get("/api/v1/orders").by(&buyer),
            Call::get("/api/v1/orders/1").by(&other),
            Call::get("/api/v1/sales/1"),
            Call::post("/api/v1/checkout").bearer(token).json(&payment(PAYS)),
            Call::post("/api/v1/sessions").json(&json!({"email": "a@b.c", "password": "correct horse"})),
            Call::get("/api/v1/admin/sales").by(&editor),
        ]
    };
    for mood in [Mood::Failing, Mood::Hanging] {
        watch.set(mood);
        for call in calls() {
            require_unavailable(&site.call(call).await);
        }
    }
    watch.set(Mood::Well);
    site.tasks.close();
    site.tasks.wait().await;
    let end = site.claim(&sale, &buyer).await;
    assert!(matches!(end["status"].as_str(), Some("paid" | "released")), "what was begun went on: {end}");
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_judges_no_buy_request() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let buyer = site.person(Role::Buyer).await;
    let ask = Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
    site.health.has_wrong_clock.store(true, Ordering::SeqCst);
    require_unavailable(&site.call(ask.clone()).await);
    assert_eq!(site.claim(&sale, &buyer).await["status"], "none");
    site.health.has_wrong_clock.store(false, Ordering::SeqCst);
    assert_eq!(site.call(ask).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_buy_request_that_nobody_confirms_is_not_said_to_be_queued() {
    for mood in [Mood::Failing, Mood::Hanging] {
        let (site, watch) = Site::open_watched(brisk()).await;
        let sale = site.sale(json!({})).await;
        let buyer = site.person(Role::Buyer).await;
        let buy = || Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&buyer).json(&json!({}));
        watch.set(mood);
        require_unavailable(&site.call(buy()).await);
        // Asking again shares the fate of the request under way, or is a new one.
        require_unavailable(&site.call(buy()).await);
        watch.set(Mood::Well);
        site.call(buy()).await.require(StatusCode::ACCEPTED);
        site.claim_when(&sale, &buyer, |claim| claim["status"] == "reserved").await;
    }
}

#[tokio::test]
async fn what_outlasts_its_caller_is_done_once_and_answered_when_asked_again() {
    let (site, watch) = Site::open_watched(brisk()).await;
    let editor = site.person(Role::Editor).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let path = format!("/api/v1/admin/sales/{sale}/add-stock");
    let add = Call::post(&path).by(&editor).json(&json!({"units": 4})).header("idempotency-key", "k");
    watch.set(Mood::Hanging);
    require_unavailable(&site.call(add.clone()).await);
    watch.set(Mood::Well);
    let done = site.call(add).await;
    assert_eq!(done.require(StatusCode::OK)["stock"], 5);
    assert_eq!(done.headers["idempotent-replayed"], "true");
}

#[tokio::test]
async fn work_that_outlasts_its_caller_keeps_its_place() {
    let limits = WebLimits { general_in_flight_max: 1, ..brisk() };
    let (site, watch) = Site::open_watched(limits).await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    let give_up = Call::delete(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    watch.set(Mood::Hanging);
    require_unavailable(&site.call(give_up).await);
    let refused = site.call(Call::get("/api/v1/sales")).await;
    refused.require_problem(503, "overloaded");
    watch.set(Mood::Well);
    site.tasks.close();
    site.tasks.wait().await;
    site.call(Call::get("/api/v1/sales")).await.require(StatusCode::OK);
}
