//! What a primary must be like before this program trusts it with units and money.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use thiserror::Error;

use super::failure::{is_absence, number};
use super::migrate::{MIGRATIONS, SELECT_VERSION};
use super::rows::{self, Read};
use super::script::Script;
use crate::tls::TlsRefusal;

/// Why a database was not opened, or not migrated.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The server cannot be reached, refuses this account, or the address is no address.
    #[error("cannot use the database server: {0}")]
    Server(#[from] sqlx::Error),
    /// The server is there, and TLS keeps it from being used.
    #[error(transparent)]
    Tls(#[from] TlsRefusal),
    /// An address that leaves it to the server whether there is TLS.
    #[error(
        "ssl-mode=preferred protects from nobody: write ssl-mode=required, or leave it out if the network is private"
    )]
    TlsOnlyPreferred,
    /// An address that says whom to trust, or what to show.
    #[error(
        "leave ssl-ca, ssl-cert and ssl-key out of the database's address: engines.tls_ca_file, tls_cert_file and \
         tls_key_file are for all engines"
    )]
    TlsFileInAddress,
    /// The address lacks the database's name.
    #[error("the database's address names no database: write mysql://user:password@host:3306/miaosha")]
    NoDatabaseNamed,
    /// The schema is older than this program, or there is none.
    #[error("the database is of schema {found}, this program needs {known}: run `miaosha migrate` first")]
    OlderSchema {
        /// The version in the database; 0 if there is none.
        found: usize,
        /// The version that this program needs.
        known: usize,
    },
    /// A newer version of this program migrated it.
    #[error("the database is of schema {found}, this program knows {known}: use a newer version of it")]
    NewerSchema {
        /// The version in the database.
        found: usize,
        /// The newest version that this program knows.
        known: usize,
    },
    /// Another migration of the same database is under way.
    #[error("another `miaosha migrate` of this database is under way")]
    Migrating,
    /// The server may lose what it has confirmed.
    #[error(
        "the database server has {setting} = {found} and may forget commits in a crash: set it to {wanted}"
    )]
    Unsafe {
        /// The setting's name.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// The replicas would not get what this program writes.
    #[error(
        "the database server has binlog_format = STATEMENT, with which READ COMMITTED cannot be logged: set it to ROW"
    )]
    StatementLog,
}

impl OpenError {
    /// Whether it may pass by itself: the server is away, or has no room. All else waits for whoever runs it.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Server(error) if is_absence(error))
    }
}

pub(super) const SELECT_SETTINGS: &str = "SELECT CAST(@@innodb_flush_log_at_trx_commit AS CHAR), CAST(@@sync_binlog AS CHAR), \
     CAST(@@log_bin AS CHAR), CAST(@@binlog_format AS CHAR)";

/// Refuses a server that may forget, or whose schema is another. What may be forgotten is only warned of if
/// `accept_unsafe_flush`.
pub(super) async fn check(
    connection: &mut MySqlConnection,
    accept_unsafe_flush: bool,
) -> Result<(), OpenError> {
    let answers = Script::of(SELECT_SETTINGS, &[]).run(connection).await?;
    let row = answers.iter().find_map(|answer| answer.rows.first());
    let settings = row.and_then(|row| Settings::read(row).ok()).unwrap_or_default();
    settings.judge(accept_unsafe_flush)?;
    check_schema(connection).await
}

/// As text, because the engines have them in different types.
#[derive(Debug, Default)]
struct Settings {
    flush_log: String,
    sync_binlog: String,
    has_binlog: bool,
    binlog_format: String,
}

impl Settings {
    fn read(row: &MySqlRow) -> Read<Self> {
        Ok(Self {
            flush_log: rows::get(row, 0)?,
            sync_binlog: rows::get(row, 1)?,
            has_binlog: rows::get::<String>(row, 2)? == "1",
            binlog_format: rows::get(row, 3)?,
        })
    }

    fn judge(&self, accept_unsafe_flush: bool) -> Result<(), OpenError> {
        if self.has_binlog && self.binlog_format == "STATEMENT" {
            return Err(OpenError::StatementLog);
        }
        let flush = ("innodb_flush_log_at_trx_commit", &self.flush_log, true);
        let sync = ("sync_binlog", &self.sync_binlog, self.has_binlog);
        for (setting, found, matters) in [flush, sync] {
            if !matters || found == "1" {
                continue;
            }
            if !accept_unsafe_flush {
                return Err(OpenError::Unsafe { setting, found: found.clone(), wanted: "1" });
            }
            tracing::warn!(setting, found, "the database server may forget commits in a crash");
        }
        Ok(())
    }
}

async fn check_schema(connection: &mut MySqlConnection) -> Result<(), OpenError> {
    const NO_SUCH_TABLE: u16 = 1146;
    let known = MIGRATIONS.len();
    let found = match Script::of(SELECT_VERSION, &[]).run(connection).await {
        Ok(answers) => answers.iter().find_map(|answer| rows::number(answer.rows.first()?, 0).ok()),
        Err(error) if number(&error) == Some(NO_SUCH_TABLE) => None,
        Err(error) => return Err(error.into()),
    };
    match found.unwrap_or(0) {
        found if found < known => Err(OpenError::OlderSchema { found, known }),
        found if found > known => Err(OpenError::NewerSchema { found, known }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flush_log: &str, sync_binlog: &str, has_binlog: bool) -> Settings {
        Settings {
            flush_log: flush_log.to_owned(),
            sync_binlog: sync_binlog.to_owned(),
            has_binlog,
            binlog_format: "ROW".to_owned(),
        }
    }

    #[test]
    fn a_server_that_flushes_both_logs_at_each_commit_is_accepted() {
        assert!(settings("1", "1", true).judge(false).is_ok());
        assert!(settings("1", "0", false).judge(false).is_ok(), "there is no second log");
    }

    #[test]
    fn a_server_that_may_forget_a_commit_is_refused_unless_that_is_accepted() {
        for (flush_log, sync_binlog) in [("0", "1"), ("2", "1"), ("1", "0"), ("1", "1000")] {
            let settings = settings(flush_log, sync_binlog, true);
            assert!(matches!(settings.judge(false), Err(OpenError::Unsafe { .. })));
            assert!(settings.judge(true).is_ok());
        }
        assert!(
            Settings::default().judge(false).is_err(),
            "settings that could not be read are no good ones"
        );
    }

    #[test]
    fn a_log_of_statements_is_refused() {
        let settings = Settings { binlog_format: "STATEMENT".to_owned(), ..settings("1", "1", true) };
        assert!(matches!(settings.judge(true), Err(OpenError::StatementLog)));
    }
}
