//! Waiting for states, never for a time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// After this a fact hangs. Far above what the slowest machine needs for any of them.
const LONGEST: Duration = Duration::from_mins(1);

/// Runs a fact on a runtime of its own; fails if it hangs.
pub fn run(fact: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        tokio::time::timeout(LONGEST, fact).await.expect("the fact hangs");
    });
}

/// Waits until `holds`.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Polls once: `Some` if the future is ready. It goes on if it is polled again, and is cancelled if it is dropped.
pub async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
