//! A payment provider to try things with. It stands for a system outside: what it keeps is in a table that no statement of
//! the stores touches, and is written in transactions of its own, so that a crash between the two is the same as with a
//! real one.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::{
    Clock, Freshness, InvalidCard, PaymentMethod, PaymentProvider, PortError, PortResult,
};
use miaosha_app::sandbox::{Card, Kept, lookup_state, state_name};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
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

/// How often a step is tried that others get in the way of.
const TRIES_MAX: usize = 8;

/// The sandbox: four cards, and no money.
#[derive(Debug)]
pub(super) struct MysqlSandbox {
    database: Arc<Database>,
    clock: Arc<dyn Clock>,
}

impl MysqlSandbox {
    pub(super) fn new(database: Arc<Database>, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock }
    }

    /// The same as [`Self::step_from`] for who needs only the state afterwards.
    async fn step(
        &self,
        what: &'static str,
        id: PaymentId,
        step: impl Fn(Kept) -> Kept + Send + Sync,
    ) -> PortResult<ProviderState> {
        let (_, after) = self.step_from(what, id, step).await?;
        Ok(after)
    }

    /// Writes what `step` makes of the payment, if that differs, and returns the states before and after.
    async fn step_from(
        &self,
        what: &'static str,
        id: PaymentId,
        step: impl Fn(Kept) -> Kept + Send + Sync,
    ) -> PortResult<(ProviderState, ProviderState)> {
        for _ in 0..TRIES_MAX {
            let select = Script::of(SELECT, &[&id]);
            let stored = self.database.list(what, Freshness::Fresh, select, kept).await?.pop();
            let before = stored.unwrap_or(Kept::UNKNOWN).as_of(self.clock.now());
            let after = step(before);
            if stored.unwrap_or(Kept::UNKNOWN) == after {
                return Ok((before.state, after.state));
            }
            let (state, decided_at) = (state_name(after.state), after.decided_at);
            let write = match stored {
                None => Script::of(INSERT, &[&id, &state, &decided_at]),
                Some(stored) => Script::of(UPDATE, &[&state, &decided_at, &id, &state_name(stored.state)]),
            };
            let answers =
                self.database.write(write).await.map_err(|failure| failure.into_port_error(what))?;
            if answers.first().is_some_and(|answer| answer.found == 1) {
                return Ok((before.state, after.state));
            }
        }
        Err(PortError::Overloaded { what })
    }
}

#[async_trait]
impl PaymentProvider for MysqlSandbox {
    fn check(&self, method: &PaymentMethod) -> Result<(), InvalidCard> {
        Card::of(method).map(|_| ())
    }

    async fn authorise(
        &self,
        payment: PaymentId,
        _amount: Money,
        method: &PaymentMethod,
    ) -> PortResult<ProviderState> {
        const WHAT: &str = "authorise a payment";
        let card = Card::of(method).map_err(|invalid| PortError::terminal(WHAT, invalid))?;
        let now = self.clock.now();
        let (before, after) =
            self.step_from(WHAT, payment, move |before| before.authorise(card, now)).await?;
        if card == Card::LosesAnswer && before == ProviderState::Unknown {
            return Err(PortError::retryable(WHAT, "the answer is lost, as this card asks for"));
        }
        Ok(after)
    }

    async fn capture(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.step("capture a payment", payment, Kept::capture).await
    }

    async fn void(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.step("void a payment", payment, Kept::void).await
    }

    async fn refund(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.step("refund a payment", payment, Kept::refund).await
    }

    async fn query(&self, payment: PaymentId) -> PortResult<ProviderState> {
        self.step("ask about a payment", payment, |before| before).await
    }
}

fn kept(row: &MySqlRow) -> Result<Kept, Malformed> {
    let decided_at = rows::get::<Option<i64>>(row, 1)?.map(Timestamp::from_millis);
    Ok(Kept { state: rows::named(row, 0, lookup_state)?, decided_at })
}
