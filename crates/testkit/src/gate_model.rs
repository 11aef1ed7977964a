//! What a gate does, in plain Rust: the model that the real one is compared with, and the gate of the simulation.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use miaosha_app::ports::{Admission, Gate, GateReport, GateUpdate, Passage, PortResult};
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use parking_lot::Mutex;

/// The gate of one sale.
#[derive(Debug, Clone, Default)]
pub struct GateModel {
    /// `None` while the gate does not know the sale.
    limit: Option<GateLimit>,
    claims: HashSet<UserId>,
    in_flight: HashSet<UserId>,
    refused: HashSet<UserId>,
}

impl GateModel {
    /// [`Gate::admit`](miaosha_app::ports::Gate::admit).
    pub fn admit(&mut self, users: &[UserId]) -> Admission {
        if self.limit.is_none() {
            return Admission::Unknown;
        }
        let is_known = |user| self.claims.contains(user) || self.in_flight.contains(user);
        let known: Vec<bool> = users.iter().map(is_known).collect();
        let sort = |(user, is_known): (&UserId, bool)| match self.admit_one(*user) {
            false => Passage::Full,
            true if is_known => Passage::Known,
            true => Passage::New,
        };
        Admission::Sorted(users.iter().zip(known).map(sort).collect())
    }

    /// [`Gate::update`](miaosha_app::ports::Gate::update).
    pub fn update(&mut self, update: GateUpdate<'_>) -> GateReport {
        let Some(limit) = self.limit else { return GateReport::Unknown };
        self.top_up(update.claims);
        for user in update.rejected {
            self.in_flight.remove(user);
            self.refused.insert(*user);
        }
        if update.limit.version >= limit.version {
            self.limit = Some(update.limit);
        }
        self.report()
    }

    /// [`Gate::top_up`](miaosha_app::ports::Gate::top_up).
    pub fn top_up(&mut self, claims: &[Claim]) {
        for claim in claims {
            self.claims.insert(claim.user);
            self.in_flight.remove(&claim.user);
            self.refused.remove(&claim.user);
        }
    }

    /// [`Gate::open`](miaosha_app::ports::Gate::open).
    pub fn open(&mut self, limit: GateLimit) {
        if self.limit.is_none() {
            self.open_anew(limit);
        }
    }

    /// [`Gate::open_anew`](miaosha_app::ports::Gate::open_anew).
    pub fn open_anew(&mut self, limit: GateLimit) {
        self.limit = Some(limit);
        self.in_flight.clear();
    }

    /// [`Gate::was_refused`](miaosha_app::ports::Gate::was_refused).
    pub fn was_refused(&self, user: UserId) -> bool {
        self.refused.contains(&user)
    }

    fn admit_one(&mut self, user: UserId) -> bool {
        let is_known = self.claims.contains(&user) || self.in_flight.contains(&user);
        let passes = is_known || (!self.is_full() && self.in_flight.insert(user));
        if passes {
            self.refused.remove(&user);
        } else {
            self.refused.insert(user);
        }
        passes
    }

    fn is_full(&self) -> bool {
        let people = (self.claims.len() + self.in_flight.len()) as u64;
        self.limit.is_none_or(|limit| people >= limit.people_max)
    }

    fn report(&self) -> GateReport {
        GateReport::Known { claims: self.claims.len() as u64, is_full: self.is_full() }
    }
}

/// The gates of all sales, in memory.
#[derive(Debug, Default)]
pub struct ModelGate {
    sales: Mutex<HashMap<SaleId, GateModel>>,
}

impl ModelGate {
    /// A gate that knows no sale.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything.
    pub fn flush(&self) {
        self.sales.lock().clear();
    }

    fn with<T>(&self, sale: SaleId, call: impl FnOnce(&mut GateModel) -> T) -> T {
        call(self.sales.lock().entry(sale).or_default())
    }
}

#[async_trait]
impl Gate for ModelGate {
    async fn admit(&self, sale: SaleId, users: &[UserId]) -> PortResult<Admission> {
        Ok(self.with(sale, |gate| gate.admit(users)))
    }

    async fn update(&self, sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        Ok(self.with(sale, |gate| gate.update(update)))
    }

    async fn top_up(&self, sale: SaleId, claims: &[Claim]) -> PortResult<()> {
        self.with(sale, |gate| gate.top_up(claims));
        Ok(())
    }

    async fn open(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.with(sale, |gate| gate.open(limit));
        Ok(())
    }

    async fn open_anew(&self, sale: SaleId, limit: GateLimit) -> PortResult<()> {
        self.with(sale, |gate| gate.open_anew(limit));
        Ok(())
    }

    async fn was_refused(&self, sale: SaleId, user: UserId) -> PortResult<bool> {
        Ok(self.with(sale, |gate| gate.was_refused(user)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract;

    #[expect(clippy::unused_async, reason = "other gates have to connect first")]
    async fn make_gate() -> contract::gate::Gate {
        contract::gate::Gate { gate: Arc::new(ModelGate::new()), keep: Box::new(()) }
    }

    crate::gate_contract!(make_gate);
}
