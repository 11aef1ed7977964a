//! The publisher: takes buy requests and hands them to the queue.

use std::sync::Arc;

use crate::lifecycle::Tasks;
use crate::wiring::Node;

/// Hands requests over until the shutdown, and then what is left; after that nothing more comes, and whoever waits for it
/// is told.
pub(crate) fn start(tasks: &Tasks, node: Arc<Node>) {
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("request desk", async move {
        node.desk.run(shutdown.cancelled()).await;
        node.stop();
    });
}
