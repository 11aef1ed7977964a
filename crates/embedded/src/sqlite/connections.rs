//! Threads that own database connections, so that no asynchronous thread ever waits for a disk.

use std::sync::Arc;
use std::{io, thread};

use miaosha_app::ports::{PortError, PortResult};
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::DirectoryLock;
use super::failure::Failure;

/// One thread for each connection; they take their jobs from one queue, in order.
#[derive(Debug)]
pub(crate) struct Connections {
    jobs: mpsc::Sender<Job>,
    threads: usize,
}

enum Job {
    Work(Box<dyn FnOnce(&mut Connection) + Send>),
    /// Ends one thread.
    End,
}

/// The most jobs that wait in the queue. Who asks for more waits for a place.
const JOBS_MAX: usize = 1_024;

impl Connections {
    /// Starts the threads. `lock` is held until the last of them has closed its connection.
    pub(crate) fn start(
        name: &str,
        connections: Vec<Connection>,
        lock: &Arc<DirectoryLock>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let threads = connections.len();
        for connection in connections {
            let (queue, lock) = (Arc::clone(&queue), Arc::clone(lock));
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                work(connection, &queue);
                // The queue last: whoever waits for its end finds the directory free.
                drop(lock);
                drop(queue);
            })?;
        }
        Ok(Self { jobs, threads })
    }

    /// Runs `work` on one of the connections and returns what it returns. Dropped before its turn, it never runs.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> PortResult<T> {
        let (reply, answer) = oneshot::channel();
        self.submit(what, move |connection| {
            if !reply.is_closed() {
                // An error says that the caller has gone meanwhile.
                let _ = reply.send(work(connection));
            }
        })
        .await?;
        let result = answer.await.map_err(|_| closed(what))?;
        result.map_err(|failure| failure.into_port_error(what))
    }

    /// Queues a job that answers by itself.
    pub(super) async fn submit(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Connection) + Send + 'static,
    ) -> PortResult<()> {
        self.jobs.send(Job::Work(Box::new(work))).await.map_err(|_| closed(what))
    }

    /// Ends the threads after what was queued before, and returns when they have closed their connections.
    pub(crate) async fn close(&self) {
        for _ in 0..self.threads {
            // An error says that the threads have ended before.
            let _ = self.jobs.send(Job::End).await;
        }
        self.jobs.closed().await;
    }
}

/// The answer to calls after the end.
pub(super) fn closed(what: &'static str) -> PortError {
    PortError::terminal(what, "the database is closed")
}

fn work(mut connection: Connection, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().blocking_recv();
        match job {
            Some(Job::Work(work)) => work(&mut connection),
            Some(Job::End) | None => return,
        }
    }
}
