//! A buyer's way through the real binary over HTTP, and what the command line does to a running and a stopped site.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use support::socket::{Said, Socket};
use support::{PATIENCE, Site, cli};

const MINT: (&str, &str) = ("MIAOSHA_DEV__TOKEN_MINT", "true");

#[tokio::test]
async fn a_newcomer_signs_up_buys_pays_and_sees_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[]);
    let sale = site.create_sale(&[
        "--stock",
        "1",
        "--starts-in",
        "0s",
        "--price",
        "199.00",
        "--question",
        "Who makes it?",
        "--choices",
        "Sony;Microsoft",
        "--answer",
        "Sony",
    ]);
    let person = json!({ "email": "ann@example.com", "name": "Ann", "password": "correct horse" });
    let signed_up = site.call(Method::POST, "/api/v1/users", None, Some(person)).await;
    assert_eq!(signed_up.status, 201, "{signed_up:?}");
    let token = signed_up.text("access_token").to_owned();

    let requests = format!("/api/v1/sales/{sale}/requests");
    let wrong =
        site.call(Method::POST, &requests, Some(&token), Some(json!({ "answer": "Microsoft" }))).await;
    assert_eq!((wrong.status, wrong.code()), (422, "wrong_answer"));
    let right = site.call(Method::POST, &requests, Some(&token), Some(json!({ "answer": "Sony" }))).await;
    assert_eq!((right.status, right.text("status")), (202, "queued"));

    let claim = site.claim_when(&sale, &token, "reserved").await;
    let checkout_token = claim.text("checkout_token").to_owned();
    let as_session = site.claim(&sale, &checkout_token).await;
    assert_eq!((as_session.status, as_session.code()), (401, "unauthenticated"));
    let as_checkout = site.check_out(&token, "4242424242424242").await;
    assert_eq!((as_checkout.status, as_checkout.code()), (401, "unauthenticated"));
    let declined = site.check_out(&checkout_token, "4000000000000002").await;
    assert_eq!((declined.status, declined.code()), (402, "payment_declined"));
    let order = site.check_out(&checkout_token, "4242424242424242").await;
    assert_eq!((order.status, order.body["totals"]["total"]["amount"].as_str()), (201, Some("199.00")));

    let path = format!("/api/v1/orders/{}", order.text("id"));
    assert_eq!(site.call(Method::GET, &path, Some(&token), None).await.body["number"], order.body["number"]);
    let again = site.call(Method::POST, &requests, Some(&token), Some(json!({ "answer": "Sony" }))).await;
    assert_eq!((again.status, again.text("status")), (200, "paid"));
    let verified = site.verify(&sale);
    assert_eq!((&verified["paid"], &verified["free"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_payment_whose_answer_is_lost_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT]);
    let sale = site.create_sale(&["--stock", "1", "--starts-in", "0s"]);
    let token = site.tokens(1, 1).remove(0);
    assert_eq!(site.buy(&sale, &token).await.status, 202);
    let claim = site.claim_when(&sale, &token, "reserved").await;
    let lost = site.check_out(claim.text("checkout_token"), "4000000000000341").await;
    assert_eq!((lost.status, lost.text("status")), (202, "paying"));
    let second = site.check_out(claim.text("checkout_token"), "4242424242424242").await;
    assert_eq!((second.status, second.code()), (409, "payment_in_progress"));
    let paid = site.claim_when(&sale, &token, "paid").await;
    assert!(paid.body["order"].is_string());
    site.verify(&sale);
}

#[tokio::test]
async fn who_does_not_pay_in_time_loses_the_unit_to_the_next_in_line_also_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = Site::start(dir.path(), &[MINT]);
    let sale = site.create_sale(&["--stock", "1", "--starts-in", "0s", "--hold", "2s"]);
    let tokens = site.tokens(1, 2);
    assert_eq!(site.buy(&sale, &tokens[0]).await.status, 202);
    site.claim_when(&sale, &tokens[0], "reserved").await;
    assert_eq!(site.buy(&sale, &tokens[1]).await.status, 202);
    let waiting = site.claim_when(&sale, &tokens[1], "standby").await;
    assert_eq!(waiting.body["position"], 1);
    site.kill();
    site.restart();
    site.claim_when(&sale, &tokens[0], "expired").await;
    let promoted = site.claim_when(&sale, &tokens[1], "reserved").await;
    let order = site.check_out(promoted.text("checkout_token"), "4242424242424242").await;
    assert_eq!(order.status, 201);
    site.verify(&sale);
}

