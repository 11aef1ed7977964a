//! A gate that does what tests tell it.

use async_trait::async_trait;
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use parking_lot::Mutex;

use super::{Faults, Journal};
use crate::ports::{Admission, Gate, GateReport, GateUpdate, Passage, PortResult};

/// A gate that passes everybody but those it is told to refuse, and notes when it is loaded.
pub(crate) struct FakeGate {
    journal: Journal,
    faults: Faults,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    has_forgotten: bool,
    refused: Vec<u64>,
    knows_nobody: bool,
    is_full: bool,
    claims_missing: u64,
}

impl FakeGate {
    pub(super) fn new(journal: Journal, faults: Faults) -> Self {
        Self { journal, faults, state: Mutex::default() }
    }

    /// Knows no sale until it is loaded.
    pub(crate) fn forget(&self) {
        self.state.lock().has_forgotten = true;
    }

    /// From now on refuses these, or nobody.
    pub(crate) fn refuse(&self, people: &[u64]) {
        self.state.lock().refused = people.to_vec();
    }

    /// From now on takes everybody for new, rightly or not.
    pub(crate) fn know_nobody(&self) {
        self.state.lock().knows_nobody = true;
    }

    /// Says from now on that it is full.
    pub(crate) fn be_full(&self) {
        self.state.lock().is_full = true;
    }

    /// Says that it lacks so many claims, until it is topped up.
    pub(crate) fn lose_claims(&self, count: u64) {
        self.state.lock().claims_missing = count;
    }
}

#[async_trait]
impl Gate for FakeGate {
    async fn admit(&self, _: SaleId, users: &[UserId]) -> PortResult<Admission> {
        self.faults.around("gate", || {
            let state = self.state.lock();
            if state.has_forgotten {
                return Ok(Admission::Unknown);
            }
            let passage = |user: &UserId| match state.refused.contains(&user.get()) {
                true => Passage::Full,
                false if state.knows_nobody => Passage::New,
                false => Passage::Known,
            };
            Ok(Admission::Sorted(users.iter().map(passage).collect()))
        })
    }

    async fn update(&self, _: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        let state = self.state.lock();
        if state.has_forgotten {
            return Ok(GateReport::Unknown);
        }
        let claims = update.limit.claims.saturating_sub(state.claims_missing);
        Ok(GateReport::Known { claims, is_full: state.is_full })
    }

    async fn top_up(&self, _: SaleId, claims: &[Claim]) -> PortResult<()> {
        self.state.lock().claims_missing = 0;
        self.journal.note(format!("gate topped up with {}", claims.len()));
        Ok(())
    }

    async fn open(&self, _: SaleId, limit: GateLimit) -> PortResult<()> {
        if std::mem::take(&mut self.state.lock().has_forgotten) {
            self.journal.note(format!("gate opened at version {}", limit.version));
        }
        Ok(())
    }

    async fn open_anew(&self, _: SaleId, limit: GateLimit) -> PortResult<()> {
        self.state.lock().has_forgotten = false;
        self.journal.note(format!("gate opened anew at version {}", limit.version));
        Ok(())
    }

    async fn was_refused(&self, _: SaleId, user: UserId) -> PortResult<bool> {
        self.faults.around("gate", || Ok(self.state.lock().refused.contains(&user.get())))
    }
}
