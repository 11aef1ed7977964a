//! How many batches one publishing process gets confirmed in a second, by people in a batch and batches under way, and
//! how fast they are taken out again. Prints its counts.
//!
//! `cargo run --profile quick -p miaosha-distributed --example rabbitmq_speed -- amqp://guest:guest@127.0.0.1:5672/%2f`
//!
//! It leaves its queues (`miaosha-speed.…`) behind, empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use miaosha_app::model::RequestBatch;
use miaosha_app::ports::RequestQueue as _;
use miaosha_distributed::rabbitmq::{Rabbit, RabbitConfig, RabbitQueue};
use miaosha_domain::decide::Ask;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_domain::time::Timestamp;
use miaosha_embedded::SystemClock;

/// Sales, one after the other, so that every shard has its part.
const SALES: u64 = 64;
const BATCHES: u64 = 4_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let uri = std::env::args().nth(1).context("give the URI of a broker")?;
    let config = RabbitConfig {
        prefix: "miaosha-speed.".to_owned(),
        publish_limit: Duration::from_secs(10),
        ..RabbitConfig::new(uri)
    };
    let rabbit = Rabbit::connect(&config, Arc::new(SystemClock)).await?;
    println!("people  under way  batches/s  people/s  median ms  p99 ms  taken/s");
    for people in [1, 64, 1_024] {
        for under_way in [1, 4, 64] {
            measure(&rabbit, people, under_way).await?;
        }
    }
    rabbit.close().await;
    Ok(())
}

async fn measure(rabbit: &Rabbit, people: u64, under_way: usize) -> anyhow::Result<()> {
    let batches = if under_way == 1 { BATCHES / 8 } else { BATCHES };
    let queue = rabbit.queue();
    let started = Instant::now();
    let mut latencies: Vec<Duration> = stream::iter(0..batches)
        .map(|number| publish(&queue, number % SALES + 1, people))
        .buffer_unordered(under_way)
        .try_collect()
        .await?;
    let published_s = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_secs_f64() * 1e3;

    let started = Instant::now();
    let left = AtomicU64::new(batches * people);
    let takers: FuturesUnordered<_> = (0..queue.lanes()).map(|_| take(&queue, &left)).collect();
    // Of the others each waits for one more.
    takers.into_future().await.0.context("there are lanes")??;
    let taken_s = started.elapsed().as_secs_f64();

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    let [batches, people_each] = [batches, people].map(|count| count as f64);
    println!(
        "{people:6} {under_way:10} {:10.0} {:9.0} {:10.2} {:7.2} {:8.0}",
        batches / published_s,
        batches * people_each / published_s,
        at(50),
        at(99),
        batches / taken_s,
    );
    Ok(())
}

async fn publish(queue: &RabbitQueue, sale: u64, people: u64) -> anyhow::Result<Duration> {
    let ask = |raw| UserId::new(raw).map(|user| Ask { user, quantity: 1 });
    let batch = RequestBatch {
        sale: SaleId::new(sale)?,
        asks: (1..=people).map(ask).collect::<Result<_, _>>()?,
        accepted_at: Timestamp::from_millis(0),
    };
    let asked_at = Instant::now();
    queue.publish(batch).await?;
    Ok(asked_at.elapsed())
}

/// Takes until nobody is left, whoever took the last.
async fn take(queue: &RabbitQueue, left: &AtomicU64) -> anyhow::Result<()> {
    loop {
        let delivery = queue.next().await.context("stopped")?;
        let people = delivery.batch().asks.len() as u64;
        delivery.ack().await?;
        if left.fetch_sub(people, Ordering::Relaxed) == people {
            return Ok(());
        }
    }
}
