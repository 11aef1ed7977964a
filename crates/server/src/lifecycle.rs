//! Starting and ending: tasks that are seen when they panic, and a shutdown that is a value passed down.
//!
//! The first signal drains: stop accepting, finish what is under way, up to a deadline. The second aborts. A drain has two
//! parts: while those who are connected are served to their end, what answers them goes on; then that ends as well.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// The tasks of a process and the token that ends them. Cloning shares both.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    runtime: Handle,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    served: CancellationToken,
    has_panicked: Arc<AtomicBool>,
}

impl Tasks {
    /// Tasks of `runtime`.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            served: CancellationToken::new(),
            has_panicked: Arc::default(),
        }
    }

    /// Is cancelled when the process shall end.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Is cancelled when nobody is connected any more, after the shutdown began.
    pub(crate) fn served(&self) -> &CancellationToken {
        &self.served
    }

    /// Where the tasks of requests that must run to their end are counted.
    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Runs a task that ends by itself after the shutdown began. A panic is logged and ends the process: a role that
    /// is half gone is worse than one that is restarted.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tracker.spawn_on(task, &self.runtime);
        let (shutdown, has_panicked) = (self.shutdown.clone(), self.has_panicked.clone());
        self.tracker.spawn_on(
            async move {
                if let Err(error) = handle.await {
                    error!(task = name, %error, "a task panicked: shutting down");
                    has_panicked.store(true, Ordering::Relaxed);
                    shutdown.cancel();
                }
            },
            &self.runtime,
        );
    }

    /// Whether a task has panicked, which is why the process ends.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.load(Ordering::Relaxed)
    }

    /// Runs a task that is dropped, wherever it is, when the shutdown begins.
    pub(crate) fn spawn_until_shutdown(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_until(&self.shutdown, name, task);
    }

    /// Runs a task that those who are connected need: it is dropped, wherever it is, when nobody is any more.
    pub(crate) fn spawn_while_serving(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_until(&self.served, name, task);
    }

    fn spawn_until(
        &self,
        end: &CancellationToken,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let end = end.clone();
        self.spawn(name, async move {
            end.run_until_cancelled(task).await;
        });
    }

    /// Ends what served those who were connected, and waits for every task, up to `deadline`. Whether all ended.
    pub(crate) async fn drained(&self, deadline: Duration) -> bool {
        self.served.cancel();
        self.tracker.close();
        let is_drained = tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok();
        if !is_drained {
            warn!(tasks = self.tracker.len(), "some tasks did not end in time");
        }
        is_drained
    }
}

/// Waits for the first SIGINT or SIGTERM and begins the shutdown; a second one aborts the process.
pub(crate) fn watch_signals(tasks: &Tasks) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = tasks.shutdown.clone();
    // Not one of the tasks that a drain waits for: it listens for the second signal until the process has ended.
    drop(tasks.runtime.spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        info!("draining; a second signal aborts");
        shutdown.cancel();
        next().await;
        warn!("aborted");
        std::process::exit(1);
    }));
    Ok(())
}
