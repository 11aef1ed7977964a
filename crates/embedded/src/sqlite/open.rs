//! Opens a `SQLite` file with the settings that durability and memory ask for, and brings its schema up to date.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::directory_lock::make_private;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use thiserror::Error;

/// Why a data directory was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("another process is using this data directory")]
    InUse,
    /// A newer version of this program wrote it.
    #[error(
        "the data is of schema {found}, this program knows schemas up to {known}: use a newer version of it"
    )]
    NewerSchema {
        /// The version in the file.
        found: usize,
        /// The newest version that this program knows.
        known: usize,
    },
    /// The directory or a file in it cannot be used, or no thread can be started.
    #[error("cannot use the data directory")]
    Directory(#[source] io::Error),
    /// A file in it is not the database it should be, or cannot be used.
    #[error("cannot open the database")]
    Database(#[from] rusqlite::Error),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Writes; makes the file if it is missing.
    Write,
    /// Reads a file that a writer has opened before.
    Read,
}

/// Only ever waited for when something outside, such as a backup, has the file open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction of a thousand changes touches fewer pages; memory is taken only for pages that were touched.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
const READER_CACHE_KIB: i64 = 1024;
/// After how many written pages (of 4 KiB) the writer copies them back into the main file.
const CHECKPOINT_PAGES: i64 = 4_000;
/// What the write-ahead log is cut down to after it has grown beyond.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// All statements of one connection stay prepared.
const PREPARED_MAX: usize = 64;

/// Opens `path`. A writer also applies those of `migrations`, in order, that the file has not seen.
pub(crate) fn open(path: &Path, access: Access, migrations: &[&str]) -> Result<Connection, OpenError> {
    let flags = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    if let Access::Write = access {
        make_private(path).map_err(OpenError::Directory)?;
    }
    let mut connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
    match access {
        Access::Read => set(&connection, "cache_size", -READER_CACHE_KIB)?,
        Access::Write => {
            set(&connection, "cache_size", -WRITER_CACHE_KIB)?;
            set(&connection, "journal_mode", "WAL")?;
            set(&connection, "synchronous", "FULL")?;
            set(&connection, "foreign_keys", true)?;
            set(&connection, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            set(&connection, "journal_size_limit", LOG_BYTES_MAX)?;
            migrate(&mut connection, migrations)?;
        }
    }
    Ok(connection)
}

/// Some settings answer with a row, others with none.
fn set(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        error => Err(error),
    })
}

/// All or nothing: a file is never left between two schemas.
fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = migrations.len();
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for migration in &migrations[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
