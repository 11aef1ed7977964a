//! Redis servers that a test may break: processes of its own, gone when it ends.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Some servers, on free ports of this machine.
pub(super) struct Nodes {
    directory: TempDir,
    servers: Vec<Server>,
    has_cluster_mode: bool,
}

struct Server {
    port: u16,
    bus_port: u16,
    process: Option<Child>,
}

impl Nodes {
    /// One server that is no cluster.
    pub(super) async fn single() -> Self {
        let nodes = Self::start_new(1, false);
        nodes.until("it answers", || nodes.says(0, &["ping"]).starts_with("PONG")).await;
        nodes
    }

    /// A cluster of three masters, each with so many replicas. The masters come first.
    pub(super) async fn cluster(replicas: usize) -> Self {
        let nodes = Self::start_new(3 * (1 + replicas), true);
        for number in 0..nodes.servers.len() {
            nodes.until("it answers", || nodes.says(number, &["ping"]).starts_with("PONG")).await;
        }
        let addresses = nodes.addresses();
        let replicas = replicas.to_string();
        let mut arguments: Vec<&str> = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        nodes.says(0, &arguments);
        nodes.until_ready().await;
        nodes
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect()
    }

    /// All of their numbers.
    pub(super) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.servers.len()
    }

    /// Waits until every server that runs sees a whole cluster.
    pub(super) async fn until_ready(&self) {
        for number in self.numbers().filter(|number| self.servers[*number].process.is_some()) {
            self.until("the cluster is whole", || {
                let info = self.says(number, &["cluster", "info"]);
                let is_synced =
                    !self.says(number, &["info", "replication"]).contains("master_link_status:down");
                info.contains("cluster_state:ok") && is_synced
            })
            .await;
        }
    }

    /// The master that serves a key.
    pub(super) fn master_of(&self, key: &str) -> usize {
        let alive = self.numbers().find(|number| self.servers[*number].process.is_some());
        let alive = alive.expect("one is alive");
        let slot: u16 = self.says(alive, &["cluster", "keyslot", key]).trim().parse().unwrap();
        let servers = self.says(alive, &["cluster", "nodes"]);
        let serves = |line: &&str| {
            let ranges = line.split_whitespace().skip(8).filter_map(|range| range.split_once('-'));
            let mut ranges =
                ranges.filter_map(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
            ranges.any(|range: RangeInclusive<u16>| range.contains(&slot))
        };
        let master = servers.lines().find(serves).expect("a master serves the slot");
        let is_it = |server: &Server| master.contains(&format!(":{}@", server.port));
        self.servers.iter().position(is_it).expect("it is one of these")
    }

    /// What a server answers; nothing if it does not.
    pub(super) fn says(&self, number: usize, arguments: &[&str]) -> String {
        let port = self.servers[number].port.to_string();
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends a server without warning.
    pub(super) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.servers[number].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a server that was ended; it knows its cluster, and nothing else.
    pub(super) fn start(&mut self, number: usize) {
        let process = self.spawn(&self.servers[number]);
        self.servers[number].process = Some(process);
    }

    /// Lets a server stand still, or go on: it takes connections and answers nothing.
    pub(super) fn signal(&self, number: usize, signal: &str) {
        let process = self.servers[number].process.as_ref().expect("it runs");
        let id = process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn start_new(count: usize, has_cluster_mode: bool) -> Self {
        // All are held at once, so that no two are the same.
        let held: Vec<TcpListener> =
            (0..2 * count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(held);
        let servers =
            ports.chunks(2).map(|pair| Server { port: pair[0], bus_port: pair[1], process: None }).collect();
        let mut nodes = Self { directory: tempfile::tempdir().unwrap(), servers, has_cluster_mode };
        for number in nodes.numbers() {
            nodes.start(number);
        }
        nodes
    }

    fn spawn(&self, server: &Server) -> Child {
        let directory: PathBuf = self.directory.path().join(server.port.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let (port, bus_port) = (server.port.to_string(), server.bus_port.to_string());
        let mut command = Command::new("redis-server");
        command.current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        if self.has_cluster_mode {
            command.args(["--cluster-enabled", "yes", "--cluster-port", &bus_port]);
            command.args(["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]);
        }
        command.spawn().expect("redis-server is installed")
    }

    /// Waits until it `holds`.
    pub(super) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        until(what, async || holds()).await;
    }
}

/// Waits until it `holds`, and says how long that took.
pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30);
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < LONGEST, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for number in self.numbers() {
            self.kill(number);
        }
    }
}
