//! What a gate does, in plain Rust: the model that the real one is compared with, and the gate of the simulation.

use std::collections::HashSet;

use miaosha_app::ports::{Admission, GateReport, GateUpdate};
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::UserId;

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
        Admission::Sorted(users.iter().map(|user| self.admit_one(*user)).collect())
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
