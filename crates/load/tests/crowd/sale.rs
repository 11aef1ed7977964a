//! Whole journeys.

use crate::site::Site;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn sale(site: &Site, directory: &Path, tokens: &str, flags: &[&str]) -> Command {
    std::fs::write(directory.join("tokens"), tokens).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_miaosha-load"));
    command.args(["sale", "--url", &format!("http://{}", site.address), "--sale", "7", "--tokens", "tokens"]);
    command.args(["--json", "report.json", "--html", "report.html", "--processes", "2"]).args(flags);
    command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn report(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap()
}

fn sale_page(opens_in: SignedDuration) -> (u16, String) {
    let now = Timestamp::now();
    let starts_at = now.checked_add(opens_in).unwrap();
    (
        200,
        json!({ "state": "scheduled", "starts_at": starts_at.to_string(), "server_time": now.to_string() })
            .to_string(),
    )
}

/// Four people: one wins and pays, one is told only when it looks up, one finds it sold out, and one is turned away
/// at first and rejected then.
fn answer(site: &Site, token: &str, request: &str, turned_away: &AtomicUsize) -> (u16, String) {
    let status = |word: &str| json!({ "status": word }).to_string();
    let push = |word: &str, rev: u64| {
        let claim = json!({"sale": "7", "status": word, "rev": rev, "checkout_token": "pays-for-winner"});
        site.say(Some(token), &format!(r#"42["claim",{claim}]"#));
    };
    if request.starts_with("GET /socket.io/") {
        return (101, String::new());
    }
    if request.starts_with("GET /api/v1/sales/7 ") {
        return sale_page(SignedDuration::from_hours(1));
    }
    if request.starts_with("GET /api/v1/sales/7/claim ") {
        assert_eq!(token, "untold");
        return (200, json!({"sale": "7", "status": "standby", "rev": 1}).to_string());
    }
    if request.starts_with("POST /api/v1/checkout ") {
        assert_eq!(token, "pays-for-winner");
        assert!(request.contains(r#""card":"4242424242424242""#), "{request}");
        return (201, status("paid"));
    }
    assert!(request.starts_with("POST /api/v1/sales/7/requests "), "{request}");
    assert!(request.ends_with(r#"{"answer":"Sony"}"#), "{request}");
    match token {
        "winner" => push("reserved", 1),
        "untold" => {}
        "late" => return (200, status("sold_out")),
        "turned-away" if turned_away.fetch_add(1, Ordering::Relaxed) == 0 => {
            return (503, json!({"status": 503, "code": "overloaded"}).to_string());
        }
        "turned-away" => push("rejected", 0),
        other => panic!("{other} is nobody"),
    }
    (202, status("queued"))
}

#[test]
fn everyone_goes_the_whole_way_and_is_told_by_push_by_answer_or_by_look_up() {
    let turned_away = AtomicUsize::new(0);
    let site = Site::start(move |site, token, request| answer(site, token, request, &turned_away));
    let directory = tempfile::tempdir().unwrap();
    let tokens = "winner\nuntold\nlate\nturned-away\n";
    let flags = ["--answer", "Sony", "--pay", "1", "--connections", "3"];
    let child = sale(&site, directory.path(), tokens, &flags).spawn().unwrap();
    while site.watching() < 4 {
        thread::yield_now();
    }
    site.say(None, r#"42["sale",{"sale":"8","state":"open"}]"#);
    site.say(None, r#"42["sale",{"sale":"7","state":"open"}]"#);
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
        (Some(0), ""),
        "{stdout}"
    );
    assert!(stdout.contains("told        4 of 4"), "{stdout}");
    let report = report(directory.path());
    assert_eq!(report["outcomes"], json!({"reserved": 1, "standby": 1, "sold_out": 1, "rejected": 1}));
    assert_eq!(report["told_by"], json!({"push": 2, "look_up": 1, "answer": 1}));
    assert_eq!(report["at_end"], json!({"paid": 1, "standby": 1, "sold_out": 1, "rejected": 1}));
    assert_eq!(report["answers"], json!({"202 queued": 3, "200 sold_out": 1, "503 overloaded": 1}));
    assert_eq!(
        (&report["payments"], &report["look_ups"]),
        (&json!({"201 paid": 1}), &json!({"200 standby": 1}))
    );
    assert_eq!((&report["untold"], &report["ended_by"]), (&0.into(), &"completion".into()));
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Told first"));
}

#[test]
fn every_buy_call_may_have_a_connection_of_its_own() {
    const LOOK: usize = 1;
    let people = "a\nb\nc\nd\ne\nf\n";
    for (flags, expected) in [(&[][..], LOOK + 2), (&["--new-connections"], LOOK + 6)] {
        let site = Site::start(|_, _, request| match request {
            page if page.starts_with("GET /api/v1/sales/7 ") => sale_page(SignedDuration::from_secs(2)),
            socket if socket.starts_with("GET /socket.io/") => (503, String::new()),
            _ => (200, json!({"status": "sold_out"}).to_string()),
        });
        let directory = tempfile::tempdir().unwrap();
        // One for each of the two processes.
        let flags = [&["--connections", "2"], flags].concat();
        let output = sale(&site, directory.path(), people, &flags).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let report = report(directory.path());
        assert_eq!(
            (&report["answers"], &report["new_connections"], site.connections()),
            (&json!({"200 sold_out": 6}), &json!(expected == LOOK + 6), expected)
        );
    }
}

#[test]
fn people_without_a_socket_buy_by_the_clock_and_who_is_never_told_is_exit_code_1() {
    let site = Site::start(|_, token, request| match request {
        page if page.starts_with("GET /api/v1/sales/7 ") => sale_page(SignedDuration::from_secs(2)),
        socket if socket.starts_with("GET /socket.io/") => (503, String::new()),
        buy if buy.starts_with("POST") && token == "told" => (403, json!({"code": "ended"}).to_string()),
        _ => (202, json!({"status": "queued"}).to_string()),
    });
    let directory = tempfile::tempdir().unwrap();
    let output = sale(&site, directory.path(), "told\nuntold\n", &["--give-up", "2s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = report(directory.path());
    assert_eq!((&report["untold"], &report["ended_by"]), (&1.into(), &"duration".into()));
    assert_eq!(
        (&report["outcomes"], &report["counts"]["refused"]),
        (&json!({"ended": 1}), &json!({"503": 2}))
    );
}

#[test]
fn a_sale_that_has_opened_is_exit_code_2_and_says_what_to_do() {
    let page =
        json!({"state": "open", "starts_at": "2026-01-01T00:00:00Z", "server_time": "2026-01-01T00:00:01Z"});
    let site = Site::start(move |_, _, _| (200, page.to_string()));
    let directory = tempfile::tempdir().unwrap();
    let output = sale(&site, directory.path(), "a\n", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("plan one that opens later"));
}
