//! Simulated time and chance of one process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use miaosha_app::ports::{Clock, Random};
use miaosha_domain::time::Timestamp;

use super::world::World;

/// The clock of one process: a little off the database's.
pub(super) struct SimClock {
    pub(super) world: Arc<World>,
    pub(super) skew_ms: i64,
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.state().now.as_millis() + self.skew_ms)
    }

    async fn sleep(&self, span: Duration) {
        self.world.sleep(span).await;
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimClock").field("skew_ms", &self.skew_ms).finish_non_exhaustive()
    }
}

/// Chance from the run's seed.
pub(super) struct SimRandom {
    pub(super) world: Arc<World>,
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.world.state();
        for byte in bytes {
            *byte = state.dice.roll().to_le_bytes()[0];
        }
    }
}

impl fmt::Debug for SimRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRandom").finish_non_exhaustive()
    }
}
