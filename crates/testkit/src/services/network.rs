//! A network between a fleet and its services that can be stalled and cut, service by service.

use crate::fault_proxy::FaultProxy;

use super::daemon::Service;
use super::{Addresses, MariaDbServer, MysqlAddresses, RedisCluster, Services, mariadb, rabbitmq};

/// A proxy before each service that has none of its own; Redis has, see [`RedisCluster::start_behind_proxies`].
///
/// Replicas of `MySQL` follow their primary directly: a stall here makes no lag.
#[derive(Debug)]
pub struct Network {
    /// Before the broker.
    pub rabbitmq: FaultProxy,
    /// Before the primary.
    pub primary: FaultProxy,
    /// Before the replicas, in their order.
    pub replicas: Vec<FaultProxy>,
}

impl Network {
    /// Forwards to `services`.
    pub fn to(services: &Services) -> anyhow::Result<Self> {
        let proxy = |server: &MariaDbServer| FaultProxy::start(server.address());
        Ok(Self {
            rabbitmq: FaultProxy::start(services.rabbitmq.address())?,
            primary: proxy(&services.mysql.primary)?,
            replicas: services.mysql.replicas.iter().map(proxy).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Where a fleet behind this network finds its services.
    pub fn addresses(&self, redis: &RedisCluster) -> Addresses {
        let url = |proxy: &FaultProxy| mariadb::url_at(proxy.address());
        Addresses {
            redis: redis.client_addresses(),
            rabbitmq: rabbitmq::uri_at(self.rabbitmq.address()),
            mysql: MysqlAddresses {
                primary: url(&self.primary),
                replicas: self.replicas.iter().map(url).collect(),
            },
            authority: None,
        }
    }
}
