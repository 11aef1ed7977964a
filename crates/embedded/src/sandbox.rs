//! A payment provider to try things with. It stands for a system outside: it keeps its own file, so that what it knows
//! does not depend on what the site wrote, and a crash between the two is the same as with a real one.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use miaosha_app::ports::{Clock, InvalidCard, PaymentMethod, PaymentProvider, PortError, PortResult};
use miaosha_app::sandbox::{Card, Kept, lookup_state, state_name};
use miaosha_domain::ids::PaymentId;
use miaosha_domain::money::Money;
use miaosha_domain::payment::ProviderState;
use miaosha_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::sqlite::{Access, Connections, DirectoryLock, OpenError, named, open};

/// The sandbox: four cards, and no money.
#[derive(Debug)]
pub struct SandboxProvider {
    connection: Connections,
    clock: Arc<dyn Clock>,
}

const MIGRATIONS: &[&str] = &[include_str!("sqlite/schema/sandbox_0001_first.sql")];
const SELECT: &str = "SELECT state, decided_at FROM sandbox_payments WHERE id = ?1";
const UPSERT: &str = "INSERT INTO sandbox_payments (id, state, decided_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET state = ?2, decided_at = ?3";

impl SandboxProvider {
    /// Opens the sandbox's file in a directory that `lock` holds, or makes it.
    pub(crate) fn open(
        directory: &Path,
        lock: &Arc<DirectoryLock>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let connection = open(&directory.join("sandbox.sqlite"), Access::Write, MIGRATIONS)?;
        let connection =
            Connections::start("sandbox", vec![connection], lock).map_err(OpenError::Directory)?;
        Ok(Self { connection, clock })
    }

    pub(crate) async fn close(&self) {
        self.connection.close().await;
    }

    /// The same as [`Self::step_from`] for who needs only the state afterwards.
    async fn step(
        &self,
        what: &'static str,
        id: PaymentId,
        step: impl FnOnce(Kept) -> Kept + Send + 'static,
    ) -> PortResult<ProviderState> {
        let (_, after) = self.step_from(what, id, step).await?;
        Ok(after)
    }

    /// Writes what `step` makes of the payment, if that differs, and returns the states before and after.
    async fn step_from(
        &self,
        what: &'static str,
        id: PaymentId,
        step: impl FnOnce(Kept) -> Kept + Send + 'static,
    ) -> PortResult<(ProviderState, ProviderState)> {
        let now = self.clock.now();
        self.connection
            .call(what, move |connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let before = select(&transaction, id)?.as_of(now);
                let after = step(before);
                if after != before {
                    let params = params![
                        id.get(),
                        state_name(after.state),
                        after.decided_at.map(Timestamp::as_millis)
                    ];
                    transaction.prepare_cached(UPSERT)?.execute(params)?;
                }
                transaction.commit()?;
                Ok((before.state, after.state))
            })
            .await
    }
}

#[async_trait]
impl PaymentProvider for SandboxProvider {
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

fn select(connection: &Connection, id: PaymentId) -> rusqlite::Result<Kept> {
    let mut select = connection.prepare_cached(SELECT)?;
    let kept = select.query_row([id.get()], |row| {
        let decided_at = row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis);
        Ok(Kept { state: named(row, 0, lookup_state)?, decided_at })
    });
    Ok(kept.optional()?.unwrap_or(Kept::UNKNOWN))
}
