//! Holding sockets.

use crate::site::Site;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const OPEN: &str = r#"42["sale",{"sale":"7","state":"open","starts_at":"2027-01-15T14:00:00.000Z"}]"#;

fn sockets(site: &Site, directory: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miaosha-load"));
    command.args(["sockets", "--url", &format!("http://{}", site.address), "--sale", "7"]);
    command.args(["--json", "report.json", "--html", "report.html", "--connect-rate", "500/s"]).args(flags);
    command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn report(directory: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap()
}

fn wait_until(state: impl Fn() -> bool) {
    while !state() {
        thread::yield_now();
    }
}

#[test]
fn every_socket_of_every_process_hears_the_opening_and_answers_pings() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\nb\nc\n").unwrap();
    let flags =
        ["--tokens", "tokens", "--count", "7", "--processes", "3", "--hold", "2s", "--expect", "sale"];
    let flags = [&flags[..], &["--sources", "127.0.0.2..127.0.0.3"]].concat();
    let child = sockets(&site, directory.path(), &flags).spawn().unwrap();
    wait_until(|| site.watching() == 7);
    site.say(None, OPEN);
    site.say(None, "2");
    wait_until(|| site.pongs() == 7);
    site.say(Some("b"), r#"42["claim",{"sale":"7","status":"none"}]"#);
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("7 asked, 7 connected, 0 refused, 0 failed, 0 lost, 7 held"), "{stdout}");
    assert!(stdout.contains("broadcast   sale: heard by 7"), "{stdout}");
    let report = report(directory.path());
    assert_eq!((&report["processes"], &report["broadcasts"][0]["heard"]), (&3.into(), &7.into()));
    assert_eq!((report["broadcasts"].as_array().unwrap().len(), &report["expected_missed"]), (1, &0.into()));
    assert_eq!(report["counts"]["pings"], 7);
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("heard by 7"));
}

#[test]
fn sockets_take_the_sales_in_turn_and_each_asks_for_its_own() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--sale", "8", "--sale", "9", "--count", "7", "--processes", "2", "--hold", "10ms"];
    let output = sockets(&site, directory.path(), &flags).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(site.sales(), ["7", "7", "7", "8", "8", "9", "9"]);
    let report = report(directory.path());
    assert_eq!((&report["sale"], &report["sales"]), (&"7".into(), &serde_json::json!(["7", "8", "9"])));
}

#[test]
fn who_is_refused_or_lost_is_counted_by_the_reason_and_the_expectation_fails() {
    let asked = AtomicUsize::new(0);
    let site = Site::start(move |_, _, _| {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        (if is_first { 503 } else { 101 }, String::new())
    });
    let directory = tempfile::tempdir().unwrap();
    let child = sockets(&site, directory.path(), &["--count", "6", "--hold", "2s", "--expect", "sale"])
        .spawn()
        .unwrap();
    wait_until(|| site.watching() == 5);
    site.close(2);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = report(directory.path());
    assert_eq!(report["counts"]["refused"], serde_json::json!({"503": 1}));
    assert_eq!(report["counts"]["lost"], serde_json::json!({"closed by the site": 2}));
    assert_eq!((&report["counts"]["connected"], &report["expected_missed"]), (&5.into(), &3.into()));
}

#[test]
fn a_token_that_the_site_does_not_take_is_a_failure_with_the_sites_word() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\nforged\n").unwrap();
    let flags = ["--tokens", "tokens", "--count", "2", "--hold", "1s", "--max-error-share", "0.4"];
    assert_eq!(sockets(&site, directory.path(), &flags).status().unwrap().code(), Some(1));
    let report = report(directory.path());
    assert_eq!(report["counts"]["failed"], serde_json::json!({"unauthenticated": 1}));
    assert_eq!(report["error_share"], 0.5);
}

#[test]
fn the_memory_of_a_local_server_is_counted_and_ctrl_c_ends_a_run_with_its_summary() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    let own_id = std::process::id().to_string();
    let flags = ["--count", "3", "--hold", "10m", "--server-pid", &own_id];
    let child = sockets(&site, directory.path(), &flags).spawn().unwrap();
    wait_until(|| site.watching() == 3);
    // Whoever answers has read what came before.
    site.say(None, "2");
    wait_until(|| site.pongs() == 3);
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let (stdout, _) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    let report = report(directory.path());
    assert_eq!((&report["ended_by"], &report["counts"]["connected"]), (&"interrupt".into(), &3.into()));
    assert!(report["server_memory"]["after"]["resident_bytes"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn pinned_processes_are_bound_to_a_core_each() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    let cores = usize::try_from(rustix::thread::sched_getaffinity(None).unwrap().count()).unwrap();
    let (url, count) = (format!("http://{}", site.address), (2 * cores).to_string());
    let mut flags = vec!["--pin", "--count", &count, "--hold", "10m"];
    if cores > 1 {
        let output = sockets(&site, directory.path(), &flags).output().unwrap();
        assert!(
            output.status.code() == Some(2) && text(&output).1.contains("as many --push-url"),
            "{output:?}"
        );
    }
    flags.extend((0..cores).flat_map(|_| ["--push-url", url.as_str()]));
    let child = sockets(&site, directory.path(), &flags).spawn().unwrap();
    wait_until(|| site.watching() == 2 * cores);
    let id = child.id();
    let workers = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let cores_of = |worker: &str| {
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        allowed.trim().to_owned()
    };
    let taken: BTreeSet<String> = workers.split_whitespace().map(cores_of).collect();
    assert!(taken.iter().all(|cores| cores.parse::<usize>().is_ok()), "{taken:?}");
    assert_eq!((workers.split_whitespace().count(), taken.len()), (cores, cores), "{taken:?}");
    assert!(Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn what_cannot_be_held_is_exit_code_2_and_says_what_to_do() {
    let site = Site::start(|_, _, _| (101, String::new()));
    let directory = tempfile::tempdir().unwrap();
    let output =
        sockets(&site, directory.path(), &["--count", "100000", "--processes", "2"]).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("use --processes"), "{stderr}");
    assert_eq!(site.watching(), 0);
}
