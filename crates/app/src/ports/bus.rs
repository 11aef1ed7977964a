//! News of what was committed, for every node that holds people or sockets.

use std::sync::Arc;

use async_trait::async_trait;
use miaosha_domain::ids::SaleId;
use miaosha_domain::sale::Book;
use miaosha_domain::time::Timestamp;

use crate::model::Outcomes;

/// Tells every node what a commit changed: the fast path only. News may be lost, doubled or out of order; whoever
/// follows repairs that from the database ([`crate::follow`]).
pub trait OutcomeBus: Send + Sync {
    /// Sends news. Never waits and never fails.
    fn publish(&self, outcomes: Arc<Outcomes>);

    /// News from now on.
    fn subscribe(&self) -> Box<dyn OutcomeSubscription>;
}

/// One follower's view of the bus.
#[async_trait]
pub trait OutcomeSubscription: Send {
    /// Waits for the next event. Safe to drop while waiting.
    async fn next(&mut self) -> BusEvent;

    /// Tells those who hear the news through this process, if there are any, what it has read of the database: after the
    /// news heard so far, before what is shared later. They hear of a gap where it does not reach them. Never waits. Returns
    /// whether this process is to read for others.
    fn share(&self, _event: BusEvent) -> bool {
        false
    }
}

/// What a follower hears.
#[derive(Debug, Clone)]
pub enum BusEvent {
    /// A commit.
    News(Arc<Outcomes>),
    /// Some news was lost: look everything up.
    Gap,
    /// What another process has read for this one, which hears the news through it.
    Reading(Arc<Reading>),
    /// The bus is shut down.
    Closed,
}

/// A reading of what changed in the database. What it found is told as news before it, so whoever has heard all news since
/// a reading of its own that began after it subscribed knows every claim as it was when this one began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// When it began, by the clock of the machine.
    pub as_of: Timestamp,
    /// Every sale that may still change by itself, with its book.
    pub unsettled: Vec<(SaleId, Book)>,
}
