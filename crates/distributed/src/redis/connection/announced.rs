//! Where the nodes of a cluster say that they are, asked once, at the start.
//!
//! A cluster leads its clients on to what its nodes announce. With TLS, a node that announces what is not in its
//! certificate would look as if it was away, for ever and without a reason; here the reason is found.

use futures_util::future::join_all;
use redis::{ConnectionAddr, ConnectionInfo, RedisResult, Value};

use super::{ConnectError, OpenError, Target, ask_single, connect_single};

impl Target {
    /// Refuses masters that TLS keeps from being reached by what they announce. Says nothing of any that are away.
    pub(crate) async fn check_announced(&self) -> Result<(), OpenError> {
        if self.nodes.certificates.is_none() {
            return Ok(());
        }
        let config = self.single_config();
        for node in &self.nodes.addresses {
            let Ok(mut connection) = connect_single(node, &config).await else { continue };
            let slots: RedisResult<Vec<Vec<Value>>> =
                redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await;
            // A single node has none.
            let masters = masters(node, &slots.unwrap_or_default());
            let asked = join_all(masters.iter().map(|master| ask_single(master, &config))).await;
            let refused = asked.into_iter().find_map(|answer| match answer {
                Err(ConnectError::Config(refusal)) => Some(refusal),
                _ => None,
            });
            return refused.map_or(Ok(()), Err);
        }
        Ok(())
    }
}

/// The masters in an answer to `CLUSTER SLOTS`, spoken to as `node` is.
fn masters(node: &ConnectionInfo, slots: &[Vec<Value>]) -> Vec<ConnectionInfo> {
    let ConnectionAddr::TcpTls { tls_params, .. } = node.addr() else { return Vec::new() };
    let master = |range: &Vec<Value>| {
        let Some(Value::Array(master)) = range.get(2) else { return None };
        let (Some(Value::BulkString(host)), Some(Value::Int(port))) = (master.first(), master.get(1)) else {
            return None;
        };
        let (host, port) = (String::from_utf8(host.clone()).ok()?, u16::try_from(*port).ok()?);
        let tls_params = tls_params.clone();
        Some(node.clone().set_addr(ConnectionAddr::TcpTls { host, port, insecure: false, tls_params }))
    };
    slots.iter().filter_map(master).collect()
}
