//! Brings the schema of a database up to date: one job, run by hand or before a roll-out, and never by a process that
//! serves.
//!
//! Both engines end a transaction at each change of the schema, so a migration that fails stays half done. Therefore
//! each of its statements can be repeated, and its version is noted when all of them are done.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};

use super::MysqlConfig;
use super::open::OpenError;
use super::script::Script;
use super::server::{Server, connect_error};
use super::{failure, rows};

/// In order; the version of a schema is how many of them it has seen.
pub(super) const MIGRATIONS: &[&str] =
    &[include_str!("../../migrations/0001_first.sql"), include_str!("../../migrations/0002_sandbox.sql")];

pub(super) const CREATE_VERSION: &str = "CREATE TABLE IF NOT EXISTS schema_version ( \
     id BIGINT NOT NULL COMMENT 'Always 1', \
     version BIGINT NOT NULL COMMENT 'How many migrations were applied', \
     PRIMARY KEY (id) \
     ) ENGINE = InnoDB COMMENT = 'Which program this schema belongs to'";
pub(super) const SELECT_VERSION: &str = "SELECT version FROM schema_version WHERE id = 1";
pub(super) const UPSERT_VERSION: &str =
    "INSERT INTO schema_version (id, version) VALUES (1, ?) ON DUPLICATE KEY UPDATE version = ?";
/// The name is the server's, not the database's, and at most 64 characters long. A wait without end is no wait at all
/// on MariaDB, which answers NULL.
pub(super) const TAKE_LOCK: &str = "SELECT GET_LOCK(CONCAT('miaosha migrate ', MD5(DATABASE())), ?)";
pub(super) const FREE_LOCK: &str = "SELECT RELEASE_LOCK(CONCAT('miaosha migrate ', MD5(DATABASE())))";

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version before; 0 for an empty database.
    pub from: usize,
    /// The version that this program needs, which the database has now.
    pub to: usize,
}

/// Brings the database of the primary up to date; makes it first, if it is missing. Does nothing to one that is up to
/// date. Waits at most `wait` for another migration of the same database to end.
///
/// # Errors
/// [`OpenError::Migrating`] if the other one did not end, [`OpenError::NewerSchema`] if a newer program was here, and
/// what keeps the database from being reached or changed.
pub async fn migrate(config: &MysqlConfig, wait: Duration) -> Result<Migrated, OpenError> {
    let options = config.primary_options()?;
    make_database(&options).await?;
    let mut connection = Server::connect_alone(&options).await?;
    // Changing a large table takes its time.
    Script::of("SET SESSION innodb_lock_wait_timeout = 60 /*M!100000 , max_statement_time = 0 */", &[])
        .run(&mut connection)
        .await?;
    let seconds = wait.as_secs().max(1);
    if number(&mut connection, Script::of(TAKE_LOCK, &[&seconds])).await? != Some(1) {
        return Err(OpenError::Migrating);
    }
    let migrated = migrate_locked(&mut connection).await;
    // If this fails, the lock goes with the connection.
    let _ = Script::of(FREE_LOCK, &[]).run(&mut connection).await;
    migrated
}

async fn migrate_locked(connection: &mut MySqlConnection) -> Result<Migrated, OpenError> {
    Script::of(CREATE_VERSION, &[]).run(connection).await?;
    let from = version(connection).await?.unwrap_or(0);
    let to = MIGRATIONS.len();
    let Some(missing) = MIGRATIONS.get(from..) else {
        return Err(OpenError::NewerSchema { found: from, known: to });
    };
    for (version, migration) in (from + 1..).zip(missing) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
        Script::of(UPSERT_VERSION, &[&version, &version]).run(connection).await?;
    }
    Ok(Migrated { from, to })
}

/// The version of the schema, if it has one.
async fn version(connection: &mut MySqlConnection) -> Result<Option<usize>, OpenError> {
    let version = number(connection, Script::of(SELECT_VERSION, &[])).await?;
    Ok(version.and_then(|version| usize::try_from(version).ok()))
}

async fn number(connection: &mut MySqlConnection, query: Script) -> Result<Option<i64>, OpenError> {
    let answers = query.run(connection).await?;
    let row = answers.iter().find_map(|answer| answer.rows.first());
    Ok(row.and_then(|row| rows::get::<Option<i64>>(row, 0).ok().flatten()))
}

/// Nothing, if there is one: an account that may not make databases can migrate its own.
async fn make_database(options: &MySqlConnectOptions) -> Result<(), OpenError> {
    const UNKNOWN: u16 = 1049;
    let Err(error) = options.connect().await else { return Ok(()) };
    if failure::number(&error) != Some(UNKNOWN) {
        return Err(connect_error(options, error));
    }
    let name = options.get_database().expect("an address without one is refused");
    let mut connection = options.clone().database("").connect().await?;
    let quoted = name.replace('`', "``");
    let create = format!(
        "CREATE DATABASE IF NOT EXISTS `{quoted}` CHARACTER SET utf8mb4 COLLATE {}",
        super::server::COLLATION
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await?;
    Ok(())
}
