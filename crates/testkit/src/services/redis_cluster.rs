//! A Redis Cluster of three masters with a replica each. A node forgets everything when it ends: what is in Redis must be
//! makeable anew.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Context as _;

use crate::fault_proxy::FaultProxy;

use super::authority::Authority;
use super::client::ask;
use super::daemon::{Daemon, Service};
use super::port::Port;
use super::process::guarded;
use super::scratch::Scratch;
use super::waiting::wait_until;

const MASTERS: usize = 3;
const NODES: usize = 2 * MASTERS;
const SLOTS: usize = 16_384;

/// The cluster. A node keeps its place in `nodes` whatever its role becomes.
#[derive(Debug)]
pub struct RedisCluster {
    /// Those that began as masters first.
    pub nodes: Vec<RedisNode>,
    /// One per node, in the same order; empty unless started behind proxies.
    pub proxies: Vec<FaultProxy>,
    _scratch: Scratch,
}

/// One node. Its [`Service::address`] is its own, not its proxy's.
#[derive(Debug)]
pub struct RedisNode {
    daemon: Daemon,
    bus_port: Port,
    /// What `redis-cli` has to be told where the node speaks TLS only.
    tls: Vec<String>,
}

impl RedisCluster {
    /// Starts one without keys, and waits until it is whole.
    pub fn start() -> anyhow::Result<Self> {
        let nodes = (0..NODES).map(|_| RedisNode::lease_ports()).collect::<anyhow::Result<Vec<_>>>()?;
        Self::form(nodes, Vec::new(), None)
    }

    /// The same, where clients and nodes speak to nodes by TLS only.
    pub fn start_with_tls(authority: &Authority) -> anyhow::Result<Self> {
        let nodes = (0..NODES).map(|_| RedisNode::lease_ports()).collect::<anyhow::Result<Vec<_>>>()?;
        Self::form(nodes, Vec::new(), Some(authority))
    }

    /// The same, where every node announces its proxy instead of itself, so that clients, which follow what nodes announce, reach it
    /// through the proxy only.
    ///
    /// A replica reaches its master as a client does, so a stalled proxy also holds up replication. What the nodes say to
    /// each other about who is alive goes around the proxies: a stalled proxy causes no failover.
    pub fn start_behind_proxies() -> anyhow::Result<Self> {
        let nodes = (0..NODES).map(|_| RedisNode::lease_ports()).collect::<anyhow::Result<Vec<_>>>()?;
        let proxies = nodes
            .iter()
            .map(|(port, _)| FaultProxy::start(port.address()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        Self::form(nodes, proxies, None)
    }

    fn form(
        nodes: Vec<(Port, Port)>,
        proxies: Vec<FaultProxy>,
        authority: Option<&Authority>,
    ) -> anyhow::Result<Self> {
        let scratch = Scratch::new("redis")?;
        let nodes = nodes
            .into_iter()
            .enumerate()
            .map(|(index, ports)| RedisNode::start(&scratch, index, ports, proxies.get(index), authority))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let cluster = Self { nodes, proxies, _scratch: scratch };
        cluster.assign_slots()?;
        cluster.introduce()?;
        cluster.assign_replicas()?;
        cluster.wait_until_ok()?;
        Ok(cluster)
    }

    /// Where clients begin: every node, or its proxy.
    pub fn client_addresses(&self) -> Vec<SocketAddr> {
        if self.proxies.is_empty() {
            self.nodes.iter().map(Service::address).collect()
        } else {
            self.proxies.iter().map(FaultProxy::address).collect()
        }
    }

    /// The slot of a key, as Redis counts it (hash tags included).
    pub fn slot_of(&self, key: &str) -> anyhow::Result<u16> {
        self.any_running()?.command(&["CLUSTER", "KEYSLOT", key])?.parse().context("a slot is a number")
    }

    /// The index of the running node that serves `slot` as its master.
    pub fn master_of(&self, slot: u16) -> anyhow::Result<usize> {
        let owner = |node: &RedisNode| {
            let own = node.command(&["CLUSTER", "NODES"]).ok()?;
            let myself = own.lines().find(|line| line.contains("myself"))?.to_owned();
            serves(&myself, slot).then_some(())
        };
        self.nodes
            .iter()
            .position(|node| owner(node).is_some())
            .with_context(|| format!("no master runs for {slot}"))
    }

    /// Kills the master of `slot` (`kill -9`), and waits until its replica serves the slot and all running nodes say that
    /// the cluster is whole. The index of the killed node; start it again with [`Service::start_again`], and it becomes
    /// a replica.
    pub fn fail_over(&self, slot: u16) -> anyhow::Result<usize> {
        let killed = self.master_of(slot)?;
        self.nodes[killed].kill();
        wait_until("a replica has taken over", || Ok(self.master_of(slot).is_ok()))?;
        self.wait_until_ok()?;
        Ok(killed)
    }

    /// Waits until every running node says that the cluster is whole and every running replica has its master.
    pub fn wait_until_ok(&self) -> anyhow::Result<()> {
        wait_until("the Redis Cluster is whole", || {
            Ok(self.running().all(|node| node.sees_a_whole_cluster().unwrap_or(false)))
        })
    }

    /// Forgets all keys, functions and scripts, on every running master.
    pub fn flush_all(&self) -> anyhow::Result<()> {
        for node in self.running() {
            if node.command(&["ROLE"])?.starts_with("master") {
                node.command(&["FLUSHALL", "SYNC"])?;
                node.command(&["FUNCTION", "FLUSH", "SYNC"])?;
                node.command(&["SCRIPT", "FLUSH", "SYNC"])?;
            }
        }
        Ok(())
    }

    fn running(&self) -> impl Iterator<Item = &RedisNode> {
        self.nodes.iter().filter(|node| node.process_id().is_some())
    }

    fn any_running(&self) -> anyhow::Result<&RedisNode> {
        self.running().next().context("no node of the cluster runs")
    }

    fn assign_slots(&self) -> anyhow::Result<()> {
        for (index, node) in self.nodes.iter().take(MASTERS).enumerate() {
            let first = (index * SLOTS / MASTERS).to_string();
            let last = ((index + 1) * SLOTS / MASTERS - 1).to_string();
            // Different epochs from the start, or the nodes must first settle which of them counts.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
        }
        Ok(())
    }

    fn introduce(&self) -> anyhow::Result<()> {
        let (first, others) = self.nodes.split_first().context("a cluster has nodes")?;
        for node in others {
            let (port, bus_port) = (node.address().port().to_string(), node.bus_port.number().to_string());
            first.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])?;
        }
        wait_until("all nodes know each other", || {
            Ok(self.nodes.iter().all(|node| {
                node.command(&["CLUSTER", "NODES"]).is_ok_and(|known| {
                    known.lines().count() == NODES
                        && !known.contains("handshake")
                        && !known.contains("disconnected")
                })
            }))
        })
    }

