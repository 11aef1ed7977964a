//! The queue of accepted requests, used from outside: filled without a publisher, and emptied without a decision.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::{Clock as _, Delivery, RequestQueue as _};
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::SaleId;
use miaosha_embedded::SystemClock;
use tokio::time::timeout;

use crate::people;

/// A broker that has something gives it far sooner.
const NEXT_WITHIN: Duration = Duration::from_secs(10);
/// Messages under way.
const UNDER_WAY: usize = 64;
/// Far above what a busy broker needs, so that no batch is sent twice.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(30);

/// Takes batches until there were at least `people` of these sales in them, and says how many there were.
pub(crate) async fn take_people(config: &RabbitConfig, sales: &[String], people: u64) -> anyhow::Result<u64> {
    let sales = parse(sales)?;
    let rabbit = Rabbit::connect(config, Arc::new(SystemClock)).await?;
    let queue = rabbit.queue();
    let mut taken = 0;
    while taken < people {
        let delivery = timeout(NEXT_WITHIN, queue.next()).await;
        let delivery: Box<dyn Delivery> = delivery
            .with_context(|| format!("{taken} people were in the queue, and not {people}"))?
            .context("the queue has ended")?;
        let batch = delivery.batch();
        if sales.contains(&batch.sale) {
            taken += batch.asks.len() as u64;
        }
        delivery.ack().await?;
    }
    rabbit.close().await;
    Ok(taken)
}

/// Puts people in line, each once, in batches of `batch_len`: the same number of people for each sale, and the sales by
/// turns.
pub(crate) async fn put_people(
    config: &RabbitConfig,
    sales: &[String],
    people: u64,
    batch_len: u64,
) -> anyhow::Result<()> {
    let sales = parse(sales)?;
    ensure!(people.is_multiple_of(batch_len * sales.len() as u64), "batches and sales divide the people");
    let config = RabbitConfig { publish_limit: CONFIRMED_WITHIN, ..config.clone() };
    let rabbit = Rabbit::connect(&config, Arc::new(SystemClock)).await?;
    let queue = rabbit.queue();
    let batches = (0..people / batch_len).zip(sales.iter().cycle()).map(|(number, sale)| {
        let first = number * batch_len;
        let ask = |number| Ask { user: people::id(number), quantity: 1 };
        let asks = (first..first + batch_len).map(ask).collect();
        queue.publish(RequestBatch { sale: *sale, asks, accepted_at: SystemClock.now() })
    });
    iter(batches).buffered(UNDER_WAY).try_collect::<()>().await?;
    rabbit.close().await;
    Ok(())
}

fn parse(sales: &[String]) -> anyhow::Result<Vec<SaleId>> {
    Ok(sales.iter().map(|sale| sale.parse()).collect::<Result<_, _>>()?)
}
