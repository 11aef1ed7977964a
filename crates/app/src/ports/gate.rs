//! The gate before the database, and the people cap.

use async_trait::async_trait;
use miaosha_domain::claim::Claim;
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};

use super::PortResult;

/// Counts the people of each sale in memory, and lets through only as many as can still matter.
///
/// A gate spares the database work and never decides who gets a unit. It may forget a sale, fall back to an earlier
/// state or be gone: whoever asks then does without it, and nothing becomes wrong, only slower. Of a sale that it knows
/// it keeps two sets of people, those with a claim and those in flight (let through and not decided yet), a limit, and a
/// record of who was refused. Each call is one atomic step, and may be repeated.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Sorts the people of a batch, one after the other: who has a claim or is in flight passes; of the others, who
    /// comes while both together are fewer than the limit is in flight from then on and passes; the rest are full.
    /// Who is full is on the record of the refused, who passes is not.
    async fn admit(&self, sale: SaleId, users: &[UserId]) -> PortResult<Admission>;

    /// Takes in what was committed: claims join those with a claim and leave those in flight, the rejected leave those
    /// in flight (never the claims) and are on the record, and the limit is adopted unless a later version is known.
    /// Changes nothing of a sale that the gate does not know, and says so.
    async fn update(&self, sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport>;

    /// Adds claims, whatever became of them, known sale or not; takes nobody out. For a gate that has fewer than the
    /// database.
    async fn top_up(&self, sale: SaleId, claims: &[Claim]) -> PortResult<()>;

    /// Makes a sale that is not known known, with `limit` and nobody in flight; changes nothing of one that is known. The
    /// claims must have been topped up before.
    async fn open(&self, sale: SaleId, limit: GateLimit) -> PortResult<()>;

    /// Forgets who is in flight and takes `limit`, also one of an earlier version, known sale or not. For a gate whose
    /// people in flight were lost on their way.
    async fn open_anew(&self, sale: SaleId, limit: GateLimit) -> PortResult<()>;

    /// Whether this person is on the record of the refused.
    async fn was_refused(&self, sale: SaleId, user: UserId) -> PortResult<bool>;
}

/// What became of a batch at the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The gate does not know the sale: load it.
    Unknown,
    /// For each person of the batch, in its order, whether he passes.
    Sorted(Vec<Passage>),
}

/// Whether somebody passes the gate, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// He does not.
    Full,
    /// He passes: he is in flight by this very batch. He had no claim that the gate knew of when it was asked.
    New,
    /// He passes, and may have a claim.
    Known,
}

impl Passage {
    /// Whether he passes.
    pub fn passes(self) -> bool {
        self != Self::Full
    }
}

/// What a commit tells the gate.
#[derive(Debug, Clone, Copy)]
pub struct GateUpdate<'a> {
    /// The sale's limit after the commit.
    pub limit: GateLimit,
    /// Claims that were written, whatever became of them.
    pub claims: &'a [Claim],
    /// People whom the database rejected without a row.
    pub rejected: &'a [UserId],
}

/// What the gate holds after an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateReport {
    /// It does not know the sale: load it.
    Unknown,
    /// It knows the sale.
    Known {
        /// People with a claim.
        claims: u64,
        /// Whether a newcomer would be refused.
        is_full: bool,
    },
}

/// No gate: everybody passes. For storage that is in the same process, where asking costs as much as deciding.
#[derive(Debug, Clone, Copy)]
pub struct OpenGate;

#[async_trait]
impl Gate for OpenGate {
    async fn admit(&self, _sale: SaleId, users: &[UserId]) -> PortResult<Admission> {
        Ok(Admission::Sorted(vec![Passage::Known; users.len()]))
    }

    async fn update(&self, _sale: SaleId, update: GateUpdate<'_>) -> PortResult<GateReport> {
        Ok(GateReport::Known { claims: update.limit.claims, is_full: false })
    }

    async fn top_up(&self, _sale: SaleId, _claims: &[Claim]) -> PortResult<()> {
        Ok(())
    }

    async fn open(&self, _sale: SaleId, _limit: GateLimit) -> PortResult<()> {
        Ok(())
    }

    async fn open_anew(&self, _sale: SaleId, _limit: GateLimit) -> PortResult<()> {
        Ok(())
    }

    async fn was_refused(&self, _sale: SaleId, _user: UserId) -> PortResult<bool> {
        Ok(false)
    }
}

/// The people cap of each sale, shared by all publishers: a bound for a flood. It never decides who gets a unit.
#[async_trait]
pub trait PeopleCap: Send + Sync {
    /// Asks that `holder` have `wanted` of the `people_max` places of a sale, for the next ten seconds; returns how
    /// many it has: never more than wanted, and of all holders together never more than `people_max`, but that nobody
    /// is left with fewer than a live lease gave him. A lease that is not renewed is free again.
    async fn lease(&self, sale: SaleId, holder: u64, wanted: u64, people_max: u64) -> PortResult<u64>;
}
