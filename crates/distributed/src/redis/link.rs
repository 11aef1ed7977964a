//! The way to Redis for calls: a connection that is replaced when it is of no use any more, and the functions on every
//! node that lacks them.
//!
//! After an outage of any length a fresh connection is made from the configured nodes, instead of waiting for the old
//! one to find its way back. While there is none, calls fail at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use redis::{Cmd, PushInfo, Value};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::circuit::Circuit;
use super::config::OpenError;
use super::connection::{CONNECT_MAX, ConnectError, Connection, Target};
use super::failure::Failure;
use super::functions;

/// A connection is replaced no more often than this.
const REPLACE_EVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(250);
const LOAD_MAX: Duration = Duration::from_secs(1);

/// The way to Redis.
pub(crate) struct Link {
    target: Target,
    connection: RwLock<Option<Connection>>,
    is_doubtful: Notify,
}

impl Link {
    /// Connects, if Redis is there. [`Link::keep`] has to run for the connection to be kept.
    pub(crate) async fn open(target: Target) -> Result<Arc<Self>, OpenError> {
        let link = Self { target, connection: RwLock::new(None), is_doubtful: Notify::new() };
        match link.connect().await {
            // What takes too long is no refusal.
            Ok(()) => timeout(CONNECT_MAX, link.target.check_announced()).await.unwrap_or(Ok(()))?,
            Err(ConnectError::Config(error)) => return Err(error),
            Err(error) => {
                warn!(%error, "Redis is away: going on without it until it is back");
                link.is_doubtful.notify_one();
            }
        }
        Ok(Arc::new(link))
    }

    /// Replaces the connection when a call has failed on it, for ever.
    pub(crate) async fn keep(&self) {
        loop {
            self.is_doubtful.notified().await;
            let mut is_unusable = false;
            while let Err(error) = self.connect().await {
                // Dropped, since it would try to recover without a pause.
                if self.connection.write().take().is_some() {
                    warn!(%error, "Redis is away: going on without it until it is back");
                }
                if let ConnectError::Config(error) = error
                    && !std::mem::replace(&mut is_unusable, true)
                {
                    error!(%error, "Redis cannot be used as it is configured");
                }
                sleep(RETRY_AFTER).await;
            }
            sleep(REPLACE_EVERY).await;
        }
    }

    /// Ends the connection; calls fail from now on, unless [`Link::keep`] is still running.
    pub(crate) fn close(&self) {
        self.connection.write().take();
    }

    /// Calls a function, and loads the functions first where they are missing.
    ///
    /// The call may reach Redis more than once, also later than its failure is told here.
    pub(crate) async fn call(
        &self,
        circuit: &Circuit,
        command: &Cmd,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let Some(mut connection) = self.connection.read().clone() else { return Err(Failure::Away) };
        if !circuit.lets_pass() {
            return Err(Failure::Away);
        }
        let answered = async {
            match connection.call(command).await.map_err(Failure::from) {
                Err(failure) if failure.lacks_functions() => {
                    // If a node cannot be reached for it, this call's own may still have them.
                    if let Err(error) = functions::load(&mut connection).await {
                        debug!(%error, "not every master has the functions yet");
                    }
                    Ok(connection.call(command).await?)
                }
                answer => answer,
            }
        };
        let outcome = timeout(limit, answered).await.unwrap_or(Err(Failure::Late));
        match &outcome {
            Err(failure) if !failure.is_answer() => {
                circuit.failed();
                self.is_doubtful.notify_one();
            }
            _ => circuit.succeeded(),
        }
        outcome
    }

    async fn connect(&self) -> Result<(), ConnectError> {
        let no_pushes = None::<fn(PushInfo) -> Result<(), ()>>;
        let connecting = timeout(CONNECT_MAX, self.target.connect(no_pushes));
        let mut connection = connecting.await.unwrap_or(Err(ConnectError::Late))?;
        if self.connection.write().replace(connection.clone()).is_none() {
            info!("connected to Redis");
        }
        // Best effort: a call that finds them missing loads them, too.
        if !matches!(timeout(LOAD_MAX, functions::load(&mut connection)).await, Ok(Ok(()))) {
            debug!("not every master has the functions yet");
        }
        Ok(())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
