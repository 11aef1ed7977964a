//! Every request that is to be refused: each gets its code, and nothing changes.

use std::time::Duration;

use http::StatusCode;
use miaosha_app::model::Role;
use serde_json::json;

use crate::site::{Call, PAYS, Person, Site, payment};

/// What is wrong, the request, and the status and code of its answer.
type Refused = (&'static str, Call, u16, &'static str);

/// What the requests of the table are made of.
struct Scene {
    site: Site,
    buyer: Person,
    editor: Person,
    /// An open sale with a question, in which the buyer has nothing.
    open: String,
    scheduled: String,
    ended: String,
    paused: String,
    /// An open sale in which the buyer has a reservation, and its token.
    reserved: String,
    checkout_token: String,
    /// Another person's order.
    others_order: String,
}

impl Scene {
    async fn set() -> Self {
        let site = Site::open().await;
        let (buyer, other) = (site.person(Role::Buyer).await, site.person(Role::Buyer).await);
        let editor = site.person(Role::Editor).await;
        let question = json!({"question": "Who?", "choices": ["Sony", "Microsoft"], "answer": "Sony"});
        let open = site.sale(question).await;
        let scheduled = site.sale(json!({"starts_in_seconds": 3600})).await;
        let ended = site.sale(json!({})).await;
        let paused = site.sale(json!({})).await;
        for (sale, verb) in [(&ended, "close"), (&paused, "pause")] {
            let call = Call::post(&format!("/api/v1/admin/sales/{sale}/{verb}")).by(&editor);
            site.call(call).await.require(StatusCode::OK);
        }
        let reserved = site.sale(json!({})).await;
        let token = |claim: serde_json::Value| claim["checkout_token"].as_str().unwrap().to_owned();
        let checkout_token = token(site.buy(&reserved, &buyer).await);
        let others = token(site.buy(&reserved, &other).await);
        let order = Call::post("/api/v1/checkout").bearer(&others).json(&payment(PAYS));
        let order = site.call(order).await.require(StatusCode::CREATED);
        let others_order = order["id"].as_str().unwrap().to_owned();
        Self { site, buyer, editor, open, scheduled, ended, paused, reserved, checkout_token, others_order }
    }

    fn buy(&self, sale: &str) -> Call {
        Call::post(&format!("/api/v1/sales/{sale}/requests")).by(&self.buyer).json(&json!({"answer": "Sony"}))
    }

    fn checkout(&self) -> Call {
        Call::post("/api/v1/checkout").bearer(&self.checkout_token).json(&payment(PAYS))
    }

    fn expired_session(&self) -> String {
        let yesterday = self.site.ports.clock.now() - Duration::from_hours(25);
        self.site.keyring.mint_session(self.buyer.id, Role::Buyer, yesterday, Duration::from_hours(24))
    }

