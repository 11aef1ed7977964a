//! The publisher: takes buy requests and hands them to the queue.

use std::sync::Arc;

use miaosha_app::lease_people::{RENEW_EVERY, lease_people};

use crate::lifecycle::Tasks;
use crate::wiring::Node;

/// Hands requests over until nobody is connected who could make one, and then what is left; after that nothing more comes,
/// and whoever waits for it is told. A process that takes none only ends its queues then.
pub(crate) fn start(tasks: &Tasks, node: Arc<Node>, takes_requests: bool) {
    let served = tasks.served().clone();
    let desk = node.clone();
    tasks.spawn("request desk", async move {
        desk.desk.run(served.cancelled()).await;
        desk.stop();
    });
    if let Some(cap) = node.people_cap().filter(|_| takes_requests) {
        tasks.spawn_while_serving("people cap", async move {
            loop {
                lease_people(cap.as_ref(), &node.board, node.number.into(), node.ports.clock.now()).await;
                node.ports.clock.sleep(RENEW_EVERY).await;
            }
        });
    }
}
