//! Between the clients and the web nodes: requests and answers are late or lost, and a crash cuts the line.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::coverage::Mark;
use super::web_node::WebNode;
use super::world::World;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// A web node that is up, by the load balancer's choice.
pub(super) fn pick_node(world: &World) -> Option<Arc<WebNode>> {
    let mut state = world.state();
    let nodes: Vec<_> = state.processes.list_nodes().cloned().collect();
    if nodes.is_empty() {
        return None;
    }
    let pick = state.dice.index(nodes.len());
    Some(nodes[pick].clone())
}

/// Sends a request to a web node and waits for its answer; `None` if there is none. The node finishes its work whether
/// or not the client still waits.
pub(super) async fn call<T, Work>(
    world: &Arc<World>,
    work: impl FnOnce(Arc<WebNode>) -> Work + Send,
) -> Option<T>
where
    T: Send + 'static,
    Work: Future<Output = T> + Send + 'static,
{
    world.hop().await;
    if world.state().strikes(Mark::RequestLost, 25) {
        world.sleep(PATIENCE).await;
        return None;
    }
    let node = pick_node(world)?;
    let process = node.process;
    let (sender, answer) = oneshot::channel();
    let work = work(node);
    let answering = async move {
        // The client may be gone.
        let _sent = sender.send(work.await);
    };
    world.state().spawn(process, answering);
    let patience = pin!(world.sleep(PATIENCE));
    let Either::Left((Ok(value), _)) = select(answer, patience).await else { return None };
    world.hop().await;
    if world.state().strikes(Mark::AnswerLost, 25) {
        return None;
    }
    Some(value)
}
