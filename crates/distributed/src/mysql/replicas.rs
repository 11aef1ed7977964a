//! Which replicas may be read, and reading from them.
//!
//! How far behind a replica is, is told by a row that everyone who reads replicas looks at on the primary each second, and
//! brings up to date if nobody else just did: what the replica has of it is that old by the primary's clock. That works
//! on both engines and needs no privilege, and unlike the server's own figure it is right when the replica does not know
//! that it is cut off. However many look, the row is written about once a second. While the primary is away, the last
//! verdict stands.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::mysql::MySqlConnectOptions;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::database::spawn_read;
use super::failure::Failure;
use super::rows::{self, now_ms};
use super::script::{Answer, Script};
use super::server::{self, Server};

pub(super) const BEAT: &str =
    concat!("UPDATE heartbeats SET at = ", now_ms!(), " WHERE id = 1 AND at <= ", now_ms!(), " - ?");
pub(super) const SELECT_BEAT: &str = "SELECT at FROM heartbeats WHERE id = 1";
pub(super) const SELECT_BEAT_AND_TIME: &str =
    concat!("SELECT COALESCE((SELECT at FROM heartbeats WHERE id = 1), 0), ", now_ms!());

/// How often replicas are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The row is brought up to date when it is this old.
const BEAT_EVERY_MS: i64 = 900;
/// How long a replica may take to answer before it is left out.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// The replicas of a primary.
#[derive(Debug)]
pub(super) struct Replicas {
    all: Vec<Replica>,
    lag_max: Duration,
    turn: AtomicUsize,
    stopped: CancellationToken,
}

#[derive(Debug)]
struct Replica {
    /// For logs and metrics: host and port.
    name: String,
    options: MySqlConnectOptions,
    server: Server,
    is_usable: AtomicBool,
    is_refused: AtomicBool,
}

impl Replicas {
    /// None of them is used before it was looked at.
    pub(super) fn new(
        options: &[MySqlConnectOptions],
        connections_max: u32,
        acquire_timeout: Duration,
        lag_max: Duration,
    ) -> Self {
        let replica = |options: &MySqlConnectOptions| Replica {
            name: format!("{}:{}", options.get_host(), options.get_port()),
            options: options.clone(),
            server: Server::new(options, connections_max, acquire_timeout.min(ANSWER_MAX)),
            is_usable: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
        };
        Self {
            all: options.iter().map(replica).collect(),
            lag_max,
            turn: AtomicUsize::new(0),
            stopped: CancellationToken::new(),
        }
    }

    /// Runs a script that changes nothing on the usable replicas in turn. `None` if there is none, or the one whose turn
    /// it was failed, which leaves it out until it was looked at again.
    pub(super) async fn read(&self, tasks: &TaskTracker, script: &Script) -> Option<Vec<Answer>> {
        let replica = self.next()?;
        match spawn_read(tasks, replica.server.clone(), script.clone(), ANSWER_MAX).await {
            Ok(answers) => Some(answers),
            Err(failure) => {
                replica.judge(Err(&failure));
                None
            }
        }
    }

    /// Keeps looking at the replicas until [`Replicas::stop`].
    pub(super) async fn watch(&self, primary: &Server, tasks: &TaskTracker) {
        // Each at its own moment of the second: after a pause instead, those who once wrote the row together would wait for
        // its lock and come together ever after.
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.all.is_empty() {
            tokio::select! {
                () = self.stopped.cancelled() => return,
                _ = looks.tick() => self.look(primary, tasks).await,
            }
        }
    }

    /// Ends the watch.
    pub(super) fn stop(&self) {
        self.stopped.cancel();
    }

    /// Closes the connections.
    pub(super) async fn close(&self) {
        join_all(self.all.iter().map(|replica| replica.server.close())).await;
    }

    fn next(&self) -> Option<&Replica> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.all.len()).map(|step| &self.all[turn.wrapping_add(step) % self.all.len()]);
        in_turn.into_iter().find(|replica| replica.is_usable.load(Ordering::Relaxed))
    }

    /// Looks at each once.
    async fn look(&self, primary: &Server, tasks: &TaskTracker) {
        let now_ms = beat(primary, tasks).await;
        let looks = self.all.iter().map(async |replica| {
            let select = Script::of(SELECT_BEAT, &[]);
            let beat_ms = spawn_read(tasks, replica.server.clone(), select, ANSWER_MAX)
                .await
                .and_then(|answers| first_number(&answers));
            match (&now_ms, beat_ms) {
                (_, Err(failure)) => replica.judge(Err(&failure)),
                (Err(_), Ok(_)) => {}
                (Ok(now_ms), Ok(beat_ms)) => {
                    let lag = Duration::from_millis(u64::try_from(now_ms - beat_ms).unwrap_or(0));
                    metrics::gauge!("miaosha_replica_lag_seconds", "replica" => replica.name.clone())
                        .set(lag.as_secs_f64());
                    replica.judge(Ok(lag <= self.lag_max));
                }
            }
        });
        join_all(looks).await;
    }
}

impl Replica {
    /// Takes the verdict down; a change is logged once.
    fn judge(&self, verdict: Result<bool, &Failure>) {
        self.note_refusal(verdict.err());
        let is_usable = matches!(verdict, Ok(true));
        metrics::gauge!("miaosha_replica_usable", "replica" => self.name.clone())
            .set(f64::from(u8::from(is_usable)));
        if self.is_usable.swap(is_usable, Ordering::Relaxed) == is_usable {
            return;
        }
        match verdict {
            Ok(true) => tracing::info!(replica = self.name, "a replica is read"),
            Ok(false) => tracing::warn!(replica = self.name, "a replica lags and is left out"),
            Err(failure) => tracing::warn!(replica = self.name, ?failure, "a replica fails and is left out"),
        }
    }

    /// One that was never usable has no change to log, and would be missed by nobody.
    fn note_refusal(&self, failure: Option<&Failure>) {
        let refusal = match failure {
            Some(Failure::Database(error)) => server::refusal(&self.options, error),
            _ => None,
        };
        let was_refused = self.is_refused.swap(refusal.is_some(), Ordering::Relaxed);
        if let Some(refusal) = refusal
            && !was_refused
        {
            tracing::error!(%refusal, "a replica cannot be used as it is configured");
        }
    }
}

/// Brings the row up to date if it is old; the primary's clock.
async fn beat(primary: &Server, tasks: &TaskTracker) -> Result<i64, Failure> {
    let select = Script::of(SELECT_BEAT_AND_TIME, &[]);
    let answers = spawn_read(tasks, primary.clone(), select, ANSWER_MAX).await?;
    let row = answers.iter().find_map(|answer| answer.rows.first());
    let row = row.expect("a SELECT without a table has one row");
    let (at_ms, now_ms): (i64, i64) = (rows::get(row, 0)?, rows::get(row, 1)?);
    if now_ms - at_ms >= BEAT_EVERY_MS {
        let beat = Script::of(BEAT, &[&BEAT_EVERY_MS]);
        spawn_read(tasks, primary.clone(), beat, ANSWER_MAX).await?;
    }
    Ok(now_ms)
}

fn first_number(answers: &[Answer]) -> Result<i64, Failure> {
    let row = answers.iter().find_map(|answer| answer.rows.first());
    row.map_or(Ok(0), |row| Ok(rows::get(row, 0)?))
}
