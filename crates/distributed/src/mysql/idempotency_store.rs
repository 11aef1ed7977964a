//! Answers kept for repeated requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{IdempotencyKey, IdempotencyStore, PortError, PortResult, Recorded, RecordedAnswer};
use miaosha_domain::ids::UserId;
use miaosha_domain::time::Timestamp;
use sqlx::mysql::MySqlRow;

use super::database::Database;
use super::rows::{self, Read};
use super::script::Script;

pub(super) const SELECT: &str = "SELECT body_digest, began_at, status, content_type, body FROM idempotency_keys \
     WHERE user = ? AND route = ? AND client_key = ?";
const INSERT: &str =
    "INSERT INTO idempotency_keys (user, route, client_key, body_digest, began_at) VALUES (?, ?, ?, ?, ?)";
/// Only over the request that was read, so that of two at once one begins.
pub(super) const REPLACE: &str = "UPDATE idempotency_keys SET body_digest = ?, began_at = ?, status = NULL, content_type = NULL, \
     body = NULL WHERE user = ? AND route = ? AND client_key = ? AND began_at = ?";
pub(super) const FINISH: &str = "UPDATE idempotency_keys SET status = ?, content_type = ?, body = ? \
     WHERE user = ? AND route = ? AND client_key = ?";
pub(super) const ABANDON: &str =
    "DELETE FROM idempotency_keys WHERE user = ? AND route = ? AND client_key = ? AND status IS NULL";
pub(super) const DELETE_OLD: &str =
    "DELETE FROM idempotency_keys WHERE began_at <= ? ORDER BY began_at LIMIT ?";

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// After how long a request that has no answer counts as never begun.
const GIVEN_UP_AFTER: Duration = Duration::from_mins(1);
/// How many old answers a new request clears away: more than one, so that they get fewer, but never a long wait.
const CLEARED_MAX: u32 = 16;
/// How often a key is looked at anew because others changed its row meanwhile.
const TRIES_MAX: usize = 8;
const BEGIN: &str = "begin a request with a key";

/// [`IdempotencyStore`] on MySQL.
#[derive(Debug)]
pub(super) struct MysqlIdempotencyStore {
    database: Arc<Database>,
}

impl MysqlIdempotencyStore {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    /// Whether the key was new, and is this request's now.
    async fn insert(&self, key: &IdempotencyKey, digest: [u8; 32], now: Timestamp) -> PortResult<bool> {
        let insert = Script::of(
            INSERT,
            &[&user(key), &key.route.as_bytes(), &key.key.as_bytes(), &digest.as_slice(), &now],
        );
        match self.database.write(insert).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_duplicate() => Ok(false),
            Err(failure) => Err(failure.into_port_error(BEGIN)),
        }
    }

    /// Whether this request took the place of an `earlier` one that does not count any more.
    async fn replace(
        &self,
        key: &IdempotencyKey,
        digest: [u8; 32],
        now: Timestamp,
        earlier: &Earlier,
    ) -> PortResult<bool> {
        let values: [&dyn super::script::Literal; 6] = [
            &digest.as_slice(),
            &now,
            &user(key),
            &key.route.as_bytes(),
            &key.key.as_bytes(),
            &earlier.began_at,
        ];
        let answers = self.database.write(Script::of(REPLACE, &values)).await;
        let answers = answers.map_err(|failure| failure.into_port_error(BEGIN))?;
        Ok(answers.iter().any(|answer| answer.found == 1))
    }

    /// Makes room. What is left over is left to later requests.
    async fn delete_old(&self, now: Timestamp) {
        let delete = Script::of(DELETE_OLD, &[&(now - KEPT_FOR), &CLEARED_MAX]);
        if let Err(failure) = self.database.write(delete).await {
            tracing::debug!(?failure, "old answers were not cleared away");
        }
    }

    async fn change(&self, what: &'static str, script: Script) -> PortResult<()> {
        self.database.write(script).await.map(drop).map_err(|failure| failure.into_port_error(what))
    }
}

#[async_trait]
impl IdempotencyStore for MysqlIdempotencyStore {
    async fn begin(
        &self,
        key: &IdempotencyKey,
        body_digest: [u8; 32],
        now: Timestamp,
    ) -> PortResult<Recorded> {
        for _ in 0..TRIES_MAX {
            if self.insert(key, body_digest, now).await? {
                self.delete_old(now).await;
                return Ok(Recorded::Begun);
            }
            let select = Script::of(SELECT, &[&user(key), &key.route.as_bytes(), &key.key.as_bytes()]);
            let Some(earlier) = self.database.lookup(BEGIN, select, Earlier::read).await? else { continue };
            if earlier.counts(now) {
                return Ok(earlier.into_recorded(body_digest));
            }
            if self.replace(key, body_digest, now, &earlier).await? {
                return Ok(Recorded::Begun);
            }
        }
        Err(PortError::retryable(BEGIN, "others keep beginning and forgetting the same request"))
    }

    async fn finish(&self, key: &IdempotencyKey, answer: &RecordedAnswer) -> PortResult<()> {
        let RecordedAnswer { status, content_type, body } = answer;
        let values: [&dyn super::script::Literal; 6] =
            [status, content_type, &body.as_slice(), &user(key), &key.route.as_bytes(), &key.key.as_bytes()];
        self.change("keep an answer", Script::of(FINISH, &values)).await
    }

    async fn abandon(&self, key: &IdempotencyKey) -> PortResult<()> {
        let values: [&dyn super::script::Literal; 3] =
            [&user(key), &key.route.as_bytes(), &key.key.as_bytes()];
        self.change("forget a request with a key", Script::of(ABANDON, &values)).await
    }
}

/// What a row says of an earlier request.
struct Earlier {
    body_digest: Vec<u8>,
    began_at: Timestamp,
    answer: Option<RecordedAnswer>,
}

impl Earlier {
    fn read(row: &MySqlRow) -> Read<Self> {
        let answer = match rows::optional_number(row, 2)? {
            None => None,
            Some(status) => {
                Some(RecordedAnswer { status, content_type: rows::get(row, 3)?, body: rows::get(row, 4)? })
            }
        };
        Ok(Self { body_digest: rows::get(row, 0)?, began_at: rows::timestamp(row, 1)?, answer })
    }

    fn counts(&self, now: Timestamp) -> bool {
        let lasts = if self.answer.is_some() { KEPT_FOR } else { GIVEN_UP_AFTER };
        now < self.began_at + lasts
    }

    fn into_recorded(self, body_digest: [u8; 32]) -> Recorded {
        match self.answer {
            _ if self.body_digest != body_digest => Recorded::OtherBody,
            Some(answer) => Recorded::Answered(answer),
            None => Recorded::InProgress,
        }
    }
}

/// No person has the id 0.
fn user(key: &IdempotencyKey) -> u64 {
    key.user.map_or(0, UserId::get)
}
