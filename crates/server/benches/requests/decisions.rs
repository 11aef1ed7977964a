//! What a consumer has decided so far, as it says itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use miaosha_testkit::services::{Node, Service as _};

/// How often is looked; a fraction of what a run lasts.
const INTERVAL: Duration = Duration::from_millis(10);

/// The decisions of a consumer since it began.
pub(crate) fn count(consumer: &Node) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(consumer.address())?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: benchmark\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let counters = answer.lines().filter(|line| line.starts_with("miaosha_decisions_total{"));
    let counts = counters.map(|line| {
        let (_, count) = line.rsplit_once(' ').context("a counter has a value")?;
        count.parse::<u64>().with_context(|| format!("a counter is no number: {line}"))
    });
    counts.sum()
}

/// Waits until the consumer has made so many decisions since it began. It may have made more: a batch whose commit was not
/// answered in time comes again, and finds its rows.
pub(crate) fn wait_for(consumer: &Node, decisions: u64, within: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let made = count(consumer)?;
        if made >= decisions {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "only {made} of {decisions} decisions after {within:?}");
        std::thread::sleep(INTERVAL);
    }
}
