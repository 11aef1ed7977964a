//! Where the payment sandbox keeps its payments: a file of its own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::PortResult;
use miaosha_app::sandbox::{Kept, SandboxStore, lookup_state, state_name};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use crate::sqlite::{Access, Connections, DirectoryLock, OpenError, named, open};

const MIGRATIONS: &[&str] = &[include_str!("sqlite/schema/sandbox_0001_first.sql")];
const SELECT: &str = "SELECT state, decided_at FROM sandbox_payments WHERE id = ?1";
/// Changes nothing if the payment is kept in another state than the last.
const REPLACE: &str = "INSERT INTO sandbox_payments (id, state, decided_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET state = ?2, decided_at = ?3 WHERE state = ?4";

/// The file.
#[derive(Debug)]
pub(crate) struct SqliteSandboxStore {
    connection: Connections,
}

impl SqliteSandboxStore {
    /// Opens the file in a directory that `lock` holds, or makes it.
    pub(crate) fn open(directory: &Path, lock: &Arc<DirectoryLock>) -> Result<Self, OpenError> {
        let connection = open(&directory.join("sandbox.sqlite"), Access::Write, MIGRATIONS)?;
        let connection =
            Connections::start("sandbox", vec![connection], lock).map_err(OpenError::Directory)?;
        Ok(Self { connection })
    }

    pub(crate) async fn close(&self) {
        self.connection.close().await;
    }
}

#[async_trait]
impl SandboxStore for SqliteSandboxStore {
    async fn load(&self, payment: PaymentId) -> PortResult<Kept> {
        let select = move |connection: &mut rusqlite::Connection| {
            let mut select = connection.prepare_cached(SELECT)?;
            let kept = select.query_row([payment.get()], |row| {
                let decided_at = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
                Ok(Kept { state: named(row, 0, lookup_state)?, decided_at })
            });
            Ok(kept.optional()?.unwrap_or(Kept::UNKNOWN))
        };
        self.connection.call("read a payment of the sandbox", select).await
    }

    async fn replace(&self, payment: PaymentId, before: ProviderState, after: Kept) -> PortResult<bool> {
        let replace = move |connection: &mut rusqlite::Connection| {
            let decided_at = after.decided_at.map(Timestamp::as_millis);
            let values = params![payment.get(), state_name(after.state), decided_at, state_name(before)];
            Ok(connection.prepare_cached(REPLACE)?.execute(values)? == 1)
        };
        self.connection.call("keep a payment of the sandbox", replace).await
    }
}
