//! Tasks that run for as long as an engine is used, and that nobody would miss if they panicked.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Whether one of the tasks of an engine has panicked, which is a defect of this crate. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fall(CancellationToken);

impl Fall {
    /// The same task; if it panics, that is noted.
    pub(crate) fn watched<T: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: T,
    ) -> impl Future<Output = ()> + Send + use<T> {
        let fallen = self.0.clone();
        async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                error!(task = name, "a task of an engine has panicked");
                fallen.cancel();
            }
        }
    }

    /// Waits until a task has panicked.
    pub(crate) async fn noted(&self) {
        self.0.cancelled().await;
    }
}
