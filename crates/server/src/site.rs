//! Reaches the site's own admin API: over the control socket of a running server, or in this process on data that
//! nobody else has open. Either way the same routes answer.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{debug, error};

use crate::config::{Backend, Config};
use crate::lifecycle::Tasks;
use crate::telemetry;
use crate::wiring::{self, Node};

/// The admin API, wherever it is.
pub(crate) enum Site {
    /// A server runs.
    Running(http1::SendRequest<Full<Bytes>>),
    /// None does; the data is ours until this is closed.
    Opened(Box<Node>),
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Site {
    /// On embedded storage, finds a running server by its control socket, else opens the data. On distributed storage
    /// this process is one more of the site.
    pub(crate) async fn reach(config: &Config) -> anyhow::Result<Self> {
        if config.backend == Backend::Distributed {
            return Self::open(&wiring::as_command(config)).await;
        }
        match UnixStream::connect(config.control_socket()).await {
            Ok(stream) => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
                tokio::task::spawn_local(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "the control connection ended");
                    }
                });
                Ok(Self::Running(sender))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                Self::open(config).await
            }
            Err(error) => Err(error).context("cannot reach the running server"),
        }
    }

    /// Calls a route of the control API.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Answer> {
        let request = Request::builder().method(method).uri(path).header("host", "control");
        let request =
            if body.is_some() { request.header("content-type", "application/json") } else { request };
        let bytes = body.map(|json| json.to_string()).unwrap_or_default();
        let (status, bytes) = match self {
            Self::Running(sender) => {
                sender.ready().await.context("the server went away")?;
                let answer = sender.send_request(request.body(Full::from(bytes))?).await?;
                (answer.status(), answer.into_body().collect().await?.to_bytes())
            }
            Self::Opened(node) => {
                let answer = node.control().oneshot(request.body(Body::from(bytes))?).await?;
                (answer.status(), answer.into_body().collect().await?.to_bytes())
            }
        };
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status, body })
    }

    async fn open(config: &Config) -> anyhow::Result<Self> {
        let node = Node::open(config, telemetry::unheard_metrics(), TaskTracker::new()).await?;
        Ok(Self::Opened(Box::new(node)))
    }

    /// Gives the data free.
    pub(crate) async fn close(self) {
        if let Self::Opened(node) = self {
            node.close().await;
        }
    }
}

/// Serves the control API to whoever may open the socket: its owner alone. A socket that a killed server left behind is
/// replaced; the caller holds the data directory's lock, so no other server can be behind it.
pub(crate) fn serve_control(tasks: &Tasks, path: &Path, router: Router) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let shutdown = tasks.shutdown().clone();
    let path = path.to_owned();
    tasks.spawn("control", async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serving.await {
            error!(%error, "the control socket failed");
        }
        if let Err(error) = std::fs::remove_file(&path) {
            debug!(%error, "the control socket was gone");
        }
    });
    Ok(())
}
