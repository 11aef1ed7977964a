//! Work that one process of a site does for all of them.

use std::time::Duration;

use async_trait::async_trait;

use super::PortResult;

/// Whose turn it is to do what one process of a site does for all. Nothing may depend on it but how much work is done:
/// who cannot be told whose turn it is does the work, so that it may be done twice.
#[async_trait]
pub trait Turns: Send + Sync {
    /// Whether it is `holder`'s turn to do the work called `work`: the first one's who asks, for `span`. Who asks again has it
    /// still, and not for longer; after `span` it is free again.
    async fn take(&self, work: &str, holder: u64, span: Duration) -> PortResult<bool>;
}
