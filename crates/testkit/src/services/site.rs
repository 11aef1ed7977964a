//! A whole site on real services: processes of each role, behind Nginx.
//!
//! The processes are the real binary, which the caller names: this crate does not depend on it. Each is a [`Service`] that
//! can be killed and started again. All end with the value that holds them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::Addresses;
use super::daemon::{Daemon, Service};
use super::nginx::{Fleet, Nginx, NginxOptions, PushNode};
use super::port::Port;
use super::process::{Place, guarded_at};

/// A key for tests and for trying things out: whoever has this file can sign in as anybody.
const SIGNING_KEY: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// In the order in which a plan lists what belongs to them.
const ROLES: [&str; 4] = ["publisher", "push", "consumer", "general"];

/// What a site is made of.
#[derive(Debug, Clone)]
pub struct SitePlan {
    /// The binary `miaosha`.
    pub binary: PathBuf,
    /// Where the services are.
    pub services: Addresses,
    /// The database, which must exist; also the prefix of everything on Redis and `RabbitMQ`.
    pub name: String,
    /// Processes of each role: publisher, push, consumer, general.
    pub processes: [u16; 4],
    /// Where the processes of each role run, in the same order.
    pub places: [Place; 4],
    /// Further settings, as environment variables.
    pub settings: Vec<(String, String)>,
    /// Of the processes of each role besides, in the same order; they win.
    pub role_settings: [Vec<(String, String)>; 4],
    /// What Nginx does.
    pub front: NginxOptions,
    /// Whether a process of role `general` makes the demo's accounts and sales.
    pub is_demo: bool,
}

impl SitePlan {
    /// Two processes of each role on `services`.
    pub fn new(binary: impl Into<PathBuf>, services: Addresses, name: impl Into<String>) -> Self {
        Self {
            binary: binary.into(),
            services,
            name: name.into(),
            processes: [2; 4],
            places: std::array::from_fn(|_| Place::default()),
            settings: Vec::new(),
            role_settings: Default::default(),
            front: NginxOptions::default(),
            is_demo: false,
        }
    }

    /// A command of the binary with the site's settings.
    pub fn command(&self, data_dir: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.envs(self.environment()).arg("--data-dir").arg(data_dir);
        command
    }

    /// Brings the database up to date, and makes it if it is missing.
    pub fn migrate(&self, data_dir: &Path) -> anyhow::Result<()> {
        let migrated = self.command(data_dir).arg("migrate").output()?;
        ensure!(migrated.status.success(), "miaosha migrate: {}", String::from_utf8_lossy(&migrated.stderr));
        Ok(())
    }

    /// Starts one process of the site and waits until it is ready, for whoever wants no whole site. Its log and its data
    /// go to `directory`. Of those that run, no two have one number.
    pub fn start_node(
        &self,
        directory: &Path,
        role: &str,
        number: u16,
        place: Place,
    ) -> anyhow::Result<Node> {
        let node = Node::spawn(self, directory, role, place, number)?;
        node.daemon.wait_until_ready()?;
        Ok(node)
    }

    /// The site's settings, as environment variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let own = [
            ("MIAOSHA_REDIS__PREFIX", format!("{}:", self.name)),
            ("MIAOSHA_RABBITMQ__PREFIX", format!("{}.", self.name)),
            ("MIAOSHA_SECRETS__SIGNING_KEY", SIGNING_KEY.to_owned()),
        ];
        let places = self.services.settings(&self.name);
        let settings = places.into_iter().chain(own).map(|(name, value)| (name.to_owned(), value));
        settings.chain(self.settings.iter().cloned()).collect()
    }
}

/// A running site.
#[derive(Debug)]
pub struct Site {
    /// What it was made from.
    pub plan: SitePlan,
    /// Take the buy API.
    pub publishers: Vec<Node>,
    /// Hold the sockets.
    pub push: Vec<Node>,
    /// Decide.
    pub consumers: Vec<Node>,
    /// Everything else.
    pub general: Vec<Node>,
    /// Before all of them.
    pub front: Nginx,
    directory: TempDir,
}

/// One process of a site.
#[derive(Debug)]
pub struct Node {
    number: u16,
    daemon: Daemon,
}

impl Service for Node {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

impl Site {
    /// Brings the database up to date, starts every process, and waits until each is ready.
    pub fn start(plan: SitePlan) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        plan.migrate(directory.path())?;
        let mut number = 0;
        let mut nodes = |index: usize| -> anyhow::Result<Vec<Node>> {
            let numbers = number..number + plan.processes[index];
            number = numbers.end;
            let (role, place) = (ROLES[index], &plan.places[index]);
            let spawn = |(turn, number)| Node::spawn(&plan, directory.path(), role, place.of(turn), number);
            numbers.enumerate().map(spawn).collect()
        };
        let publishers = nodes(0)?;
        let push = nodes(1)?;
        let consumers = nodes(2)?;
        let general = nodes(3)?;
        let site_nodes = publishers.iter().chain(&push).chain(&consumers).chain(&general);
        for node in site_nodes {
            node.daemon.wait_until_ready()?;
        }
        let addresses = |nodes: &[Node]| nodes.iter().map(Service::address).collect::<Vec<SocketAddr>>();
        let fleet = Fleet {
            publishers: addresses(&publishers),
            push: push.iter().map(|node| PushNode { node: node.number, address: node.address() }).collect(),
            general: addresses(&general),
        };
        let front = Nginx::start(&fleet, plan.front.clone()).context("Nginx")?;
        Ok(Self { plan, publishers, push, consumers, general, front, directory })
    }

    /// Where a browser goes.
    pub fn base(&self) -> String {
        format!("http://{}", self.front.address())
    }

    /// A command of the binary, on this site.
    pub fn command(&self) -> Command {
        self.plan.command(self.directory.path())
    }

    /// Logs, and the data directory of each process.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Every process, with its role.
    pub fn nodes(&self) -> impl Iterator<Item = (&'static str, &Node)> {
        let groups = [
            ("publisher", &self.publishers),
            ("push", &self.push),
            ("consumer", &self.consumers),
            ("general", &self.general),
        ];
        groups.into_iter().flat_map(|(role, nodes)| nodes.iter().map(move |node| (role, node)))
    }
}

impl Node {
    /// Its `node` setting.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn spawn(
        plan: &SitePlan,
        directory: &Path,
        role: &str,
        place: Place,
        number: u16,
    ) -> anyhow::Result<Self> {
        let port = Port::lease()?;
        let address = port.address();
        let name = format!("{role}-{number}");
        let data_dir = directory.join(&name);
        let binary = plan.binary.to_str().context("the path of the binary is no text")?.to_owned();
        let index = ROLES.iter().position(|known| *known == role).context("no such role")?;
        let mut environment = plan.environment();
        environment.extend(plan.role_settings[index].iter().cloned());
        let mut arguments = vec!["serve".to_owned(), "--roles".to_owned(), role.to_owned()];
        arguments.extend(["--listen".to_owned(), address.to_string()]);
        // Of several, the first: the sales come round once.
        if plan.is_demo && number == plan.processes[..3].iter().sum::<u16>() {
            arguments.push("--demo".to_owned());
        }
        let launch = move || {
            let mut command = guarded_at(&place, &binary);
            command.args(&arguments).arg("--data-dir").arg(&data_dir).envs(environment.clone());
            command.env("MIAOSHA_NODE", number.to_string());
            command
        };
        let daemon = Daemon::new(name, port, directory, launch, move || is_ready(address));
        daemon.spawn()?;
        Ok(Self { number, daemon })
    }
}

/// Whether the process says that it is ready.
fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
