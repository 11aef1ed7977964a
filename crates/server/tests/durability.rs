//! Told after durable (I4): the fsync of a batch comes before the first byte of any answer or push that it allows.
//!
//! The real binary runs under strace, which writes down its system calls in their order.
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::socket::{Said, Socket};
use support::{PATIENCE, Site};

/// Attaches strace to every thread of the process.
fn trace(pid: u32, log: &Path) -> Child {
    Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-y",
            "-s",
            "4096",
            "-e",
            "trace=read,recvfrom,pwrite64,fdatasync,fsync,write,writev,sendto,sendmsg",
        ])
        .arg("-o")
        .arg(log)
        .args(["-p", &pid.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("strace is installed by scripts/setup")
}

/// Waits until strace follows every thread of the process.
fn wait_until_traced(pid: u32) {
    let deadline = Instant::now() + PATIENCE;
    let is_traced = |task: &Path| {
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    };
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        if tasks.into_iter().all(|task| is_traced(&task.unwrap().path())) {
            return;
        }
        assert!(Instant::now() < deadline, "strace does not follow every thread");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn the_fsync_of_a_batch_comes_before_the_answer_and_the_push_it_allows() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start(dir.path(), &[("MIAOSHA_DEV__TOKEN_MINT", "true")]);
    let sale = site.create_sale(&["--stock", "1", "--starts-in", "0s"]);
    let token = site.tokens(1, 1).remove(0);

    let mut socket = Socket::connect(&site.base, &token).unwrap();
    wait_for(&mut socket, "clock", |_| true);

    let log = dir.path().join("strace.log");
    let mut strace = trace(site.pid(), &log);
    wait_until_traced(site.pid());
    let bought = site.buy(&sale, &token).await;
    assert_eq!((bought.status, bought.text("status")), (202, "queued"));
    wait_for(&mut socket, "claim", |claim| claim["status"] == "reserved");
    strace.kill().unwrap();
    strace.wait().unwrap();

    let calls = std::fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let first = |what: &str, is_it: &dyn Fn(&str) -> bool| {
        calls.iter().position(|call| is_it(call)).unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
    };
    let is_sent =
        |call: &str| ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.contains(name));
    let asked = first("request", &|call| call.contains(&format!("POST /api/v1/sales/{sale}/requests")));
    let answered = first("answer", &|call| is_sent(call) && call.contains("202 Accepted"));
    let pushed = first("push", &|call| {
        is_sent(call) && call.contains("42[\\\"claim\\\"") && call.contains("reserved")
    });
    let written = calls
        .iter()
        .enumerate()
        .skip(asked)
        .find(|(_, call)| call.contains("pwrite64") && call.contains("-wal"));
    let (written, _) = written.expect("the batch is written to the log");
    // strace writes a call down when it returns, or as `<... fdatasync resumed>` if others came in between.
    let synced = calls.iter().enumerate().skip(written).find(|(_, call)| {
        let is_sync = (call.contains("fdatasync(") || call.contains("fsync(")) && call.contains("-wal");
        let is_resumed = call.contains("fdatasync resumed") || call.contains("fsync resumed");
        (is_sync && !call.contains("unfinished")) || is_resumed
    });
    let (synced, _) = synced.expect("the log is synced");
    assert!(asked < written && written < synced, "the batch is written and synced after the request");
    assert!(synced < answered, "call {synced} syncs, call {answered} answers");
    assert!(synced < pushed, "call {synced} syncs, call {pushed} pushes");
}

fn wait_for(socket: &mut Socket, event: &str, is_it: impl Fn(&Value) -> bool) {
    loop {
        let said = socket.next(PATIENCE).unwrap().expect("it comes in time");
        if matches!(&said, Said::Event(name, argument) if name == event && is_it(argument)) {
            return;
        }
    }
}
