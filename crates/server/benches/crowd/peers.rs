//! What others do for the same crowd: servers of other people, and a loop of writes as a bound. Each lets a client join with a
//! token, answers `watch` by putting it into a room, and tells the room a `sale` event when it is told to.
//!
//! They check no tokens and know nothing of sales: what they do is the least that a sale's sockets need, so a peer is
//! measured at its best. An order is a line on their standard input: the text of the event's argument.

pub(crate) mod bare;
pub(crate) mod socketioxide;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, ensure};

/// Where the one in JavaScript is.
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/crowd/peers/node");

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerKind {
    /// The kept library for Rust, on axum.
    Socketioxide,
    /// The reference implementation.
    Node,
    /// No server, but a loop of writes.
    Bare,
}

/// A running server. Ends with this value.
pub(crate) struct Peer {
    child: Child,
    orders: ChildStdin,
    address: String,
}

impl PeerKind {
    pub(crate) const LIBRARIES: [Self; 2] = [Self::Socketioxide, Self::Node];
    pub(crate) const ALL: [Self; 3] = [Self::Socketioxide, Self::Node, Self::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Socketioxide => "socketioxide",
            Self::Node => "Node socket.io",
            Self::Bare => "bare writes",
        }
    }

    fn command(self) -> anyhow::Result<Command> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        match self {
            Self::Socketioxide => command.arg(std::env::current_exe()?).args(["peer", "socketioxide"]),
            Self::Bare => command.arg(std::env::current_exe()?).args(["peer", "bare"]),
            // It collects its garbage when it is idle, so that what is measured is what it needs.
            Self::Node => command.args(["node", "--expose-gc"]).arg(Path::new(NODE).join("server.mjs")),
        };
        Ok(command)
    }
}

impl Peer {
    /// Starts one, on a free port.
    pub(crate) fn start(kind: PeerKind) -> anyhow::Result<Self> {
        if kind == PeerKind::Node {
            install()?;
        }
        let mut child = kind.command()?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = child.stdin.take().context("no pipe")?;
        let mut answers = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut address = String::new();
        answers.read_line(&mut address)?;
        let address = address.trim().to_owned();
        ensure!(!address.is_empty(), "{} does not start", kind.name());
        Ok(Self { child, orders, address })
    }

    /// Where sockets connect to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Tells everyone who watches.
    pub(crate) fn broadcast(&mut self, argument: &str) -> anyhow::Result<()> {
        writeln!(self.orders, "{argument}")?;
        Ok(self.orders.flush()?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What package.json names, if it is not there.
fn install() -> anyhow::Result<()> {
    if Path::new(NODE).join("node_modules/.package-lock.json").exists() {
        return Ok(());
    }
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(NODE)
        .status()
        .context("is npm installed?")?;
    ensure!(status.success(), "npm ci in {NODE}: {status}");
    Ok(())
}
