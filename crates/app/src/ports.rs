//! The ports: what the use cases need from outside. Each trait's doc comment is its contract, and every sentence of it
//! has a test in `testkit` that each adapter runs.

mod accounts;
mod bus;
mod claims;
mod gate;
mod money;
mod queue;
mod sales;
mod time;
mod turns;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use miaosha_domain::ids::IdSequence;
use parking_lot::Mutex;
use thiserror::Error;

pub use accounts::{
    IdempotencyKey, IdempotencyStore, NewUser, Passwords, Recorded, RecordedAnswer, UserStore,
};
pub use bus::{BusEvent, OutcomeBus, OutcomeSubscription, Reading};
pub use claims::{Change, ClaimStore, ClaimTx, ClaimWrite, OrderStore, PaymentStore};
pub use gate::{Admission, Gate, GateReport, GateUpdate, OpenGate, Passage, PeopleCap};
pub use money::{InvalidCard, PaymentMethod, PaymentProvider};
pub use queue::{Delivery, RequestQueue, TimerQueue};
pub use sales::{SaleStore, SaleTx, UnsettledSale};
pub use time::{Clock, Random};
pub use turns::Turns;

/// A port did not do its work. A business answer is never an error.
#[derive(Debug, Error)]
pub enum PortError {
    /// The same call may succeed later; whether this one had an effect is not known.
    #[error("{what}, may succeed later")]
    Retryable {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Cause,
    },
    /// Refused for lack of capacity, without effect.
    #[error("{what}: too much at once")]
    Overloaded {
        /// What was tried.
        what: &'static str,
    },
    /// The same call will fail again.
    #[error("{what} failed for good")]
    Terminal {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Cause,
    },
}

/// The technical reason behind a [`PortError`].
pub type Cause = Box<dyn StdError + Send + Sync>;

impl PortError {
    /// A failure that may pass.
    pub fn retryable(what: &'static str, source: impl Into<Cause>) -> Self {
        Self::Retryable { what, source: source.into() }
    }

    /// A failure that will not pass.
    pub fn terminal(what: &'static str, source: impl Into<Cause>) -> Self {
        Self::Terminal { what, source: source.into() }
    }

    /// Whether the same call will fail again.
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As new as the last commit.
    Fresh,
    /// It may miss the last seconds: for pages and lists of things that the reader did not change a moment ago.
    StaleOk,
}

/// What a port call returns.
pub type PortResult<T> = Result<T, PortError>;

/// Every port of a node. Cloning shares them.
#[derive(Clone)]
pub struct Ports {
    /// The node's clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness that nobody can guess.
    pub random: Arc<dyn Random>,
    /// New ids.
    pub ids: Arc<Ids>,
    /// Sales and the transactions under their locks.
    pub sales: Arc<dyn SaleStore>,
    /// Claims and the transactions of payments.
    pub claims: Arc<dyn ClaimStore>,
    /// Orders.
    pub orders: Arc<dyn OrderStore>,
    /// Payments that are not final.
    pub payments: Arc<dyn PaymentStore>,
    /// Accounts.
    pub users: Arc<dyn UserStore>,
    /// Who takes the money.
    pub provider: Arc<dyn PaymentProvider>,
    /// Accepted buy requests on their way to a decision.
    pub queue: Arc<dyn RequestQueue>,
    /// Wakes for deadlines.
    pub timers: Arc<dyn TimerQueue>,
    /// News of what was committed.
    pub bus: Arc<dyn OutcomeBus>,
    /// Who stands before the database.
    pub gate: Arc<dyn Gate>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").finish_non_exhaustive()
    }
}

/// Hands out ids of one node.
#[derive(Debug)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    sequence: Mutex<IdSequence>,
}

impl Ids {
    /// Ids of `node`; two live nodes need different numbers.
    pub fn new(clock: Arc<dyn Clock>, node: u16) -> Self {
        Self { clock, sequence: Mutex::new(IdSequence::new(node)) }
    }

    /// The next raw id, between 1 and 2^63 − 1, larger than every earlier one of this node.
    pub fn next(&self) -> u64 {
        self.sequence.lock().next(self.clock.now())
    }
}
