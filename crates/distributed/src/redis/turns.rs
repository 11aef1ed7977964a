//! Whose turn it is to do what one process does for all: a key of the one who has it, for as long as he has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{PortError, PortResult, Turns};
use redis::{FromRedisValue, RedisError};

use super::circuit::Circuit;
use super::failure::Failure;
use super::keys::Keys;
use super::link::Link;

const TAKE: &str = "take a turn";

/// The turns of a site, on Redis. Where Redis loses them, somebody has one too many.
pub struct RedisTurns {
    link: Arc<Link>,
    circuit: Circuit,
    keys: Keys,
    timeout: Duration,
}

impl RedisTurns {
    pub(crate) fn new(link: Arc<Link>, keys: Keys, timeout: Duration) -> Self {
        Self { link, circuit: Circuit::new(), keys, timeout }
    }
}

#[async_trait]
impl Turns for RedisTurns {
    async fn take(&self, work: &str, holder: u64, span: Duration) -> PortResult<bool> {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        // With the one who has it, since the call may reach Redis twice: the second finds what the first has written.
        let mut command = redis::cmd("SET");
        command.arg(self.keys.turn(work)).arg(holder).arg("NX").arg("GET").arg("PX").arg(span_ms);
        let fail = |failure: Failure| -> PortError { failure.into_port_error(TAKE) };
        let had = self.link.call(&self.circuit, &command, self.timeout).await.map_err(fail)?;
        let had =
            Option::<u64>::from_redis_value(had).map_err(|error| fail(RedisError::from(error).into()))?;
        Ok(had.is_none_or(|had| had == holder))
    }
}

impl std::fmt::Debug for RedisTurns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisTurns").finish_non_exhaustive()
    }
}
