//! A `RabbitMQ` node: no plugins, an `epmd` of its own, all stable feature flags on, as on a new installation.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::authority::Authority;
use super::daemon::{Daemon, Service};
use super::port::Port;
use super::process::guarded;
use super::scratch::Scratch;
use super::waiting::{answers, wait_until};

/// Debian's script that runs the broker as the user who calls it; the one in `/usr/sbin` becomes the user `rabbitmq`.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// Whether clients have to say by a certificate who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    Unknown,
    Known,
}

/// A broker, and the name server that Erlang wants.
#[derive(Debug)]
pub struct RabbitMq {
    broker: Daemon,
    _distribution_port: Port,
    _name_server: Daemon,
    scratch: Scratch,
    has_tls: bool,
}

impl RabbitMq {
    /// Starts one with empty data, and waits until it takes connections.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_as(None, Clients::Unknown)
    }

    /// The same, and it speaks TLS only.
    pub fn start_with_tls(authority: &Authority) -> anyhow::Result<Self> {
        Self::start_as(Some(authority), Clients::Unknown)
    }

    /// The same, for clients that show a certificate of the authority.
    pub fn start_with_tls_for_known_clients(authority: &Authority) -> anyhow::Result<Self> {
        Self::start_as(Some(authority), Clients::Known)
    }

    pub(super) fn start_as(authority: Option<&Authority>, clients: Clients) -> anyhow::Result<Self> {
        let has_tls = authority.is_some();
        let scratch = Scratch::new("rabbitmq")?;
        let directory = scratch.path().to_owned();
        let name_server = start_name_server(&directory)?;
        let port = Port::lease()?;
        let distribution_port = Port::lease()?;
        write_settings(&directory, &port, authority, clients)?;

        let environment: Vec<(&str, String)> = vec![
            ("HOME", path(&directory)),
            // The script then becomes the broker instead of waiting for it in a shell, which would outlive it.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
            ("ERL_EPMD_PORT", name_server.port().number().to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODENAME", node_name(port.number())),
            ("RABBITMQ_DIST_PORT", distribution_port.number().to_string()),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", path(&directory.join("rabbitmq.conf"))),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path(&directory.join("advanced.config"))),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path(&directory.join("generated"))),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path(&directory.join("enabled_plugins"))),
            ("RABBITMQ_FEATURE_FLAGS_FILE", path(&feature_flags_file(&directory))),
            ("RABBITMQ_MNESIA_BASE", path(&directory.join("data"))),
            ("RABBITMQ_LOG_BASE", path(&directory.join("log"))),
            ("RABBITMQ_PID_FILE", path(&directory.join("pid"))),
            // Two schedulers are as many as the smallest machine that runs the tests has cores.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
        ];
        let address = port.address();
        let broker = Daemon::new(
            "rabbitmq",
            port,
            &directory,
            move || {
                let mut command = guarded(&format!("{SCRIPTS}/rabbitmq-server"));
                command.envs(environment.iter().map(|(key, value)| (key, value)));
                command
            },
            // The listener opens last of all.
            move || if has_tls { answers(address) } else { speaks_amqp(address) },
        );
        broker.start().context("is rabbitmq-server installed?")?;
        Ok(Self {
            broker,
            _distribution_port: distribution_port,
            _name_server: name_server,
            scratch,
            has_tls,
        })
    }

    /// For clients: user `guest`, virtual host `/`.
    pub fn uri(&self) -> String {
        let uri = uri_at(self.address());
        if self.has_tls { uri.replacen("amqp:", "amqps:", 1) } else { uri }
    }

    /// Waits until a quorum queue of the virtual host `/` outlives a kill of the broker.
    ///
    /// A message outlives it from its confirm on, but the list of the node's queues is written to its file only some
    /// three seconds after a queue was declared, confirmed or not. A queue that is not in it comes back without a leader,
    /// for ever (rabbitmq-server#15725).
    pub fn wait_until_remembered(&self, queue: &str) -> anyhow::Result<()> {
        let node = node_name(self.address().port());
        let list = self.scratch.path().join(format!("data/{node}/quorum/{node}/names.dets"));
        let name = format!("%2F_{queue}");
        wait_until(&format!("the broker has written down its queue `{queue}`"), || {
            let list = fs::read(&list)?;
            Ok(list.windows(name.len()).any(|bytes| bytes == name.as_bytes()))
        })
    }

    /// The names of the feature flags that are on.
    pub fn feature_flags(&self) -> anyhow::Result<Vec<String>> {
        // An Erlang list of atoms, ended by a point.
        let text = fs::read_to_string(feature_flags_file(self.scratch.path()))?;
        let names = text.trim().trim_end_matches('.').trim_matches(['[', ']']);
        Ok(names.split(',').map(|name| name.trim().to_owned()).collect())
    }
}

pub(super) fn uri_at(address: SocketAddr) -> String {
    format!("amqp://guest:guest@{address}/%2f")
}

fn node_name(port: u16) -> String {
    format!("miaosha-{port}@localhost")
}

impl Service for RabbitMq {
    fn daemon(&self) -> &Daemon {
        &self.broker
    }
}

/// In the foreground: the one that the broker would start is a daemon, which nothing ends.
fn start_name_server(directory: &Path) -> anyhow::Result<Daemon> {
    let port = Port::lease()?;
    let (number, address) = (port.number().to_string(), port.address());
    let name_server = Daemon::new(
        "epmd",
        port,
        directory,
        move || {
            let mut command = guarded("epmd");
            command.args(["-address", "127.0.0.1", "-port", &number]);
            command
        },
        move || answers(address),
    );
    name_server.start().context("is Erlang installed?")?;
    Ok(name_server)
}

fn write_settings(
    directory: &Path,
    port: &Port,
    authority: Option<&Authority>,
    clients: Clients,
) -> anyhow::Result<()> {
    let address = port.address();
    let verification = match clients {
        Clients::Unknown => "ssl_options.verify = verify_none",
        Clients::Known => "ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true",
    };
    let listener = match authority {
        None => format!("listeners.tcp.1 = {address}"),
        Some(authority) => format!(
            "listeners.tcp = none\n\
             listeners.ssl.1 = {address}\n\
             ssl_options.cacertfile = {}\n\
             ssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\n\
             {verification}",
            authority.file().display(),
            authority.certificate().display(),
            authority.key().display(),
        ),
    };
    let settings = format!(
        "{listener}\n\
         log.console = true\n\
         log.file = false\n\
         # A machine that is nearly full, or a container that says so, would block every publisher.\n\
         vm_memory_high_watermark.absolute = 1GiB\n\
         disk_free_limit.absolute = 1MB\n\
         # Half a gigabyte unless said, and it is kept in memory.\n\
         raft.wal_max_size_bytes = 33554432\n"
    );
    fs::write(directory.join("rabbitmq.conf"), settings)?;
    fs::write(directory.join("enabled_plugins"), "[].\n")?;
    // Each broker is alone in its cluster: nobody else needs to know it.
    let cookie = directory.join(".erlang.cookie");
    fs::write(&cookie, format!("MIAOSHA{}", port.number()))?;
    fs::set_permissions(cookie, Permissions::from_mode(0o400))?;
    Ok(())
}

fn feature_flags_file(directory: &Path) -> PathBuf {
    directory.join("feature_flags")
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether a broker answers the protocol header with a method frame.
fn speaks_amqp(address: SocketAddr) -> bool {
    const METHOD_FRAME: u8 = 1;
    let ask = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    ask().is_ok_and(|frame| frame == METHOD_FRAME)
}
