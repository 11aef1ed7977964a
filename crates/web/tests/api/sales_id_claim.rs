//! `GET` and `DELETE /sales/{id}/claim`.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use miaosha_app::ports::Clock as _;
use miaosha_web::WebLimits;
use serde_json::json;

use crate::site::{Answer, Call, PAYS, PAYS_LATER, Person, Site, payment};
use crate::watched::{Mood, Watch};

#[tokio::test]
async fn without_a_claim_there_is_none_and_nothing_to_give_up() {
    let site = Site::open().await;
    let sale = site.sale(json!({})).await;
    let person = site.person(Role::Buyer).await;
    let claim = site.claim(&sale, &person).await;
    assert_eq!((&claim["sale"], &claim["status"], &claim["rev"]), (&json!(sale), &json!("none"), &json!(0)));
    assert!(claim["server_time"].is_string());
    assert_eq!(claim.as_object().unwrap().len(), 4, "{claim}");
    let path = format!("/api/v1/sales/{sale}/claim");
    site.call(Call::delete(&path).by(&person)).await.require_problem(404, "no_claim");
}

#[tokio::test]
async fn a_reservation_given_up_goes_to_the_next_in_standby() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let (first, second) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    assert_eq!(site.buy(&sale, &first).await["status"], "reserved");
    assert_eq!(site.buy(&sale, &second).await["status"], "standby");
    let path = format!("/api/v1/sales/{sale}/claim");
    let released = site.call(Call::delete(&path).by(&first)).await.require(StatusCode::OK);
    assert_eq!((&released["status"], &released["rev"]), (&json!("released"), &json!(2)));
    assert!(released.get("checkout_token").is_none() && released.get("deadline").is_none());
    site.claim_when(&sale, &second, |claim| claim["status"] == "reserved").await;
    site.call(Call::delete(&path).by(&first)).await.require_problem(409, "claim_over");
}

#[tokio::test]
async fn a_claim_that_has_changed_is_not_given_up_by_its_old_rev() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let person = site.person(Role::Buyer).await;
    site.buy(&sale, &person).await;
    let before = site.everything(&sale).await;
    let path = format!("/api/v1/sales/{sale}/claim");
    let stale = site.call(Call::delete(&format!("{path}?rev=7")).by(&person)).await;
    stale.require_problem(409, "claim_changed");
    let malformed = site.call(Call::delete(&format!("{path}?rev=-1")).by(&person)).await;
    malformed.require_problem(422, "invalid_query");
    assert_eq!(site.everything(&sale).await, before);
    let left = site.call(Call::delete(&format!("{path}?rev=1")).by(&person)).await;
    assert_eq!(left.require(StatusCode::OK)["status"], "released");
}

#[tokio::test]
async fn while_a_payment_is_under_way_nothing_is_given_up() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1})).await;
    let person = site.person(Role::Buyer).await;
    let claim = site.buy(&sale, &person).await;
    let token = claim["checkout_token"].as_str().unwrap();
    let paying = site.call(Call::post("/api/v1/checkout").bearer(token).json(&payment(PAYS_LATER))).await;
    assert_eq!(paying.require(StatusCode::ACCEPTED), json!({"status": "paying"}));
    let claim = site.claim(&sale, &person).await;
    assert_eq!(claim["status"], "paying");
    assert!(claim.get("checkout_token").is_none() && claim["deadline"].is_string());
    let path = format!("/api/v1/sales/{sale}/claim");
    site.call(Call::delete(&path).by(&person)).await.require_problem(409, "payment_in_progress");
}

#[tokio::test]
async fn a_reservation_that_ran_out_is_expired_for_good() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1, "hold_seconds": 60})).await;
    let person = site.person(Role::Buyer).await;
    let token = site.buy(&sale, &person).await["checkout_token"].as_str().unwrap().to_owned();
    site.clock.advance(Duration::from_secs(61));
    let unswept = site.claim(&sale, &person).await;
    assert!(unswept.get("checkout_token").is_none(), "not even before the sweeper: {unswept}");
    let late = site.call(Call::post("/api/v1/checkout").bearer(&token).json(&payment(PAYS))).await;
    late.require_problem(401, "token_expired");
    site.sweep().await;
    let claim = site.claim_when(&sale, &person, |claim| claim["rev"] == 2).await;
    assert_eq!((&claim["status"], &claim["rev"]), (&json!("expired"), &json!(2)));
}

/// What a look-up is answered from memory while the stores fail, as soon as the memory is new enough: whatever a caller
/// says of the last write, but that it was a moment ago.
async fn remembered(site: &Site, watch: &Watch, sale: &str, person: &Person) -> serde_json::Value {
    let call = |wrote: &str| {
        let call = Call::get(&format!("/api/v1/sales/{sale}/claim")).by(person);
        call.header("cookie", &format!("a=b; miaosha_wrote={wrote}"))
    };
    watch.set(Mood::Failing);
    let answered = async |wrote: &str| {
        loop {
            let answer: Answer = site.call(call(wrote)).await;
            if answer.status == StatusCode::OK {
                return answer.json();
            }
            answer.require_problem(503, "unavailable");
            tokio::task::yield_now().await;
        }
    };
    let now = site.clock.now().as_millis() / 1_000;
    let mut claims = Vec::new();
    for wrote in [String::new(), (now - 3_600).to_string(), (now + 3_600).to_string()] {
        let answered = tokio::time::timeout(Duration::from_secs(20), answered(&wrote));
        claims.push(answered.await.expect("nothing is remembered"));
    }
    site.call(call(&now.to_string())).await.require_problem(503, "unavailable");
    watch.set(Mood::Well);
    claims.pop().unwrap()
}

#[tokio::test]
async fn a_claim_its_place_and_its_order_are_told_from_memory_while_the_database_is_away() {
    let (site, watch) = Site::open_watched(WebLimits::default()).await;
    let sale = site.sale(json!({"stock": 1})).await;
    let (first, second) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
    let claim = site.buy(&sale, &first).await;
    assert_eq!(site.buy(&sale, &second).await["status"], "standby");
    let reserved = remembered(&site, &watch, &sale, &first).await;
    assert_eq!((&reserved["status"], &reserved["rev"]), (&json!("reserved"), &json!(1)));
    assert_eq!(reserved["deadline"], claim["deadline"]);
    let standby = remembered(&site, &watch, &sale, &second).await;
    assert_eq!((&standby["status"], &standby["position"]), (&json!("standby"), &json!(1)));

    let pay = Call::post("/api/v1/checkout").bearer(claim["checkout_token"].as_str().unwrap());
    let order = site.call(pay.json(&payment(PAYS))).await.require(StatusCode::CREATED);
    let paid = site.claim(&sale, &first).await;
    assert_eq!((&paid["status"], &paid["order"]), (&json!("paid"), &order["id"]), "one sees what one did");
    let call = Call::get(&format!("/api/v1/sales/{sale}/claim")).by(&first);
    watch.set(Mood::Failing);
    site.call(call).await.require_problem(503, "unavailable");
    site.clock.advance(Duration::from_secs(10));
    let paid = remembered(&site, &watch, &sale, &first).await;
    assert_eq!((&paid["status"], &paid["order"]), (&json!("paid"), &order["id"]));
}
