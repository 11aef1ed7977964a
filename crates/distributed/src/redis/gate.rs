//! The gate: one atomic function call for a whole batch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{Admission, Gate, GateReport, GateUpdate, Passage, PortError, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use redis::{Cmd, FromRedisValue, Value};

use super::circuit::Circuits;
use super::failure::Failure;
use super::functions;
use super::keys::Keys;
use super::link::Link;

/// The gates of all sales, on Redis.
///
/// A person takes 68 bytes of memory in each of the sets that he is in (measured at 360,000). A sale's keys are
/// forgotten a day after the last call that wrote to them. A call that was sent again after a lost connection may take
/// effect late: the worst of it is somebody in flight who is not, and a gate that is full for no reason is loaded anew.
pub struct RedisGate {
    link: Arc<Link>,
    circuits: Arc<Circuits>,
    keys: Keys,
    request_timeout: Duration,
    batch_timeout: Duration,
}

impl RedisGate {
    pub(crate) fn new(
        link: Arc<Link>,
        circuits: Arc<Circuits>,
        keys: Keys,
        request_timeout: Duration,
        batch_timeout: Duration,
    ) -> Self {
        Self { link, circuits, keys, request_timeout, batch_timeout }
    }

    async fn open_by(&self, function: &'static str, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        let mut command = functions::call(function, &self.keys.gate(sale));
        command.arg(limit.version).arg(limit.people_max);
        let _: Value = self.call("opening the gate", sale, &command, self.batch_timeout).await?;
        Ok(())
    }

    async fn call<T: FromRedisValue>(
        &self,
        what: &'static str,
        sale: SaleId,
        command: &Cmd,
        limit: Duration,
    ) -> PortResult<T> {
        let answer = self.link.call(self.circuits.of(sale), command, limit).await;
        answer
            .and_then(|value| Ok(T::from_redis_value(value).map_err(redis::RedisError::from)?))
            .map_err(|failure: Failure| failure.into_port_error(what))
    }
}

#[async_trait]
impl Gate for RedisGate {
    async fn admit(&self, sale: SaleId, users: &[UserId]) -> PortResult<Admission> {
        const WHAT: &str = "asking the gate";
        let mut command = functions::call("miaosha_v2_admit", &self.keys.gate(sale));
        for user in users {
            command.arg(user.get());
        }
        let verdicts: Option<Vec<u8>> = self.call(WHAT, sale, &command, self.batch_timeout).await?;
        let Some(verdicts) = verdicts else { return Ok(Admission::Unknown) };
        match verdicts.into_iter().map(passage).collect::<Option<Vec<_>>>() {
            Some(passages) if passages.len() == users.len() => Ok(Admission::Sorted(passages)),
            _ => Err(PortError::terminal(WHAT, "the gate did not answer for each person")),
        }
    }

    async fn update(&self, sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        let GateUpdate { limit, claims, rejected } = update;
        let mut command = functions::call("miaosha_v2_update", &self.keys.gate(sale));
        command.arg(limit.version).arg(limit.people_max).arg(claims.len());
        add_claims(&mut command, claims);
        for user in rejected {
            command.arg(user.get());
        }
        let report: Option<(u64, u8)> =
            self.call("updating the gate", sale, &command, self.batch_timeout).await?;
        Ok(report.map_or(GateReport::Unknown, |(claims, is_full)| GateReport::Known {
            claims,
            is_full: is_full == 1,
        }))
    }

    async fn top_up(&self, sale: SaleId, claims: &[Claim]) -> PortResult<()> {
        let mut command = functions::call("miaosha_v2_top_up", &self.keys.gate(sale));
        add_claims(&mut command, claims);
        let _: Value = self.call("adding claims to the gate", sale, &command, self.batch_timeout).await?;
        Ok(())
    }

    async fn open(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.open_by("miaosha_v2_open", sale, limit).await
    }

    async fn open_anew(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.open_by("miaosha_v2_open_anew", sale, limit).await
    }

    async fn was_refused(&self, sale: SaleId, user: UserId) -> PortResult<bool> {
        let mut command = redis::cmd("SISMEMBER");
        command.arg(self.keys.refused(sale)).arg(user.get());
        self.call("looking up a refusal", sale, &command, self.request_timeout).await
    }
}

fn passage(verdict: u8) -> Option<Passage> {
    match verdict {
        b'0' => Some(Passage::Full),
        b'1' => Some(Passage::Known),
        b'2' => Some(Passage::New),
        _ => None,
    }
}

fn add_claims(command: &mut Cmd, claims: &[Claim]) {
    for claim in claims {
        command.arg(claim.user.get());
    }
}

impl std::fmt::Debug for RedisGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisGate").finish_non_exhaustive()
    }
}
