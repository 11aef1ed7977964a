//! How many people a second the gate sorts: batches of 1,024 on one sale, one call after the other.
//!
//! `cargo run --release -p miaosha-distributed --example gate_rate -- 127.0.0.1:7001 …` on a cluster that nobody else
//! uses. What Redis itself took for a call is in `redis-cli info commandstats`.

use std::time::{Duration, Instant};

use miaosha_app::ports::{Admission, Gate, Random};
use miaosha_distributed::redis::{Redis, RedisConfig};
use miaosha_domain::gate::GateLimit;
use miaosha_domain::ids::{SaleId, UserId};
use miaosha_embedded::OsRandom;

const BATCH: u64 = 1_024;
const BATCHES: u64 = 400;
/// What passes of all who come.
const PEOPLE_MAX: u64 = 50_000;
const FIRST_ID: u64 = 380_000_000_000_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = RedisConfig::new(std::env::args().skip(1).collect());
    let redis = Redis::connect(&config, &OsRandom).await?;
    let gate = redis.gate();
    let mut sale = [0; 4];
    OsRandom.fill(&mut sale);
    let sale = SaleId::new(u64::from(u32::from_ne_bytes(sale)) + 1)?;
    gate.open(sale, GateLimit { people_max: PEOPLE_MAX, claims: 0, version: 1 }).await?;
    let batches: Vec<Vec<UserId>> = (0..BATCHES)
        .map(|batch| (0..BATCH).map(|i| UserId::new(FIRST_ID + (batch * BATCH + i) * 7)).collect())
        .collect::<Result<_, _>>()?;
    for round in ["newcomers", "the same again"] {
        let (mut passed, mut slowest) = (0, Duration::ZERO);
        let began = Instant::now();
        for users in &batches {
            let asked = Instant::now();
            let Admission::Sorted(passages) = gate.admit(sale, users).await? else {
                anyhow::bail!("the gate forgot the sale")
            };
            slowest = slowest.max(asked.elapsed());
            passed += passages.into_iter().filter(|passage| passage.passes()).count();
        }
        let took = began.elapsed();
        let people_per_second = u128::from(BATCH * BATCHES) * 1_000_000 / took.as_micros();
        println!(
            "{round}: {people_per_second} people/s, {} µs a batch of {BATCH}, slowest {} µs, {passed} passed",
            took.as_micros() / u128::from(BATCHES),
            slowest.as_micros(),
        );
    }
    redis.close().await;
    Ok(())
}
