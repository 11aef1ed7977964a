//! A transaction that an asynchronous caller holds while its connection belongs to a task.
//!
//! The caller sends scripts; between two of them the task waits for the next. When the caller drops its end, or takes
//! too long, the task rolls back and gives the connection back. A connection that does not answer is closed, and if
//! this process is gone or stuck, the server ends the session a few seconds after its last word, with all its locks.

use std::time::Duration;

use miaosha_app::ports::PortResult;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::database::Database;
use super::failure::Failure;
use super::rows::Malformed;
use super::script::{Answer, Script};
use super::server::{Lease, Server};

/// The longest that a transaction may take from its lock on. Followers rely on it: they read again the events of twice
/// this span.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);
/// How long taking the lock may take, with waiting for a connection. The server gives up waiting for a lock earlier.
const LOCK_MAX: Duration = Duration::from_secs(5);
/// How often the lock is asked for, if the server rolled back or the connection was lost.
const TRIES_MAX: usize = 4;

/// Both engines judge the silence of a client by this, also inside a transaction, from the next statement on.
const BEGIN: &str = "SET SESSION wait_timeout = 6";
const START: &str = "START TRANSACTION";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const END: &str = "SET SESSION wait_timeout = 900";

/// The caller's end of a transaction. Dropping it rolls back.
#[derive(Debug)]
pub(super) struct HeldTransaction {
    steps: mpsc::Sender<Step>,
}

#[derive(Debug)]
enum Step {
    Look { script: Script, reply: oneshot::Sender<Result<Vec<Answer>, Failure>> },
    Commit { script: Script, reply: oneshot::Sender<Result<(), Failure>> },
}

impl HeldTransaction {
    /// Waits for a connection, begins, and runs `lock`, of which `read` says what was found. If nothing was, the
    /// transaction is over.
    pub(super) async fn begin<T: Send + 'static>(
        database: &Database,
        what: &'static str,
        lock: Script,
        read: fn(&[Answer]) -> Result<Option<T>, Malformed>,
    ) -> PortResult<Option<(Self, T)>> {
        let (reply, answer) = oneshot::channel();
        let server = database.transactions.clone();
        database.tasks.spawn(async move {
            let (lease, answers) = match timeout(LOCK_MAX, take_lock(&server, lock, &reply)).await {
                Ok(Ok(taken)) => taken,
                Ok(Err(failure)) => return drop(reply.send(Err(failure))),
                Err(_) => return drop(reply.send(Err(Failure::Late))),
            };
            let end = Instant::now() + TRANSACTION_MAX;
            match read(&answers) {
                Ok(Some(found)) => {
                    let (steps, queue) = mpsc::channel(1);
                    // If the caller has gone, the sender is dropped here, and serving ends at once.
                    let _ = reply.send(Ok(Some((Self { steps }, found))));
                    serve(lease, queue, end).await;
                }
                Ok(None) => {
                    let _ = reply.send(Ok(None));
                    give_up(lease).await;
                }
                Err(malformed) => {
                    let _ = reply.send(Err(malformed.into()));
                    give_up(lease).await;
                }
            }
        });
        let result = answer.await.unwrap_or(Err(Failure::Over));
        result.map_err(|failure| failure.into_port_error(what))
    }

    /// Runs a script inside the transaction. After an error the transaction is over.
    pub(super) async fn look(&self, what: &'static str, script: Script) -> PortResult<Vec<Answer>> {
        let (reply, answer) = oneshot::channel();
        let result = self.run(Step::Look { script, reply }, answer).await;
        result.map_err(|failure| failure.into_port_error(what))
    }

    /// Runs a script of changes and commits, if each statement found as many rows as it had to. Dropped before the
    /// commit has begun, it rolls back.
    pub(super) async fn commit(self, script: Script) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        self.run(Step::Commit { script, reply }, answer).await
    }

    async fn run<T>(&self, step: Step, answer: oneshot::Receiver<Result<T, Failure>>) -> Result<T, Failure> {
        self.steps.send(step).await.map_err(|_| Failure::Over)?;
        answer.await.unwrap_or(Err(Failure::Over))
    }
}

/// Begins a transaction and takes the lock; again, as long as nothing was done.
async fn take_lock<T>(
    server: &Server,
    lock: Script,
    reply: &oneshot::Sender<T>,
) -> Result<(Lease, Vec<Answer>), Failure> {
    const SET_UP: usize = 2;
    let mut script = Script::of(BEGIN, &[]).then(START, &[]);
    script.append(lock);
    for tries in 1.. {
        let mut lease = server.lease().await?;
        if reply.is_closed() {
            lease.give_back();
            break;
        }
        let failure = match script.run(&mut lease).await {
            Ok(mut answers) => return Ok((lease, answers.split_off(SET_UP))),
            Err(error) => Failure::from(error),
        };
        let is_lost = failure.is_of_connection();
        if !is_lost {
            give_up(lease).await;
        }
        if tries == TRIES_MAX || !(is_lost || failure.is_deadlock()) {
            return Err(failure);
        }
    }
    Err(Failure::Over)
}

/// Every way out but a commit rolls back, or closes the connection, so that the server does.
async fn serve(mut lease: Lease, mut steps: mpsc::Receiver<Step>, end: Instant) {
    loop {
        match timeout_at(end, steps.recv()).await {
            Ok(Some(Step::Look { script, reply })) => {
                let result = match timeout_at(end, script.run(&mut lease)).await {
                    Ok(result) => result.map_err(Failure::from),
                    Err(_) => Err(Failure::Late),
                };
                let failed = result.as_ref().err().map(Failure::is_of_connection);
                // An error says that the caller has gone meanwhile, and then so has the sender of steps.
                let _ = reply.send(result);
                match failed {
                    None => {}
                    Some(true) => return,
                    Some(false) => return give_up(lease).await,
                }
            }
            Ok(Some(Step::Commit { script, reply })) => {
                return commit(lease, &script, reply, end).await;
            }
            Ok(None) => return give_up(lease).await,
            Err(_) => {
                tracing::warn!(
                    longest_ms = TRANSACTION_MAX.as_millis(),
                    "a transaction took too long and was rolled back"
                );
                return give_up(lease).await;
            }
        }
    }
}

async fn commit(
    mut lease: Lease,
    script: &Script,
    reply: oneshot::Sender<Result<(), Failure>>,
    end: Instant,
) {
    let work = async {
        if !script.is_empty() && !script.is_as_expected(&script.run(&mut lease).await?) {
            return Err(Failure::Changed);
        }
        if reply.is_closed() {
            return Err(Failure::Over);
        }
        Script::of(COMMIT, &[]).run(&mut lease).await?;
        Ok(())
    };
    match timeout_at(end, work).await {
        Ok(Ok(())) => {
            let _ = reply.send(Ok(()));
            finish(lease, Script::of(END, &[])).await;
        }
        Ok(Err(failure)) => {
            let is_usable = !failure.is_of_connection() || matches!(failure, Failure::Over);
            let _ = reply.send(Err(failure));
            if is_usable {
                give_up(lease).await;
            }
        }
        Err(_) => drop(reply.send(Err(Failure::Late))),
    }
}

async fn give_up(lease: Lease) {
    finish(lease, Script::of(ROLLBACK, &[]).then(END, &[])).await;
}

/// Gives the connection back if the server answers in time.
async fn finish(mut lease: Lease, script: Script) {
    if let Ok(Ok(_)) = timeout(LOCK_MAX, script.run(&mut lease)).await {
        lease.give_back();
    }
}
