//! The people cap: leases of places, by Redis' clock.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{PeopleCap, PortError, PortResult};
use miaosha_domain::ids::SaleId;
use redis::{FromRedisValue, RedisError};

use super::circuit::Circuits;
use super::failure::Failure;
use super::functions;
use super::keys::Keys;
use super::link::Link;

/// The places of all sales, on Redis. A sale's leases are gone ten seconds after the last renewal.
pub struct RedisPeopleCap {
    link: Arc<Link>,
    circuits: Arc<Circuits>,
    keys: Keys,
    timeout: Duration,
}

impl RedisPeopleCap {
    pub(crate) fn new(link: Arc<Link>, circuits: Arc<Circuits>, keys: Keys, timeout: Duration) -> Self {
        Self { link, circuits, keys, timeout }
    }
}

#[async_trait]
impl PeopleCap for RedisPeopleCap {
    async fn lease(&self, sale: SaleId, holder: u64, wanted: u64, people_max: u64) -> PortResult<u64> {
        let mut command = functions::call("miaosha_v2_lease", &[self.keys.leases(sale)]);
        command.arg(holder).arg(wanted.min(PLACES_MAX)).arg(people_max.min(PLACES_MAX));
        let answer = self.link.call(self.circuits.of(sale), &command, self.timeout).await;
        let fail = |failure: Failure| -> PortError { failure.into_port_error("leasing places") };
        u64::from_redis_value(answer.map_err(fail)?).map_err(|error| fail(RedisError::from(error).into()))
    }
}

/// Redis counts with doubles.
const PLACES_MAX: u64 = 1 << 53;

impl std::fmt::Debug for RedisPeopleCap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisPeopleCap").finish_non_exhaustive()
    }
}
