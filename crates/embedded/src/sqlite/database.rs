//! The site's database: one file, its writer and its readers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use miaosha_app::ports::{Clock, PortResult};
use rusqlite::{Connection, TransactionBehavior};

use super::connections::Connections;
use super::failure::Failure;
use super::transaction::{HeldTransaction, TRANSACTION_MAX};
use super::{Access, DirectoryLock, OpenError, open};

/// An open database. Writes happen one after another, reads beside them; a read sees everything whose commit was
/// answered before it was asked for.
#[derive(Debug)]
pub(crate) struct Database {
    writer: Connections,
    readers: Connections,
    transaction_max: Duration,
    /// What transactions take for the database's clock.
    pub(super) clock: Arc<dyn Clock>,
}

const MIGRATIONS: &[&str] = &[include_str!("schema/0001_first.sql")];
/// One may be busy with a whole sale for an audit while the other looks claims up.
const READERS: usize = 2;

impl Database {
    /// Opens the database in a directory that `lock` holds; makes it, or brings its schema up to date.
    pub(crate) fn open(
        directory: &Path,
        lock: &Arc<DirectoryLock>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let path = directory.join("miaosha.sqlite");
        let writer = open(&path, Access::Write, MIGRATIONS)?;
        let readers = (0..READERS).map(|_| open(&path, Access::Read, &[])).collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Connections::start("sqlite-write", vec![writer], lock).map_err(OpenError::Directory)?,
            readers: Connections::start("sqlite-read", readers, lock).map_err(OpenError::Directory)?,
            transaction_max: TRANSACTION_MAX,
            clock,
        })
    }

    /// Runs `work` in one read transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> PortResult<T> {
        self.readers.call(what, |connection| work(&*connection.transaction()?)).await
    }

    /// Runs `work` in one writing transaction, and commits it.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> PortResult<T> {
        self.writer
            .call(what, |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let result = work(&transaction)?;
                transaction.commit()?;
                Ok(result)
            })
            .await
    }

    /// Begins a writing transaction that the caller holds; see [`HeldTransaction::begin`].
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        what: &'static str,
        first: impl FnOnce(&Connection) -> Result<Option<T>, Failure> + Send + 'static,
    ) -> PortResult<Option<(HeldTransaction, T)>> {
        HeldTransaction::begin(&self.writer, self.transaction_max, what, first).await
    }

    /// Finishes what was asked for before, and closes the file. The last connection to close, the writer's, writes the
    /// log back into the file and removes it.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
