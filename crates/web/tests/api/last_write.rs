//! Lists may come from a replica only for who certainly did not write a moment ago.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_app::ports::Clock as _;
use miaosha_app::ports::Freshness::{Fresh, StaleOk};
use miaosha_web::WebLimits;
use serde_json::json;

use crate::site::{Answer, Call, Site};

const A_MOMENT: Duration = Duration::from_secs(10);

/// The cookie of somebody who wrote so long before now, or after it.
fn cookie(site: &Site, seconds_ago: i64) -> String {
    format!("miaosha_wrote={}", site.clock.now().as_millis() / 1_000 - seconds_ago)
}

/// The cookie that an answer sets, and what is said of it.
fn set_cookie(answer: &Answer) -> (String, String) {
    let (pair, attributes) = answer.headers["set-cookie"].to_str().unwrap().split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

#[tokio::test]
async fn a_list_may_be_old_only_for_who_says_that_the_last_write_was_long_ago() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let (buyer, editor) = (site.person(Role::Buyer).await, site.person(Role::Editor).await);
    for (path, person) in [("/api/v1/orders", &buyer), ("/api/v1/admin/sales", &editor)] {
        let list = || Call::get(path).by(person);
        site.call(list()).await.require(StatusCode::OK);
        for unreadable in ["miaosha_wrote=", "miaosha_wrote=soon", &cookie(&site, -3_600)] {
            site.call(list().header("cookie", unreadable)).await.require(StatusCode::OK);
        }
        assert_eq!(watch.take_freshness(), [Fresh; 4], "{path}");
        for (seconds_ago, freshness) in [(0, Fresh), (9, Fresh), (12, StaleOk), (86_400, StaleOk)] {
            site.call(list().header("cookie", &cookie(&site, seconds_ago))).await.require(StatusCode::OK);
            assert_eq!(watch.take_freshness(), [freshness], "{path}, {seconds_ago} s after a write");
        }
    }
}

#[tokio::test]
async fn a_node_remembers_for_ten_seconds_who_wrote_through_it_whatever_a_cookie_says() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let (buyer, other) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    site.buy(&sale, &buyer).await;
    let long_ago = cookie(&site, 3_600);
    let orders = |person| site.call(Call::get("/api/v1/orders").by(person).header("cookie", &long_ago));
    orders(&buyer).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [StaleOk]);
    let give_up = Call::delete(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    site.call(give_up).await.require(StatusCode::OK);
    orders(&buyer).await.require(StatusCode::OK);
    orders(&other).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [Fresh, StaleOk]);
    site.clock.advance(A_MOMENT);
    orders(&buyer).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [StaleOk]);
}

#[tokio::test]
async fn a_write_tells_every_other_node_when_it_was_and_nothing_else() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({})).await;
    let buyer = site.person(Role::Buyer).await;
    site.buy(&sale, &buyer).await;
    let give_up = || Call::delete(&format!("/api/v1/sales/{sale}/claim")).by(&buyer);
    let before = site.clock.now().as_millis() / 1_000;
    let (wrote, attributes) = set_cookie(&site.call(give_up()).await);
    let after = site.clock.now().as_millis() / 1_000;
    let at: i64 = wrote.strip_prefix("miaosha_wrote=").unwrap().parse().unwrap();
    assert!((before..=after).contains(&at), "{wrote} between {before} and {after}");
    assert_eq!(attributes, "Max-Age=31536000; Path=/api; HttpOnly; SameSite=Lax");
    let refused = site.call(give_up()).await;
    refused.require_problem(409, "claim_over");
    assert!(!refused.headers.contains_key("set-cookie"), "nothing was written");

    // Longer than this node remembers by itself: as on another node, the cookie decides.
    site.clock.advance(A_MOMENT + Duration::from_secs(2));
    let orders = || Call::get("/api/v1/orders").by(&buyer);
    let read = site.call(orders().header("cookie", &wrote)).await;
    assert!(!read.headers.contains_key("set-cookie"), "a read marks nothing");
    assert_eq!(watch.take_freshness(), [StaleOk]);
}

#[tokio::test]
async fn to_sign_up_and_to_sign_in_are_writes() {
    let (site, _watch) = Site::open_watched(WebLimits::default()).await;
    let account = json!({"email": "ann@example.com", "name": "Ann", "password": "correct horse"});
    let signed_up = site.call(Call::post("/api/v1/users").json(&account)).await;
    signed_up.require(StatusCode::CREATED);
    let signed_in = site.call(Call::post("/api/v1/sessions").json(&account)).await;
    signed_in.require(StatusCode::OK);
    for answer in [signed_up, signed_in] {
        assert!(set_cookie(&answer).0.starts_with("miaosha_wrote="), "{answer:?}");
    }
}

#[tokio::test]
async fn the_operator_reads_fresh_lists() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let control = site.web.control_router(false);
    Site::call_on(&control, Call::get("/api/v1/admin/sales")).await.require(StatusCode::OK);
    assert_eq!(watch.take_freshness(), [Fresh]);
}