    fn assign_replicas(&self) -> anyhow::Result<()> {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        for (master, replica) in masters.iter().zip(replicas) {
            let master = master.command(&["CLUSTER", "MYID"])?;
            replica.command(&["CLUSTER", "REPLICATE", &master])?;
        }
        Ok(())
    }
}

impl RedisNode {
    /// One for clients, one for the other nodes.
    fn lease_ports() -> anyhow::Result<(Port, Port)> {
        Ok((Port::lease()?, Port::lease()?))
    }

    fn start(
        scratch: &Scratch,
        index: usize,
        (port, bus_port): (Port, Port),
        proxy: Option<&FaultProxy>,
        authority: Option<&Authority>,
    ) -> anyhow::Result<Self> {
        let directory = scratch.directory(&index.to_string())?;
        let (number, bus_number) = (port.number(), bus_port.number());
        let announced = proxy.map_or(number, |proxy| proxy.address().port());
        let ports = match authority {
            None => format!("--port {number} --cluster-announce-port {announced}"),
            Some(authority) => format!(
                "--port 0 --tls-port {number} --cluster-announce-tls-port {announced} --tls-cluster yes \
                 --tls-replication yes --tls-auth-clients no --tls-cert-file {} --tls-key-file {} --tls-ca-cert-file {}",
                authority.certificate().display(),
                authority.key().display(),
                authority.file().display(),
            ),
        };
        let settings = [
            ports,
            format!("--cluster-port {bus_number} --cluster-announce-bus-port {bus_number}"),
            format!("--dir {}", directory.display()),
            "--bind 127.0.0.1 --cluster-announce-ip 127.0.0.1 --protected-mode no".to_owned(),
            "--cluster-enabled yes --cluster-config-file nodes.conf".to_owned(),
            // Short, so that a test of a failover is short.
            "--cluster-node-timeout 2000".to_owned(),
            // A replica takes over however old its data: the gate must stand that.
            "--cluster-replica-validity-factor 0".to_owned(),
            "--repl-diskless-sync-delay 0 --repl-ping-replica-period 1".to_owned(),
            "--appendonly no --save".to_owned(),
        ];
        let settings: Vec<String> = settings
            .iter()
            .flat_map(|line| line.split(' '))
            .map(str::to_owned)
            .chain([String::new()])
            .collect();
        let tls = authority.map_or_else(Vec::new, client_tls);
        let asked_with = tls.clone();
        let daemon = Daemon::new(
            format!("redis-{index}"),
            port,
            &directory,
            move || {
                let mut command = guarded("redis-server");
                command.args(&settings);
                command
            },
            move || {
                let answer = client(number, &asked_with).arg("PING").output();
                answer.is_ok_and(|output| output.stdout.starts_with(b"PONG"))
            },
        );
        daemon.start().context("is redis-server installed?")?;
        Ok(Self { daemon, bus_port, tls })
    }

    /// Sends one command to this very node and returns its answer as `redis-cli` prints it for programs. An error answer
    /// is an error.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        ask(client(self.address().port(), &self.tls).args(words))
    }

    fn sees_a_whole_cluster(&self) -> anyhow::Result<bool> {
        let is_ok = self.command(&["CLUSTER", "INFO"])?.contains("cluster_state:ok");
        let replication = self.command(&["INFO", "replication"])?;
        let has_master = replication.contains("role:master") || replication.contains("master_link_status:up");
        Ok(is_ok && has_master)
    }
}

impl Service for RedisNode {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

fn client(port: u16, tls: &[String]) -> Command {
    // A frozen node would be waited for without end.
    let mut command = Command::new("timeout");
    command.args(["5", "redis-cli", "-e", "-h", "127.0.0.1", "-p"]).arg(port.to_string()).args(tls);
    command
}

/// With a certificate of its own, for nodes that were told to ask for one.
fn client_tls(authority: &Authority) -> Vec<String> {
    let files = [
        ("--cacert", authority.file()),
        ("--cert", authority.client_certificate()),
        ("--key", authority.client_key()),
    ];
    let files = files.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()]);
    std::iter::once("--tls".to_owned()).chain(files).collect()
}

/// Whether a line of `CLUSTER NODES` says that the node is the master of `slot`.
fn serves(line: &str, slot: u16) -> bool {
    let mut fields = line.split(' ');
    let is_master = fields.nth(2).is_some_and(|flags| flags.contains("master") && !flags.contains("fail"));
    is_master
        && fields.skip(5).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
        })
}
