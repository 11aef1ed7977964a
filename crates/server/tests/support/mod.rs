//! A real site for tests: the real binary on a free port and a temporary directory, which can be killed.
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// No state is waited for longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The real binary, serving.
pub(crate) struct Site {
    child: Child,
    /// Such as `http://127.0.0.1:40123`.
    pub(crate) base: String,
    data_dir: PathBuf,
    environment: Vec<(String, String)>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: hyper::HeaderMap,
    /// The body; `Null` if it is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The stable code of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// A text of the body.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {self:?}"))
    }
}

impl Site {
    /// Starts a site on `data_dir`, with settings by environment.
    pub(crate) fn start(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        let environment: Vec<_> =
            environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (child, base) = spawn(data_dir, "127.0.0.1:0", &environment);
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { child, base, data_dir: data_dir.to_owned(), environment, client }
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
        (self.child, self.base) = spawn(&self.data_dir, &listen, &self.environment);
        self.client = Client::builder(TokioExecutor::new()).build_http();
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

    /// One call; panics if there is no answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        self.try_call(method, path, token, body).await.unwrap()
    }

    /// One call.
    pub(crate) async fn try_call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|json| json.to_string()).unwrap_or_default();
        self.send(request.body(Full::from(body))?).await
    }

    /// One request as it is.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await??;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Asks for a unit.
    pub(crate) async fn buy(&self, sale: &str, token: &str) -> Answer {
        let body = serde_json::json!({ "answer": "" });
        self.call(Method::POST, &format!("/api/v1/sales/{sale}/requests"), Some(token), Some(body)).await
    }

    /// Looks a claim up.
    pub(crate) async fn claim(&self, sale: &str, token: &str) -> Answer {
        self.call(Method::GET, &format!("/api/v1/sales/{sale}/claim"), Some(token), None).await
    }

    /// Looks a claim up until it has `status`.
    pub(crate) async fn claim_when(&self, sale: &str, token: &str, status: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let claim = self.claim(sale, token).await;
            if claim.body["status"] == status {
                return claim;
            }
            assert!(Instant::now() < deadline, "waiting for {status}: {claim:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Pays with a sandbox card.
    pub(crate) async fn check_out(&self, checkout_token: &str, card: &str) -> Answer {
        self.try_check_out(checkout_token, card).await.unwrap()
    }

    /// The same, where the server may be gone.
    pub(crate) async fn try_check_out(&self, checkout_token: &str, card: &str) -> anyhow::Result<Answer> {
        let body = serde_json::json!({
            "payment": { "method": "sandbox", "card": card },
            "shipping": { "name": "Ann", "phone": "+1 555 0100", "address": "1 Main Street" },
        });
        self.try_call(Method::POST, "/api/v1/checkout", Some(checkout_token), Some(body)).await
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
