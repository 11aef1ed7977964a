//! A real site for tests: the real binary on a free port and a temporary directory, which can be killed.
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

pub(crate) mod http;
pub(crate) mod socket;

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use http::{Http, PATIENCE};

/// The real binary, serving.
pub(crate) struct Site {
    child: Child,
    data_dir: PathBuf,
    environment: Vec<(String, String)>,
    http: Http,
}

impl Site {
    /// Starts a site on `data_dir`, with settings by environment.
    pub(crate) fn start(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let environment: Vec<_> =
            environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (child, base) = spawn(data_dir, "127.0.0.1:0", &environment);
        Self { child, data_dir: data_dir.to_owned(), environment, http: Http::of(base) }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, then waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn terminate(mut self, patience: Duration) -> std::process::ExitStatus {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(asked.success());
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts again on the same data and the same port.
    pub(crate) fn restart(&mut self) {
        let listen = self.base.trim_start_matches("http://").to_owned();
        let (child, base) = spawn(&self.data_dir, &listen, &self.environment);
        (self.child, self.http) = (child, Http::of(base));
    }

    /// Runs another command on the same data.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        cli(&self.data_dir, &self.environment, arguments)
    }

    /// Runs another command that must succeed, and reads its JSON.
    pub(crate) fn cli_json(&self, arguments: &[&str]) -> Value {
        let output = self.cli(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Plans a sale and returns its id.
    pub(crate) fn create_sale(&self, arguments: &[&str]) -> String {
        let sale = self.cli_json(&[&["sale", "create", "--title", "Console"], arguments].concat());
        sale["id"].as_str().unwrap().to_owned()
    }

    /// Recounts a sale; whatever is broken fails the test.
    pub(crate) fn verify(&self, sale: &str) -> Value {
        let output = self.cli(&["sale", "verify", sale, "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert!(output.status.success() && found["ok"] == true, "{found}");
        found
    }

    /// Session tokens of load-test users `first..=last`; needs `MIAOSHA_DEV__TOKEN_MINT`.
    pub(crate) fn tokens(&self, first: u64, last: u64) -> Vec<String> {
        let output = self.cli(&["token", "mint", "--users", &format!("{first}..{last}")]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Deref for Site {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// Runs a command of the binary to its end.
pub(crate) fn cli(data_dir: &Path, environment: &[(String, String)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_miaosha"))
        .args(arguments)
        .arg("--data-dir")
        .arg(data_dir)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .output()
        .unwrap()
}

fn spawn(data_dir: &Path, listen: &str, environment: &[(String, String)]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_miaosha"))
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(data_dir)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    // Reads to the end, so that the server never blocks on a full pipe; shows what it says when a test fails.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            eprintln!("{line}");
            if let Some(at) = line.find("http://") {
                let _nobody_waits =
                    sender.send(line[at..].split_whitespace().next().unwrap_or_default().to_owned());
            }
        }
    });
    let base = receiver.recv_timeout(PATIENCE).expect("the server says where it listens");
    (child, base)
}
