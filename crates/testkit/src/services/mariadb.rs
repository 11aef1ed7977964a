//! A `MariaDB` primary with two read replicas that follow it by GTID.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::authority::Authority;
use super::client::ask;
use super::daemon::{Daemon, Service};
use super::port::Port;
use super::process::guarded;
use super::scratch::Scratch;
use super::waiting::wait_until;

const REPLICAS: u16 = 2;

/// One primary and its replicas, in the order in which they are numbered.
#[derive(Debug)]
pub struct MariaDb {
    /// Takes the writes; `innodb_flush_log_at_trx_commit` and `sync_binlog` are 1.
    pub primary: MariaDbServer,
    /// Follow the primary.
    pub replicas: Vec<MariaDbServer>,
    _scratch: Scratch,
}

/// One server. `root` has no password.
#[derive(Debug)]
pub struct MariaDbServer {
    daemon: Daemon,
    /// Of the authority, where the server speaks TLS only.
    authority: Option<PathBuf>,
}

impl MariaDb {
    /// Starts all with empty data, and waits until the replicas follow.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_as(None)
    }

    /// The same, and all speak TLS only, to their replicas too.
    pub fn start_with_tls(authority: &Authority) -> anyhow::Result<Self> {
        Self::start_as(Some(authority))
    }

    pub(super) fn start_as(authority: Option<&Authority>) -> anyhow::Result<Self> {
        let scratch = Scratch::new("mariadb")?;
        let template = scratch.directory("template")?;
        install(&template)?;
        let servers = (1..=1 + REPLICAS)
            .map(|id| {
                let directory = scratch.directory(&id.to_string())?;
                fs::create_dir(temporary(&directory))?;
                copy(&template.join("data"), &directory.join("data"))?;
                MariaDbServer::new(id, &directory, authority)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        servers.iter().try_for_each(|server| server.daemon.spawn())?;
        servers.iter().try_for_each(|server| server.daemon.wait_until_ready())?;
        fs::remove_dir_all(template)?;

        let mut servers = servers.into_iter();
        let primary = servers.next().context("there is a first server")?;
        let replicas: Vec<_> = servers.collect();
        for replica in &replicas {
            replica.follow(&primary)?;
        }
        Ok(Self { primary, replicas, _scratch: scratch })
    }

    /// Gives each server that runs the memory and the log of a machine of its own, until it is started again: with the
    /// 16 MiB of log that it is started with, much writing waits for pages to be written.
    pub fn give_room(&self) -> anyhow::Result<()> {
        const ROOM: &str =
            "SET GLOBAL innodb_buffer_pool_size = 1 << 30; SET GLOBAL innodb_log_file_size = 1 << 30";
        let servers = std::iter::once(&self.primary).chain(&self.replicas);
        servers
            .filter(|server| server.process_id().is_some())
            .try_for_each(|server| server.query(ROOM).map(drop))
    }

    /// Waits until every replica that runs has applied all that the primary had committed at the call.
    pub fn wait_until_replicas_caught_up(&self) -> anyhow::Result<()> {
        let position = self.primary.query("SELECT @@gtid_binlog_pos")?;
        for replica in self.replicas.iter().filter(|replica| replica.process_id().is_some()) {
            wait_until("a replica has caught up", || {
                let is_there = format!("SELECT MASTER_GTID_WAIT('{position}', 0)");
                Ok(replica.query(&is_there).is_ok_and(|answer| answer == "0"))
            })?;
        }
        Ok(())
    }
}

impl MariaDbServer {
    fn new(id: u16, directory: &Path, authority: Option<&Authority>) -> anyhow::Result<Self> {
        let port = Port::lease()?;
        let mut settings = settings(id, port.number(), directory);
        if let Some(authority) = authority {
            settings.extend([
                format!("--ssl-ca={}", authority.file().display()),
                format!("--ssl-cert={}", authority.certificate().display()),
                format!("--ssl-key={}", authority.key().display()),
                "--require-secure-transport".to_owned(),
            ]);
        }
        let number = port.number();
        let authority = authority.map(Authority::file);
        let asked_by = authority.clone();
        let daemon = Daemon::new(
            format!("mariadb-{id}"),
            port,
            directory,
            move || {
                let mut command = guarded("mariadbd");
                command.args(&settings);
                command
            },
            move || ask(client(number, asked_by.as_ref()).args(["-e", "SELECT 1"])).is_ok(),
        );
        Ok(Self { daemon, authority })
    }

    /// For clients, without a database.
    pub fn url(&self) -> String {
        url_at(self.address())
    }

    /// Runs statements as `root`; the rows, columns parted by a tab.
    pub fn query(&self, sql: &str) -> anyhow::Result<String> {
        ask(self.client().args(["-e", sql]))
    }

    /// Statements of all kinds that clients have sent since it was started, this one included.
    pub fn statements(&self) -> anyhow::Result<u64> {
        let count =
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'QUESTIONS'";
        self.query(count)?.parse().context("a count is a number")
    }

    /// Notes every message that it is sent from now on, and nothing older, in the table `mysql.general_log`.
    pub fn log_statements(&self) -> anyhow::Result<()> {
        let empty = "SET sql_log_bin = 0; TRUNCATE mysql.general_log";
        self.query(&format!("{empty}; SET GLOBAL log_output = 'TABLE'; SET GLOBAL general_log = 1")).map(drop)
    }

    /// How often which statement was sent since [`MariaDbServer::log_statements`], by its beginning, the most frequent
    /// first.
    pub fn logged_statements(&self) -> anyhow::Result<String> {
        self.query(
            "SELECT COUNT(*), LEFT(argument, 60) kind FROM mysql.general_log \
             WHERE command_type IN ('Query', 'Execute') GROUP BY kind ORDER BY 1 DESC LIMIT 40",
        )
    }

    /// Lets a replica fall behind: what it receives from now on is applied no earlier than `delay_s` seconds after the
    /// primary committed it. 0 ends it.
    pub fn lag(&self, delay_s: u32) -> anyhow::Result<()> {
        self.query(&format!("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY = {delay_s}; START SLAVE"))?;
        self.wait_until_following()
    }

    /// Lets a replica receive but not apply, until [`MariaDbServer::resume_applying`].
    pub fn stop_applying(&self) -> anyhow::Result<()> {
        self.query("STOP SLAVE SQL_THREAD").map(drop)
    }

    /// Ends [`MariaDbServer::stop_applying`].
    pub fn resume_applying(&self) -> anyhow::Result<()> {
        self.query("START SLAVE SQL_THREAD")?;
        self.wait_until_following()
    }

    /// Waits until a replica has its connection to the primary and applies what comes.
    pub fn wait_until_following(&self) -> anyhow::Result<()> {
        wait_until("a replica follows its primary", || {
            let mut named = self.client();
            named.args(["--column-names", "-e", "SHOW SLAVE STATUS\\G"]);
            let status = ask(&mut named).unwrap_or_default();
            let says = |line: &str| status.lines().any(|row| row.trim() == line);
            Ok(says("Slave_IO_Running: Yes") && says("Slave_SQL_Running: Yes"))
        })
    }

    fn follow(&self, primary: &Self) -> anyhow::Result<()> {
        let address = primary.address();
        let tls = self.authority.as_ref().map_or_else(String::new, |authority| {
            let authority = authority.display();
            format!(", MASTER_SSL = 1, MASTER_SSL_CA = '{authority}', MASTER_SSL_VERIFY_SERVER_CERT = 1")
        });
        self.query(&format!(
            "CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = 'root', \
             MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 1{tls}; START SLAVE",
            address.ip(),
            address.port(),
        ))?;
        self.wait_until_following()
    }

    fn client(&self) -> Command {
        client(self.address().port(), self.authority.as_ref())
    }
}

impl Service for MariaDbServer {
    fn daemon(&self) -> &Daemon {
        &self.daemon
    }
}

pub(super) fn url_at(address: SocketAddr) -> String {
    format!("mysql://root@{address}")
}

fn client(port: u16, authority: Option<&PathBuf>) -> Command {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "--batch", "--skip-column-names", "--connect-timeout=2"]);
    command.args(["--protocol=tcp", "--host=127.0.0.1", "--user=root"]).arg(format!("--port={port}"));
    if let Some(authority) = authority {
        command.arg("--ssl-verify-server-cert").arg(format!("--ssl-ca={}", authority.display()));
    }
    command
}

