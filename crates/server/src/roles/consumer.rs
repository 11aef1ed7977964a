//! The consumer: decides, expires, promotes, finishes payments, audits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use miaosha_app::Ports;
use miaosha_app::audit_sales::{Auditor, pause_after};
use miaosha_app::decide_batch::decide_batch;
use miaosha_app::ports::Turns;
use miaosha_app::reconcile_payments::reconcile_payments;
use miaosha_app::settle_sale::{settle_sale, sweep};
use miaosha_app::tend_gate::GateTender;
use tracing::warn;

use crate::lifecycle::Tasks;
use crate::wiring::Node;

const SWEEP_EVERY: Duration = Duration::from_secs(1);
const RECONCILE_EVERY: Duration = Duration::from_secs(1);

/// Starts every task of the role.
pub(crate) fn start(tasks: &Tasks, node: &Node) {
    let ports = &node.ports;
    for _ in 0..ports.queue.lanes() {
        tasks.spawn("decide", decide(ports.clone()));
    }
    tasks.spawn_until_shutdown("wake", wake(ports.clone()));
    tasks.spawn_until_shutdown("sweep", sweep_each_second(ports.clone()));
    tasks.spawn_until_shutdown("reconcile", reconcile_each_second(ports.clone()));
    let audit = audit_by_and_by(ports.clone(), node.turns(), node.number.into());
    tasks.spawn_until_shutdown("audit", audit);
}

/// Decides until the queue is shut down.
async fn decide(ports: Ports) {
    while let Some(delivery) = ports.queue.next().await {
        if let Err(error) = decide_batch(&ports, delivery).await {
            warn!(%error, "a batch was not settled: it comes again");
        }
    }
}

/// Settles the sales whose deadlines pass.
async fn wake(ports: Ports) {
    while let Some(sale) = ports.timers.next().await {
        if let Err(error) = settle_sale(&ports, sale).await {
            warn!(%sale, %error, "a sale was not settled: the sweeper tries again");
        }
    }
}

async fn sweep_each_second(ports: Ports) {
    let mut tender = GateTender::default();
    loop {
        if let Err(error) = sweep(&ports, &mut tender).await {
            warn!(%error, "the sweep did not finish: trying again in a second");
        }
        tender.repair_during(ports.clock.sleep(SWEEP_EVERY)).await;
    }
}

async fn reconcile_each_second(ports: Ports) {
    loop {
        if let Err(error) = reconcile_payments(&ports).await {
            warn!(%error, "open payments were not listed: trying again in a second");
        }
        ports.clock.sleep(RECONCILE_EVERY).await;
    }
}

async fn audit_by_and_by(ports: Ports, turns: Option<Arc<dyn Turns>>, holder: u64) {
    let mut auditor = Auditor::default();
    loop {
        let began = Instant::now();
        if let Err(error) = auditor.audit(&ports, turns.as_deref(), holder).await {
            warn!(%error, "the audit did not run");
        }
        ports.clock.sleep(pause_after(began.elapsed())).await;
    }
}
