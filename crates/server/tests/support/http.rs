//! Calls to a site.

use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::http::response;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// No state is waited for longer than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A site, as its visitors reach it.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    /// Such as `http://127.0.0.1:40123`.
    pub(crate) base: String,
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

impl Http {
    /// The site at `base`.
    pub(crate) fn of(base: String) -> Self {
        Self { base, client: Client::builder(TokioExecutor::new()).build_http() }
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
        let (head, body) = self.fetch(request).await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// What a process counts under this name and these labels, such as `name{label="value"}`; 0 before the first time.
    pub(crate) async fn figure(&self, series: &str) -> u64 {
        let request = Request::get(format!("{}/metrics", self.base)).body(Full::default()).unwrap();
        let (head, body) = self.fetch(request).await.unwrap();
        assert_eq!(head.status, StatusCode::OK);
        let figures = String::from_utf8(body.to_vec()).unwrap();
        let value = figures.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn fetch(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(response::Parts, Bytes)> {
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await??;
        let (head, body) = answer.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
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
