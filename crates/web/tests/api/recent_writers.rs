//! Lists may come from a replica, but for whoever wrote a moment ago.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_app::ports::Freshness::{Fresh, StaleOk};
use miaosha_web::WebLimits;
use serde_json::json;

use crate::site::{Call, Site};

const REMEMBERED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn ones_orders_are_fresh_for_ten_seconds_after_one_wrote_through_this_node() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let (buyer, other) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    site.buy(&sale, &buyer).await;
    let orders = |person| site.call(Call::get("/api/v1/orders").by(person));
    orders(&buyer).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [StaleOk]);
    let give_up = Call::delete(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    site.call(give_up).await.require(StatusCode::OK);
    orders(&buyer).await.require(StatusCode::OK);
    orders(&other).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [Fresh, StaleOk]);
    site.clock.advance(REMEMBERED);
    orders(&buyer).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [StaleOk]);
}

#[tokio::test]
async fn an_editor_sees_what_he_planned() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let editor = site.person(Role::Editor).await;
    let list = || site.call(Call::get("/api/v1/admin/sales").by(&editor));
    list().await.require(StatusCode::OK);
    let plan = json!({"title": "Console", "stock": 2, "starts_in_seconds": 0, "price": "199.00"});
    site.call(Call::post("/api/v1/admin/sales").by(&editor).json(&plan)).await.require(StatusCode::CREATED);
    list().await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [StaleOk, Fresh]);
}

#[tokio::test]
async fn a_write_marks_the_browser_for_every_other_node_and_says_nothing_else() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    site.buy(&sale, &buyer).await;
    let give_up = || Call::delete(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    let written = site.call(give_up()).await;
    let cookie = written.headers["set-cookie"].to_str().unwrap();
    assert_eq!(cookie, "miaosha_fresh=1; Max-Age=10; Path=/api; HttpOnly; SameSite=Lax");
    let refused = site.call(give_up()).await;
    refused.require_problem(409, "claim_over");
    assert!(!refused.headers.contains_key("set-cookie"), "nothing was written");

    site.clock.advance(REMEMBERED);
    let orders = Call::get("/api/v1/orders").by(&buyer);
    site.call(orders.clone().header("cookie", "miaosha_fresh=1")).await.require(StatusCode::OK);
    let read = site.call(orders).await;
    assert!(!read.headers.contains_key("set-cookie"), "a read marks nothing");
    assert_eq!(watch.take_freshness(), [Fresh, StaleOk]);
}