fn settings(id: u16, port: u16, directory: &Path) -> Vec<String> {
    let mut settings = vec!["--no-defaults".to_owned()];
    settings.extend(as_whom());
    settings.extend([
        format!("--datadir={}", directory.join("data").display()),
        format!("--tmpdir={}", temporary(directory).display()),
        format!("--socket={}", directory.join("socket").display()),
        format!("--pid-file={}", directory.join("pid").display()),
        format!("--port={port}"),
        format!("--server-id={id}"),
    ]);
    settings.extend(
        [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--max-connections=300",
            "--innodb-flush-log-at-trx-commit=1",
            "--sync-binlog=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--log-slave-updates",
            "--relay-log=relay",
            // After `kill -9` the relay log may end in the middle of an event: fetch it anew.
            "--relay-log-recovery",
            "--gtid-strict-mode",
            // Three servers on a small machine.
            SMALL_LOG,
            "--innodb-buffer-pool-size=64M",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=8M",
            "--performance-schema=OFF",
        ]
        .map(str::to_owned),
    );
    settings
}

const SMALL_LOG: &str = "--innodb-log-file-size=16M";

/// `mariadbd` refuses to run as `root` unless told.
fn as_whom() -> Option<String> {
    rustix::process::getuid().is_root().then(|| "--user=root".to_owned())
}

/// Of one server alone: each that starts deletes the temporary tables it finds there, whosever they are.
fn temporary(directory: &Path) -> PathBuf {
    directory.join("tmp")
}

/// Makes an empty data directory `data` in `directory`, to be copied.
fn install(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir(temporary(directory))?;
    let mut command = guarded("mariadb-install-db");
    command.arg("--no-defaults").args(as_whom());
    command.arg(format!("--datadir={}", directory.join("data").display()));
    command.arg(format!("--tmpdir={}", temporary(directory).display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db", SMALL_LOG]);
    ask(&mut command).context("is mariadb-server installed?").map(drop)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
