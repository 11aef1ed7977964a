//! Where the payment sandbox keeps its payments: a table that no statement of the stores touches.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::PortResult;
use miaosha_app::sandbox::{Kept, SandboxStore, lookup_state, state_name};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;
use sqlx::mysql::MySqlRow;

use super::database::Database;
use super::rows::{self, Malformed};
use super::script::Script;

const SELECT: &str = "SELECT state, decided_at FROM sandbox_payments WHERE id = ?";
/// Finds nothing if somebody else was first.
const INSERT: &str = "INSERT IGNORE INTO sandbox_payments (id, state, decided_at) VALUES (?, ?, ?)";
/// Finds nothing if somebody else changed it since it was read.
const UPDATE: &str = "UPDATE sandbox_payments SET state = ?, decided_at = ? WHERE id = ? AND state = ?";

/// The table.
#[derive(Debug)]
pub(super) struct MysqlSandboxStore(pub(super) Arc<Database>);

#[async_trait]
impl SandboxStore for MysqlSandboxStore {
    async fn load(&self, payment: PaymentId) -> PortResult<Kept> {
        let select = Script::of(SELECT, &[&payment]);
        let stored = self.0.lookup("read a payment of the sandbox", select, kept).await?;
        Ok(stored.unwrap_or(Kept::UNKNOWN))
    }

    async fn replace(&self, payment: PaymentId, before: ProviderState, after: Kept) -> PortResult<bool> {
        let (state, decided_at) = (state_name(after.state), after.decided_at);
        let write = match before {
            ProviderState::Unknown => Script::of(INSERT, &[&payment, &state, &decided_at]),
            before => Script::of(UPDATE, &[&state, &decided_at, &payment, &state_name(before)]),
        };
        let written = self.0.write(write).await;
        let answers = written.map_err(|failure| failure.into_port_error("keep a payment of the sandbox"))?;
        Ok(answers.first().is_some_and(|answer| answer.found == 1))
    }
}

fn kept(row: &MySqlRow) -> Result<Kept, Malformed> {
    let decided_at = rows::get::<Option<i64>>(row, 1)?.map(Timestamp::from_millis);
    Ok(Kept { state: rows::named(row, 0, lookup_state)?, decided_at })
}
