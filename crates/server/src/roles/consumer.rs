//! The consumer: decides, expires, promotes, finishes payments, audits.

use std::time::Duration;

use miaosha_app::Ports;
use miaosha_app::decide_batch::decide_batch;
use miaosha_app::ports::UnsettledSale;
use miaosha_app::reconcile_payments::reconcile_payments;
use miaosha_app::settle_sale::{settle_sale, sweep};
use miaosha_app::tend_gate::GateTender;
use miaosha_app::verify_sale::verify_sale;
use tracing::warn;

use crate::lifecycle::Tasks;

const SWEEP_EVERY: Duration = Duration::from_secs(1);
const RECONCILE_EVERY: Duration = Duration::from_secs(1);
const AUDIT_EVERY: Duration = Duration::from_mins(1);

/// Starts every task of the role.
pub(crate) fn start(tasks: &Tasks, ports: &Ports) {
    for _ in 0..ports.queue.lanes() {
        tasks.spawn("decide", decide(ports.clone()));
    }
    tasks.spawn_until_shutdown("wake", wake(ports.clone()));
    tasks.spawn_until_shutdown("sweep", sweep_each_second(ports.clone()));
    tasks.spawn_until_shutdown("reconcile", every(RECONCILE_EVERY, ports.clone(), reconcile_once));
    tasks.spawn_until_shutdown("audit", every(AUDIT_EVERY, ports.clone(), audit_once));
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

async fn every<Work>(period: Duration, ports: Ports, work: impl Fn(Ports) -> Work)
where
    Work: Future<Output = ()>,
{
    loop {
        work(ports.clone()).await;
        ports.clock.sleep(period).await;
    }
}

async fn sweep_each_second(ports: Ports) {
    let mut tender = GateTender::default();
    loop {
        if let Err(error) = sweep(&ports, &mut tender).await {
            warn!(%error, "the sweep did not finish: trying again in a second");
        }
        ports.clock.sleep(SWEEP_EVERY).await;
    }
}

async fn reconcile_once(ports: Ports) {
    if let Err(error) = reconcile_payments(&ports).await {
        warn!(%error, "open payments were not listed: trying again in a second");
    }
}

async fn audit_once(ports: Ports) {
    let sales = match ports.sales.list_unsettled().await {
        Ok(sales) => sales,
        Err(error) => return warn!(%error, "the audit did not run"),
    };
    // Of a sale in which nobody has a claim yet there is nothing to recount.
    for UnsettledSale { id: sale, .. } in sales.into_iter().filter(UnsettledSale::has_claims) {
        if let Err(error) = verify_sale(&ports, sale).await {
            warn!(%sale, %error, "a sale was not audited");
        }
    }
}
