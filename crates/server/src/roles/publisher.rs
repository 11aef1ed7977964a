//! The publisher: takes buy requests and hands them to the queue.

use std::sync::Arc;

use miaosha_app::request_buy::RequestDesk;

use crate::lifecycle::Tasks;

/// Hands requests over until the shutdown, and then what is left.
pub(crate) fn start(tasks: &Tasks, desk: Arc<RequestDesk>) {
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("request desk", async move { desk.run(shutdown.cancelled()).await });
}