#[tokio::test]
async fn whoever_stands_by_follows_standby_at_once_and_a_large_audience_later() {
    /// They hear of it three seconds after the first news.
    const AUDIENCE: usize = 1_000;
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT]);
    let sale = site.create_sale(&["--stock", "1", "--standby", "1", "--starts-in", "0s"]);
    let tokens = site.tokens(1, 3);
    let watching = |token: &String| {
        let mut socket = Socket::connect(&site.base, token).unwrap();
        socket.watch(&sale).unwrap();
        socket
    };
    let mut audience: Vec<Socket> = (0..AUDIENCE).map(|_| watching(&tokens[2])).collect();
    let mut stands_by = watching(&tokens[1]);
    for (token, status) in tokens.iter().zip(["reserved", "standby"]) {
        assert_eq!(site.buy(&sale, token).await.status, 202);
        site.claim_when(&sale, token, status).await;
    }
    let one_stands_by = json!({ "sale": sale, "serving_seq": 0, "standing": 1, "all_paid": false });
    assert_eq!(standby_heard(&mut stands_by, PATIENCE), Some(one_stands_by.clone()));
    assert_eq!(standby_heard(&mut audience[0], Duration::from_millis(100)), None, "the audience waits");
    for socket in &mut audience {
        assert_eq!(standby_heard(socket, PATIENCE), Some(one_stands_by.clone()));
    }
}

/// The next news of standby on a socket.
fn standby_heard(socket: &mut Socket, patience: Duration) -> Option<Value> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match socket.next(left).expect("the site keeps the socket")? {
            Said::Event(name, standby) if name == "standby" => return Some(standby),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_the_command_line_changes_on_a_running_site_takes_effect_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT]);
    let sale = site.create_sale(&["--stock", "1", "--standby", "0", "--starts-in", "0s"]);
    let tokens = site.tokens(1, 3);
    site.cli_json(&["sale", "pause", &sale]);
    let paused = site.buy(&sale, &tokens[0]).await;
    assert_eq!((paused.status, paused.code()), (403, "paused"));
    site.cli_json(&["sale", "resume", &sale]);
    assert_eq!(site.buy(&sale, &tokens[0]).await.status, 202);
    site.claim_when(&sale, &tokens[0], "reserved").await;
    let full = site.buy(&sale, &tokens[1]).await;
    assert_eq!((full.status, full.text("status")), (200, "sold_out"));
    site.cli_json(&["sale", "add-stock", &sale, "1"]);
    assert_eq!(site.buy(&sale, &tokens[1]).await.status, 202);
    site.claim_when(&sale, &tokens[1], "reserved").await;
    site.cli_json(&["sale", "close", &sale]);
    let closed = site.buy(&sale, &tokens[2]).await;
    assert_eq!((closed.status, closed.code()), (403, "ended"));
    let late = site.cli(&["sale", "add-stock", &sale, "1"]);
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("sale_ended"));
    site.verify(&sale);
}

#[test]
fn the_command_line_works_on_the_data_when_no_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("new");
    let run = |arguments: &[&str]| cli(&data_dir, &[], arguments);
    assert!(run(&["migrate"]).status.success());
    let created = run(&["sale", "create", "--title", "Console", "--stock", "2", "--starts-in", "1h"]);
    let sale: serde_json::Value = serde_json::from_slice(&created.stdout).unwrap();
    let id = sale["id"].as_str().unwrap();
    assert_eq!((&sale["stock"], &sale["state"]), (&json!(2), &json!("scheduled")));
    let verified = String::from_utf8(run(&["sale", "verify", id]).stdout).unwrap();
    assert!(verified.lines().any(|line| line == "free: 2"), "{verified}");
    let account = run(&["user", "create", "--email", "Ann@example.com", "--role", "admin"]);
    assert!(String::from_utf8(account.stdout).unwrap().contains("password: "));
    assert_eq!(run(&["sale", "show", "1"]).status.code(), Some(1));
    assert_eq!(run(&["token", "mint", "--users", "1..2"]).status.code(), Some(1));
    assert_eq!(
        run(&["sale", "create", "--title", "", "--stock", "1", "--starts-in", "1s"]).status.code(),
        Some(2)
    );
    assert_eq!(
        run(&["sale", "create", "--title", "x", "--stock", "-1", "--starts-in", "1s"]).status.code(),
        Some(2)
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_a_signal_ends_the_first_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[]);
    let second = cli(dir.path(), &[], &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("another process is using this data directory"),
        "{second:?}"
    );
    let ended = site.terminate(PATIENCE);
    assert!(ended.success(), "{ended:?}");
}

/// Half the time in which so many are to be closed; if they are closed at once it takes a small part of it.
const CLOSED_IN: Duration = Duration::from_millis(100);
const SOCKETS: u64 = 400;

#[tokio::test]
async fn a_site_that_ends_closes_its_sockets_one_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[MINT]);
    let sockets =
        site.tokens(1, SOCKETS).into_iter().map(|token| Socket::connect(&site.base, &token).unwrap());
    let listening = sockets.map(|mut socket| {
        thread::spawn(move || {
            while socket.next(PATIENCE).unwrap_or(None).is_some() {}
            Instant::now()
        })
    });
    let listening: Vec<_> = listening.collect();
    let ended = site.terminate(PATIENCE);
    assert!(ended.success(), "{ended:?}");
    let mut closed: Vec<Instant> = listening.into_iter().map(|thread| thread.join().unwrap()).collect();
    closed.sort();
    let span = closed.last().unwrap().duration_since(closed[0]);
    assert!(span >= CLOSED_IN, "{SOCKETS} sockets were closed within {span:?}");
}
