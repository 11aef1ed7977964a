//! Answers kept for repeated requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{IdempotencyKey, IdempotencyStore, PortResult, Recorded, RecordedAnswer};
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Database;
use super::failure::Failure;
use super::rows;

const SELECT: &str = "SELECT body_digest, began_at, status, content_type, body FROM idempotency_keys \
     WHERE user = ?1 AND route = ?2 AND key = ?3";
const BEGIN: &str = "INSERT OR REPLACE INTO idempotency_keys (user, route, key, body_digest, began_at) \
     VALUES (?1, ?2, ?3, ?4, ?5)";
const FINISH: &str = "UPDATE idempotency_keys SET status = ?4, content_type = ?5, body = ?6 \
     WHERE user = ?1 AND route = ?2 AND key = ?3";
const ABANDON: &str =
    "DELETE FROM idempotency_keys WHERE user = ?1 AND route = ?2 AND key = ?3 AND status IS NULL";
const DELETE_OLD: &str = "DELETE FROM idempotency_keys WHERE (user, route, key) IN \
     (SELECT user, route, key FROM idempotency_keys WHERE began_at <= ?1 LIMIT ?2)";

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// After how long a request that has no answer counts as never begun.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);
/// How many old answers a new request clears away: more than one, so that they get fewer, but never a long wait.
const CLEARED_MAX: u32 = 16;

/// [`IdempotencyStore`] on `SQLite`.
#[derive(Debug)]
pub(crate) struct SqliteIdempotencyStore {
    database: Arc<Database>,
}

impl SqliteIdempotencyStore {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

#[async_trait]
impl IdempotencyStore for SqliteIdempotencyStore {
    async fn begin(
        &self,
        key: &IdempotencyKey,
        body_digest: [u8; 32],
        now: Timestamp,
    ) -> PortResult<Recorded> {
        let key = key.clone();
        self.database
            .write("begin a request with a key", move |connection| begin(connection, &key, body_digest, now))
            .await
    }

    async fn finish(&self, key: &IdempotencyKey, answer: &RecordedAnswer) -> PortResult<()> {
        let (key, answer) = (key.clone(), answer.clone());
        self.database
            .write("keep an answer", move |connection| {
                let RecordedAnswer { status, content_type, body } = answer;
                let params = params![user(&key), key.route, key.key, status, content_type, body];
                connection.prepare_cached(FINISH)?.execute(params)?;
                Ok(())
            })
            .await
    }

    async fn abandon(&self, key: &IdempotencyKey) -> PortResult<()> {
        let key = key.clone();
        self.database
            .write("forget a request with a key", move |connection| {
                connection.prepare_cached(ABANDON)?.execute(params![user(&key), key.route, key.key])?;
                Ok(())
            })
            .await
    }
}

/// What a row says of an earlier request.
struct Earlier {
    body_digest: [u8; 32],
    began_at: Timestamp,
    answer: Option<RecordedAnswer>,
}

impl Earlier {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let answer = match row.get(2)? {
            None => None,
            Some(status) => Some(RecordedAnswer { status, content_type: row.get(3)?, body: row.get(4)? }),
        };
        Ok(Self { body_digest: row.get(0)?, began_at: rows::timestamp(row, 1)?, answer })
    }

    fn counts(&self, now: Timestamp) -> bool {
        let lasts = if self.answer.is_some() { KEPT_FOR } else { GIVEN_UP_AFTER };
        now < self.began_at + lasts
    }
}

fn begin(
    connection: &Connection,
    key: &IdempotencyKey,
    body_digest: [u8; 32],
    now: Timestamp,
) -> Result<Recorded, Failure> {
    let mut select = connection.prepare_cached(SELECT)?;
    let found = select.query_row(params![user(key), key.route, key.key], Earlier::read).optional()?;
    if let Some(earlier) = found.filter(|earlier| earlier.counts(now)) {
        return Ok(match earlier.answer {
            _ if earlier.body_digest != body_digest => Recorded::OtherBody,
            Some(answer) => Recorded::Answered(answer),
            None => Recorded::InProgress,
        });
    }
    connection.prepare_cached(DELETE_OLD)?.execute(params![(now - KEPT_FOR).as_millis(), CLEARED_MAX])?;
    let params = params![user(key), key.route, key.key, body_digest, now.as_millis()];
    connection.prepare_cached(BEGIN)?.execute(params)?;
    Ok(Recorded::Begun)
}

/// No person has the id 0.
fn user(key: &IdempotencyKey) -> u64 {
    key.user.map_or(0, UserId::get)
}
