//! Redis servers that a test may break: processes of its own, gone when it ends.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Some servers, on free ports of this machine.
pub(crate) struct Nodes {
    directory: TempDir,
    nodes: Vec<Node>,
    has_cluster_mode: bool,
}

struct Node {
    port: u16,
    bus_port: u16,
    process: Option<Child>,
}

impl Nodes {
    /// One server that is no cluster.
    pub(crate) async fn single() -> Self {
        let nodes = Self::start_new(1, false);
        nodes.until("it answers", || nodes.says(0, &["ping"]).starts_with("PONG")).await;
        nodes
    }

    /// A cluster of three masters, each with so many replicas. The masters come first.
    pub(crate) async fn cluster(replicas: usize) -> Self {
        let nodes = Self::start_new(3 * (1 + replicas), true);
        for number in 0..nodes.nodes.len() {
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
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect()
    }

    /// All of their numbers.
    pub(crate) fn numbers(&self) -> std::ops::Range<usize> {
        0..self.nodes.len()
    }

    /// Waits until every server that runs sees a whole cluster.
    pub(crate) async fn until_ready(&self) {
        for number in self.numbers().filter(|number| self.nodes[*number].process.is_some()) {
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
    pub(crate) fn master_of(&self, key: &str) -> usize {
        let alive = self.numbers().find(|number| self.nodes[*number].process.is_some());
        let answer = self.says(alive.expect("one is alive"), &["-c", "get", key]);
        assert_eq!(answer.trim(), "", "the key is not there");
        let slot: u16 =
            self.says(alive.expect("one is alive"), &["cluster", "keyslot", key]).trim().parse().unwrap();
        let slots = self.says(alive.expect("one is alive"), &["cluster", "nodes"]);
        let port = slots.lines().find_map(|line| {
            let serves = line.split(' ').skip(8).filter_map(|range| range.split_once('-')).any(|(first, last)| {
                matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            });
            let address = line.split(' ').nth(1)?.split('@').next()?.rsplit(':').next()?;
            (serves && !line.contains("fail")).then(|| address.parse::<u16>().unwrap())
        });
        let port = port.expect("a master serves the slot");
        self.nodes.iter().position(|node| node.port == port).expect("it is one of these")
    }

    /// What a server answers; nothing if it does not.
    pub(crate) fn says(&self, number: usize, arguments: &[&str]) -> String {
        let port = self.nodes[number].port.to_string();
        let output = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends a server without warning.
    pub(crate) fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.nodes[number].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a server that was ended; it knows its cluster, and nothing else.
    pub(crate) fn start(&mut self, number: usize) {
        let process = self.spawn(&self.nodes[number]);
        self.nodes[number].process = Some(process);
    }

    /// Lets a server stand still, or go on: it takes connections and answers nothing.
    pub(crate) fn signal(&self, number: usize, signal: &str) {
        let process = self.nodes[number].process.as_ref().expect("it runs");
        let id = process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    fn start_new(count: usize, has_cluster_mode: bool) -> Self {
        // All are held at once, so that no two are the same.
        let held: Vec<TcpListener> =
            (0..2 * count).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(held);
        let nodes =
            ports.chunks(2).map(|pair| Node { port: pair[0], bus_port: pair[1], process: None }).collect();
        let mut nodes = Self { directory: tempfile::tempdir().unwrap(), nodes, has_cluster_mode };
        for number in nodes.numbers() {
            nodes.start(number);
        }
        nodes
    }

    fn spawn(&self, node: &Node) -> Child {
        let directory: PathBuf = self.directory.path().join(node.port.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let (port, bus_port) = (node.port.to_string(), node.bus_port.to_string());
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
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        until(what, async || holds()).await;
    }
}

/// Waits until it `holds`, and says how long that took.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
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
