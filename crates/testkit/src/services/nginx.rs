//! Nginx with the configuration of `deploy/nginx`, unchanged but for the upstreams, which are a test's own.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::client::ask;
use super::daemon::{Daemon, Service};
use super::port::Port;
use super::process::{Place, guarded_at};
use super::scratch::Scratch;
use super::waiting::answers;

/// What an operator includes.
const DEPLOYED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/nginx");

/// Connections in all, both sides counted; below the limit of open files that services get.
const CONNECTIONS_MAX: u32 = 16_000;

/// A running Nginx.
///
/// One process without a master, so that it can be killed or bound to a core as one; that form cannot reload, so a changed
/// fleet takes a new value, on the port of the old one if need be.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    scratch: Scratch,
}

/// The processes that Nginx leads to. None of the lists may be empty; a process may be in several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Take the buy API.
    pub publishers: Vec<SocketAddr>,
    /// Hold the sockets.
    pub push: Vec<PushNode>,
    /// Serve everything else.
    pub general: Vec<SocketAddr>,
}

/// A process with role `push`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushNode {
    /// Its `node`, with which the names of its sessions begin.
    pub node: u16,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a test may choose; the default is what an operator gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NginxOptions {
    /// Where to listen on 127.0.0.1; a free port if `None`.
    pub port: Option<u16>,
    /// Whether `limits.conf` is included.
    pub is_limited: bool,
    /// Where it runs.
    pub place: Place,
}

impl Nginx {
    /// Starts it in front of `fleet`, whose processes need not run yet, and waits until it listens.
    pub fn start(fleet: &Fleet, options: NginxOptions) -> anyhow::Result<Self> {
        let scratch = Scratch::new("nginx")?;
        let port = options.port.map_or_else(Port::lease, Port::lease_exactly)?;
        let directory = scratch.path().to_owned();
        fs::write(directory.join("upstreams.conf"), upstreams(fleet)?)?;
        let servers = site_server(&directory, port.address(), options.is_limited);
        Self::serve(scratch, port, options.place, &servers)
    }

    /// Starts one that answers every request with this JSON, whatever it asks for: what other servers are measured by.
    pub fn start_answering(json: &str, place: Place) -> anyhow::Result<Self> {
        let scratch = Scratch::new("nginx")?;
        let port = Port::lease()?;
        let server = format!(
            "default_type application/json;\n\
             keepalive_requests 1000000000;\n\
             server {{ listen {} backlog=4096; return 200 '{json}'; }}\n",
            port.address(),
        );
        Self::serve(scratch, port, place, &server)
    }

    fn serve(scratch: Scratch, port: Port, place: Place, servers: &str) -> anyhow::Result<Self> {
        let directory = scratch.path().to_owned();
        fs::write(directory.join("nginx.conf"), main_configuration(&directory, servers))?;
        let launch = command(&directory, place);
        check(launch())?;
        let address = port.address();
        let daemon = Daemon::new("nginx", port, &directory, launch, move || answers(address));
        daemon.start()?;
        Ok(Self { daemon, scratch })
    }

    /// Its error log so far.
    pub fn error_log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.scratch.path().join("error.log"))?)
    }
}

impl Service for Nginx {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

fn command(directory: &Path, place: Place) -> impl Fn() -> Command + use<> {
    let directory = directory.to_owned();
    move || {
        let mut command = guarded_at(&place, "nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(directory.join("nginx.conf"));
        command.arg("-e").arg(directory.join("error.log"));
        command
    }
}

/// What Nginx itself thinks of the configuration.
fn check(mut command: Command) -> anyhow::Result<()> {
    ask(command.arg("-t")).context("the configuration, or is nginx installed?").map(drop)
}

fn main_configuration(directory: &Path, servers: &str) -> String {
    let directory = directory.display();
    format!(
        "daemon off;\n\
         master_process off;\n\
         pid {directory}/pid;\n\
         error_log {directory}/error.log warn;\n\
         events {{ worker_connections {CONNECTIONS_MAX}; }}\n\
         http {{\n\
             access_log off;\n\
             client_body_temp_path {directory}/bodies;\n\
             proxy_temp_path {directory}/answers;\n\
             fastcgi_temp_path {directory}/fastcgi;\n\
             uwsgi_temp_path {directory}/uwsgi;\n\
             scgi_temp_path {directory}/scgi;\n\
             {servers}\
         }}\n",
    )
}

fn site_server(directory: &Path, listen: SocketAddr, is_limited: bool) -> String {
    let directory = directory.display();
    let limits = if is_limited { format!("include {DEPLOYED}/limits.conf;") } else { String::new() };
    format!(
        "include {DEPLOYED}/miaosha.conf;\n\
         include {directory}/upstreams.conf;\n\
         {limits}\n\
         server {{\n\
             listen {listen} backlog=4096;\n\
             include {DEPLOYED}/routes.conf;\n\
         }}\n",
    )
}

/// The same names and settings, in the same order, as in `deploy/nginx/upstreams.conf`.
fn upstreams(fleet: &Fleet) -> anyhow::Result<String> {
    let mut text = String::new();
    let sockets: Vec<_> = fleet.push.iter().map(|node| node.address).collect();
    upstream(&mut text, "publisher", &fleet.publishers)?;
    upstream(&mut text, "push", &sockets)?;
    let mut map = String::new();
    for PushNode { node, address } in &fleet.push {
        upstream(&mut text, &format!("push_{node}"), &[*address])?;
        writeln!(map, "{node} push_{node};")?;
    }
    writeln!(text, "map $push_node $push_upstream {{\ndefault push;\n{map}}}")?;
    upstream(&mut text, "general", &fleet.general)?;
    Ok(text)
}

fn upstream(text: &mut String, name: &str, servers: &[SocketAddr]) -> anyhow::Result<()> {
    writeln!(text, "upstream {name} {{\nzone {name} 256k;")?;
    for server in servers {
        writeln!(text, "server {server} max_fails=2 fail_timeout=2s;")?;
    }
    writeln!(text, "keepalive 128;\nkeepalive_timeout 20s;\nkeepalive_requests 100000;\n}}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without comments and the space around lines.
    fn settings(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
    }

    #[test]
    fn the_upstreams_of_tests_are_set_as_those_of_an_operator() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let fleet = Fleet {
            publishers: vec![at(8_081)],
            push: vec![PushNode { node: 1, address: at(8_082) }],
            general: vec![at(8_083)],
        };
        let deployed = fs::read_to_string(format!("{DEPLOYED}/upstreams.conf")).unwrap();
        assert_eq!(settings(&upstreams(&fleet).unwrap()), settings(&deployed));
    }
}
