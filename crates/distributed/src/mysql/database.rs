//! One primary and its replicas, and how work is done on them.
//!
//! Everything runs in tasks that own their connections, because a future of the driver that is dropped half-way leaves
//! its connection in the middle of an answer. A caller who goes away leaves a task that ends what it has begun.

use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{Freshness, PortResult};
use sqlx::mysql::MySqlRow;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::replicas::Replicas;
use super::rows::Malformed;
use super::script::{Answer, Script};
use super::server::{Lease, Server};
use super::transaction::HeldTransaction;
use crate::fall::Fall;

/// How long a single write may take, with waiting for a connection.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How often work is tried that left no trace.
const TRIES_MAX: usize = 4;

/// The databases of a site.
#[derive(Debug)]
pub(super) struct Database {
    /// For transactions that are held; they may wait long for a lock, and must not keep look-ups waiting.
    pub(super) transactions: Server,
    /// For everything else on the primary.
    pub(super) primary: Server,
    pub(super) replicas: Arc<Replicas>,
    /// How long a read may take, with waiting for a connection; but not one of a whole sale.
    pub(super) read_max: Duration,
    pub(super) tasks: TaskTracker,
    pub(super) fall: Fall,
}

impl Database {
    /// Runs a script that changes nothing on the primary; again, if the connection was lost.
    pub(super) async fn read(&self, what: &'static str, script: Script) -> PortResult<Vec<Answer>> {
        self.read_within(what, script, self.read_max).await
    }

    /// The same, within another time.
    pub(super) async fn read_within(
        &self,
        what: &'static str,
        script: Script,
        longest: Duration,
    ) -> PortResult<Vec<Answer>> {
        let result = spawn_read(&self.tasks, self.primary.clone(), script, longest).await;
        result.map_err(|failure| failure.into_port_error(what))
    }

    /// Runs one query and reads its rows, on a replica if they need not be fresh and one is near enough.
    pub(super) async fn list<T>(
        &self,
        what: &'static str,
        freshness: Freshness,
        script: Script,
        read: fn(&MySqlRow) -> Result<T, Malformed>,
    ) -> PortResult<Vec<T>> {
        let answers = match freshness {
            Freshness::Fresh => self.read(what, script).await?,
            Freshness::StaleOk => match self.replicas.read(&self.tasks, &script).await {
                Some(answers) => answers,
                None => self.read(what, script).await?,
            },
        };
        let listed = answers.iter().flat_map(|answer| &answer.rows).map(read).collect::<Result<_, _>>();
        listed.map_err(|malformed| Failure::from(malformed).into_port_error(what))
    }

    /// Runs a query on the primary and reads its only row, if there is one.
    pub(super) async fn lookup<T>(
        &self,
        what: &'static str,
        script: Script,
        read: fn(&MySqlRow) -> Result<T, Malformed>,
    ) -> PortResult<Option<T>> {
        Ok(self.list(what, Freshness::Fresh, script, read).await?.pop())
    }

    /// Runs a script that is a transaction of its own on the primary; again, if the server rolled it back because of a
    /// deadlock.
    pub(super) async fn write(&self, script: Script) -> Result<Vec<Answer>, Failure> {
        let (reply, answer) = oneshot::channel();
        let server = self.primary.clone();
        self.tasks.spawn(async move {
            let result = timeout(WRITE_MAX, write(&server, script)).await;
            // An error says that the caller has gone; what was written stays.
            let _ = reply.send(result.unwrap_or(Err(Failure::Late)));
        });
        answer.await.unwrap_or(Err(Failure::Over))
    }

    /// Begins a transaction that the caller holds; see [`HeldTransaction::begin`].
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        what: &'static str,
        lock: Script,
        read: fn(&[Answer]) -> Result<Option<T>, Malformed>,
    ) -> PortResult<Option<(HeldTransaction, T)>> {
        HeldTransaction::begin(self, what, lock, read).await
    }

    /// Ends what is under way, and closes the connections.
    pub(super) async fn close(&self) {
        self.replicas.stop();
        self.tasks.close();
        self.tasks.wait().await;
        self.transactions.close().await;
        self.primary.close().await;
        self.replicas.close().await;
    }
}

/// Runs a script that changes nothing in a task of its own.
pub(super) async fn spawn_read(
    tasks: &TaskTracker,
    server: Server,
    script: Script,
    longest: Duration,
) -> Result<Vec<Answer>, Failure> {
    let (reply, answer) = oneshot::channel();
    tasks.spawn(async move {
        let result = timeout(longest, read(&server, script)).await;
        // An error says that the caller has gone.
        let _ = reply.send(result.unwrap_or(Err(Failure::Late)));
    });
    answer.await.unwrap_or(Err(Failure::Over))
}

async fn read(server: &Server, script: Script) -> Result<Vec<Answer>, Failure> {
    for _ in 1..TRIES_MAX {
        match attempt(server.lease().await?, &script).await {
            Err(failure) if failure.is_of_connection() || failure.is_deadlock() => {}
            result => return result,
        }
    }
    attempt(server.lease().await?, &script).await
}

async fn write(server: &Server, script: Script) -> Result<Vec<Answer>, Failure> {
    for _ in 1..TRIES_MAX {
        match attempt(server.lease().await?, &script).await {
            Err(failure) if failure.is_deadlock() => {}
            result => return result,
        }
    }
    attempt(server.lease().await?, &script).await
}

async fn attempt(mut lease: Lease, script: &Script) -> Result<Vec<Answer>, Failure> {
    let result = script.run(&mut lease).await.map_err(Failure::from);
    match &result {
        Ok(_) => lease.give_back(),
        Err(failure) if failure.is_of_connection() => drop(lease),
        // A script of several statements may have left its transaction open.
        Err(_) => {
            if Script::of("ROLLBACK", &[]).run(&mut lease).await.is_ok() {
                lease.give_back();
            }
        }
    }
    result
}