    async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for sale in [&self.open, &self.scheduled, &self.ended, &self.paused, &self.reserved] {
            all.push(self.site.everything(sale).await);
        }
        all
    }

    fn refused_to_buy(&self) -> Vec<Refused> {
        let buy = |sale: &str| self.buy(sale);
        let open = || self.buy(&self.open);
        let mut tampered = self.buyer.token.clone();
        tampered.insert(tampered.len() - 1, 'A');
        let long = json!({"answer": "x".repeat(4 * 1024)}).to_string();
        vec![
            ("too early", buy(&self.scheduled), 403, "not_open"),
            ("too late", buy(&self.ended), 403, "ended"),
            ("while paused", buy(&self.paused), 403, "paused"),
            ("a wrong answer", open().json(&json!({"answer": "Microsoft"})), 422, "wrong_answer"),
            ("an empty answer", open().json(&json!({"answer": ""})), 422, "wrong_answer"),
            ("no answer", open().json(&json!({})), 422, "invalid_body"),
            ("an answer of the wrong type", open().json(&json!({"answer": 5})), 422, "invalid_body"),
            ("an array", open().json(&json!(["Sony"])), 422, "invalid_body"),
            ("not JSON", open().body("application/json", "answer=Sony"), 422, "invalid_body"),
            ("no body", open().body("application/json", ""), 422, "invalid_body"),
            (
                "bytes that are no text",
                open().body("application/json", b"{\"answer\":\"\xff\"}"),
                422,
                "invalid_body",
            ),
            (
                "a form",
                open().body("application/x-www-form-urlencoded", "answer=Sony"),
                415,
                "unsupported_media_type",
            ),
            ("a body too large", open().body("application/json", long.clone()), 413, "body_too_large"),
            (
                "a body too large, before all else",
                Call::post("/api/v1/sales/x/requests").body("text/plain", long),
                413,
                "body_too_large",
            ),
            ("an unknown sale", buy("1"), 404, "no_such_sale"),
            ("a malformed sale", buy("one"), 404, "no_such_sale"),
            ("a negative sale", buy("-1"), 404, "no_such_sale"),
            ("an unknown sale, before the token", buy("1").bearer("x"), 404, "no_such_sale"),
            ("a forged token", open().bearer(&tampered), 401, "unauthenticated"),
            ("no token", open().header("authorization", "Basic YTpi"), 401, "unauthenticated"),
            ("an expired session", open().bearer(&self.expired_session()), 401, "unauthenticated"),
            ("a checkout token for a session", open().bearer(&self.checkout_token), 401, "unauthenticated"),
            ("a forged token, before the window", buy(&self.ended).bearer("x"), 401, "unauthenticated"),
            (
                "too early, before the body",
                buy(&self.scheduled).body("application/json", "x"),
                403,
                "not_open",
            ),
        ]
    }

    fn refused_elsewhere(&self) -> Vec<Refused> {
        let claim = format!("/api/v1/sales/{}/claim", self.open);
        let order = format!("/api/v1/orders/{}", self.others_order);
        vec![
            (
                "a session for a checkout token",
                self.checkout().bearer(&self.buyer.token),
                401,
                "unauthenticated",
            ),
            (
                "a checkout without a token",
                Call::post("/api/v1/checkout").json(&payment(PAYS)),
                401,
                "unauthenticated",
            ),
            (
                "a checkout that is not JSON",
                self.checkout().body("application/json", "{"),
                422,
                "invalid_body",
            ),
            (
                "a checkout of the wrong type",
                self.checkout().body("text/plain", "{}"),
                415,
                "unsupported_media_type",
            ),
            (
                "a checkout too large",
                self.checkout().body("application/json", vec![b' '; 65 * 1024]),
                413,
                "body_too_large",
            ),
            ("a bad card", self.checkout().json(&payment("1234")), 422, "invalid_card"),
            ("another's order", Call::get(&order).by(&self.buyer), 404, "not_found"),
            ("an order without a token", Call::get(&order), 401, "unauthenticated"),
            ("a malformed order", Call::get("/api/v1/orders/x").by(&self.buyer), 404, "not_found"),
            ("a claim in no sale", Call::get("/api/v1/sales/1/claim").by(&self.buyer), 404, "no_such_sale"),
            ("a claim without a token", Call::get(&claim), 401, "unauthenticated"),
            ("no claim to give up", Call::delete(&claim).by(&self.buyer), 404, "no_claim"),
            ("a page before the first", Call::get("/api/v1/sales?limit=-1"), 422, "invalid_query"),
            ("a page after nothing", Call::get("/api/v1/sales?after=x"), 422, "invalid_query"),
            ("an unknown route", Call::get("/api/v1/nothing"), 404, "not_found"),
            ("an unknown version", Call::post("/api/v9/sales"), 404, "not_found"),
            ("a wrong method", Call::delete("/api/v1/sales").by(&self.buyer), 405, "method_not_allowed"),
            (
                "a wrong method for buying",
                Call::get(&format!("/api/v1/sales/{}/requests", self.open)),
                405,
                "method_not_allowed",
            ),
            (
                "a buyer who plans",
                Call::post("/api/v1/admin/sales").by(&self.buyer).json(&json!({})),
                403,
                "forbidden",
            ),
            (
                "a negative number of units",
                Call::post(&format!("/api/v1/admin/sales/{}/add-stock", self.open))
                    .by(&self.editor)
                    .json(&json!({"units": -5})),
                422,
                "invalid_body",
            ),
        ]
    }
}

#[tokio::test]
async fn each_gets_its_code_and_nothing_changes() {
    let scene = Scene::set().await;
    let before = scene.everything().await;
    for (what, call, status, code) in scene.refused_to_buy().into_iter().chain(scene.refused_elsewhere()) {
        let answer = scene.site.call(call).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {}", answer.text());
        answer.require_problem(status, code);
        assert_eq!(status == 401, answer.headers.contains_key("www-authenticate"), "{what}");
    }
    assert_eq!(scene.everything().await, before);
    // And the very same call without the fault passes.
    scene.site.call(scene.buy(&scene.open)).await.require(StatusCode::ACCEPTED);
    scene.site.call(scene.checkout()).await.require(StatusCode::CREATED);
}

#[tokio::test]
async fn a_full_sale_still_refuses_a_forged_token() {
    let site = Site::open().await;
    let sale = site.sale(json!({"stock": 1, "standby": 0})).await;
    let buyer = site.person(Role::Buyer).await;
    site.buy(&sale, &buyer).await;
    site.board_when(&sale, |sale| sale.book().sold_out()).await;
    let path = format!("/api/v1/sales/{sale}/requests");
    let forged = Call::post(&path).bearer("x.y.z").json(&json!({"answer": ""}));
    site.call(forged).await.require_problem(401, "unauthenticated");
    let latecomer = site.person(Role::Buyer).await;
    let call = Call::post(&path).by(&latecomer).json(&json!({"answer": ""}));
    assert_eq!(site.call(call).await.require(StatusCode::OK), json!({"status": "sold_out"}));
}
