//! A transaction that an asynchronous caller holds while it lives on the writer's thread.
//!
//! The caller sends steps; between two of them the thread waits for the next. When the caller drops its end, or takes
//! too long, the thread rolls back and turns to the next in line.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use miaosha_app::ports::{PortError, PortResult};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::connections::{Connections, closed};
use super::failure::Failure;

/// The longest that a transaction may hold the writer; then it is rolled back. Followers rely on it: they read again
/// the events of twice this span.
pub(super) const TRANSACTION_MAX: Duration = Duration::from_secs(5);

/// The caller's end of a transaction. Dropping it rolls back, also while a step runs.
#[derive(Debug)]
pub(super) struct HeldTransaction {
    steps: Sender<Step>,
}

enum Step {
    Look(Box<dyn FnOnce(&Connection) -> Outcome + Send>),
    Commit(Box<dyn FnOnce(Transaction<'_>) + Send>),
}

/// Whether a transaction is usable after a step. `SQLite` itself rolls back after some errors, and what is written
/// afterwards would be committed one by one.
enum Outcome {
    Usable,
    Broken,
}

impl HeldTransaction {
    /// Waits for the writer, begins, and runs `first`. If that finds nothing, the transaction is over.
    pub(super) async fn begin<T: Send + 'static>(
        writer: &Connections,
        longest: Duration,
        what: &'static str,
        first: impl FnOnce(&Connection) -> Result<Option<T>, Failure> + Send + 'static,
    ) -> PortResult<Option<(Self, T)>> {
        let (reply, answer) = oneshot::channel();
        writer
            .submit(what, move |connection| {
                if reply.is_closed() {
                    return;
                }
                let (steps, queue) = mpsc::channel();
                let held = Self { steps };
                match start(connection, first) {
                    Ok(Some((transaction, found))) => {
                        // If the caller has gone, `held` is dropped here, and serving ends at once.
                        let _ = reply.send(Ok(Some((held, found))));
                        serve(transaction, &queue, longest);
                    }
                    Ok(None) => drop(reply.send(Ok(None))),
                    Err(failure) => drop(reply.send(Err(failure))),
                }
            })
            .await?;
        let result = answer.await.map_err(|_| closed(what))?;
        result.map_err(|failure| failure.into_port_error(what))
    }

    /// Runs `work` inside the transaction. After an error the transaction is over.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> PortResult<T> {
        let (reply, answer) = oneshot::channel();
        let step = Step::Look(Box::new(move |connection| {
            let result = work(connection);
            let outcome = if result.is_ok() { Outcome::Usable } else { Outcome::Broken };
            // An error says that the caller has gone meanwhile.
            let _ = reply.send(result);
            outcome
        }));
        self.run(what, step, answer).await
    }

    /// Runs `work` and commits if it succeeds. Dropped before the commit has begun, it rolls back.
    pub(super) async fn commit(
        self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<(), Failure> + Send + 'static,
    ) -> PortResult<()> {
        let (reply, answer) = oneshot::channel();
        let step = Step::Commit(Box::new(move |transaction| {
            let written = work(&transaction);
            if reply.is_closed() {
                return;
            }
            let _ = reply.send(written.and_then(|()| Ok(transaction.commit()?)));
        }));
        self.run(what, step, answer).await
    }

    async fn run<T>(
        &self,
        what: &'static str,
        step: Step,
        answer: oneshot::Receiver<Result<T, Failure>>,
    ) -> PortResult<T> {
        let over =
            || PortError::retryable(what, "the transaction was over: it took too long, or a step had failed");
        self.steps.send(step).map_err(|_| over())?;
        let result = answer.await.map_err(|_| over())?;
        result.map_err(|failure| failure.into_port_error(what))
    }
}

fn start<T>(
    connection: &mut Connection,
    first: impl FnOnce(&Connection) -> Result<Option<T>, Failure>,
) -> Result<Option<(Transaction<'_>, T)>, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    Ok(first(&transaction)?.map(|found| (transaction, found)))
}

/// Every way out but a commit drops the transaction, which rolls it back.
fn serve(transaction: Transaction<'_>, steps: &Receiver<Step>, longest: Duration) {
    let end = Instant::now() + longest;
    loop {
        match steps.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Step::Look(look)) => match look(&transaction) {
                Outcome::Usable => {}
                Outcome::Broken => return,
            },
            Ok(Step::Commit(commit)) => return commit(transaction),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    longest_ms = longest.as_millis(),
                    "a transaction took too long and was rolled back"
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
