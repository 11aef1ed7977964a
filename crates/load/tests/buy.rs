//! `miaosha-load buy` as it is shipped: the binary against a small HTTP server on a free port of this machine.

#![expect(clippy::unwrap_used, reason = "a test's own server and files; a panic is the failure")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Serves until the test's process ends; each request is answered by what `answer` makes of its token, and
/// reported.
fn serve(answer: fn(&str) -> (u16, &'static str)) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (report, reports) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let report = report.clone();
            std::thread::spawn(move || serve_connection(stream.unwrap(), answer, &report));
        }
    });
    (address, reports)
}

fn serve_connection(mut stream: TcpStream, answer: fn(&str) -> (u16, &'static str), report: &Sender<()>) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let len = stream.read(&mut buffer).unwrap_or(0);
        if len == 0 {
            return;
        }
        received.extend_from_slice(&buffer[..len]);
        let text = String::from_utf8(received.clone()).unwrap();
        if !text.ends_with("{\"answer\":\"Sony\"}") {
            continue;
        }
        received.clear();
        let token = text.split("Bearer ").nth(1).unwrap().split('\r').next().unwrap();
        let (http_status, body) = answer(token);
        let head = format!("HTTP/1.1 {http_status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        // The test may have stopped listening, and the run may have ended.
        let _ = report.send(());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}

fn buy(address: SocketAddr, directory: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miaosha-load"));
    command.args(["buy", "--url", &format!("http://{address}"), "--sale", "7", "--answer", "Sony"]);
    command.args(["--json", "report.json", "--outcomes", "outcomes.tsv"]).args(flags);
    command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn report(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(directory.join("report.json")).unwrap()).unwrap()
}

fn by_token(token: &str) -> (u16, &'static str) {
    match token {
        "refused" => (422, r#"{"type":"x","status":422,"code":"wrong_answer"}"#),
        "broken" => (500, "oops"),
        _ => (202, r#"{"status":"queued"}"#),
    }
}

#[test]
fn every_person_s_answer_is_in_the_summary_the_report_and_the_outcomes() {
    let (address, _reports) = serve(by_token);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\nrefused\n\nb\nbroken\n").unwrap();
    let flags = ["--tokens", "tokens", "--connections", "3", "--threads", "2", "--repeat", "2"];
    let flags = [&flags[..], &["--html", "report.html"]].concat();
    let output = buy(address, directory.path(), &flags).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("requests    8 sent, 0 retries, 0 given up, 0 not sent"), "{stdout}");
    assert!(stdout.contains("4  202 queued"), "{stdout}");
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("202 queued") && page.contains("<svg"), "{page}");
    let outcomes = std::fs::read_to_string(directory.path().join("outcomes.tsv")).unwrap();
    assert_eq!(outcomes, "0\t202\tqueued\n1\t422\twrong_answer\n2\t202\tqueued\n3\t500\t-\n");
    let report = report(directory.path());
    assert_eq!(report["ended_by"], "completion");
    assert_eq!(report["by_http_status"], serde_json::json!({"202": 4, "422": 2, "500": 2}));
    assert_eq!(report["by_word"], serde_json::json!({"queued": 4, "wrong_answer": 2, "-": 2}));
    assert_eq!(report["error_share"], 0.25);
    let buckets = |latency: &serde_json::Value| -> u64 {
        let buckets = latency["buckets_us"].as_array().unwrap();
        buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum()
    };
    let seconds = report["seconds"].as_array().unwrap();
    let of_seconds: u64 = seconds.iter().map(|second| buckets(&second["latency"])).sum();
    assert_eq!((buckets(&report["latency"]), of_seconds), (8, 8));
}

#[test]
fn too_many_errors_are_exit_code_1() {
    let (address, _reports) = serve(by_token);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\nb\nc\nbroken\n").unwrap();
    for (share, code) in [("0.25", 0), ("0.24", 1)] {
        let flags = ["--tokens", "tokens", "--max-error-share", share];
        assert_eq!(buy(address, directory.path(), &flags).status().unwrap().code(), Some(code), "{share}");
    }
}

#[test]
fn a_site_that_is_not_there_is_a_result_and_not_a_failure_to_run() {
    // Reserved, so nothing listens there, and no other test can be given it.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\nb\n").unwrap();
    let output = buy(nobody, directory.path(), &["--tokens", "tokens"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(report(directory.path())["errors"]["connect"]["count"], 2);
    let outcomes = std::fs::read_to_string(directory.path().join("outcomes.tsv")).unwrap();
    assert_eq!(outcomes, "0\t0\tconnect\n1\t0\tconnect\n");
}

#[test]
fn wrong_usage_is_exit_code_2_and_sends_nothing() {
    let (address, reports) = serve(by_token);
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tokens"), "a\n").unwrap();
    std::fs::write(directory.path().join("bad"), "two words\n").unwrap();
    for flags in [
        ["--tokens", "missing", "--rate", "1/s"],
        ["--tokens", "bad", "--rate", "1/s"],
        ["--tokens", "tokens", "--rate", "fast"],
        ["--tokens", "tokens", "--timeout", "5"],
    ] {
        let output = buy(address, directory.path(), &flags).output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{flags:?}");
        assert!(!stderr.contains("two words"), "{stderr}");
    }
    assert!(reports.try_recv().is_err());
}

#[test]
fn tokens_come_from_stdin_and_ctrl_c_ends_the_run_with_its_summary() {
    let (address, reports) = serve(by_token);
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--tokens", "-", "--repeat", "1000000", "--duration", "10m", "--connections", "2"];
    let mut child = buy(address, directory.path(), &flags).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\nb\nc\n").unwrap();
    for _ in 0..100 {
        reports.recv().unwrap();
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let output = child.wait_with_output().unwrap();
    let (stdout, _) = text(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout.contains("interrupted"), "{stdout}");
    let report = report(directory.path());
    assert_eq!(report["ended_by"], "interrupt");
    assert_eq!(report["requests"]["sent"], report["requests"]["answered"]);
}
