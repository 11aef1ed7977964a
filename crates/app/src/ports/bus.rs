//! News of what was committed, for every node that holds people or sockets.

use std::sync::Arc;

use async_trait::async_trait;

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
}

/// What a follower hears.
#[derive(Debug, Clone)]
pub enum BusEvent {
    /// A commit.
    News(Arc<Outcomes>),
    /// Some news was lost: look everything up.
    Gap,
    /// The bus is shut down.
    Closed,
}
