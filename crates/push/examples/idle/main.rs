//! What an idle connection costs, and a broadcast to all of them.
//!
//! `cargo run --release -p miaosha-push --example idle [-- --connections 15000 --idle-s 60 --reactors 1]` starts a
//! server in a process of its own, opens the connections from this one, lets each sign in and watch one room, waits,
//! and prints the growth of the server's resident set per connection and the time that a broadcast takes per
//! connection, both ends on this machine. At most about 19,000 where a process may open 20,000 files.

mod client;
mod server;
#[path = "../serving/mod.rs"]
mod serving;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use self::client::Crowd;

const BROADCASTS: u32 = 9;
/// What /proc counts processor time in, on every Linux that is not built otherwise.
const CLOCK_TICK_US: f64 = 10_000.0;
const PAGE_BYTES: u64 = 4096;

/// Gives memory back to the system soon, so that what is measured is what is needed.
const MALLOC_CONF: &str = "narenas:2,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::io::Result<()> {
    let reactors = option("--reactors", 1);
    if std::env::args().any(|argument| argument == "--serve") {
        return server::run(reactors);
    }
    let connections = option("--connections", 15_000);
    let idle = Duration::from_secs(option("--idle-s", 60) as u64);

    let mut child = Command::new(std::env::current_exe()?)
        .args(["--serve", "--reactors", &reactors.to_string()])
        .env("_RJEM_MALLOC_CONF", MALLOC_CONF)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut orders = child.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let address: SocketAddr =
        answers.next().expect("it prints its address")?.parse().map_err(std::io::Error::other)?;

    let resident_before = resident_bytes(child.id())?;
    let processes = [child.id(), std::process::id()];
    let count = f64::from(u32::try_from(connections).expect("a process cannot have so many"));
    let start = Instant::now();
    let cpu_before = cpu_us(processes)?;
    let mut crowd = Crowd::connect(address, connections)?;
    let cpu_connected = cpu_us(processes)?;
    println!(
        "connected: {connections} in {:.1} s, {:.0} µs of the server's processor time for each to sign in and watch",
        start.elapsed().as_secs_f64(),
        (cpu_connected[0] - cpu_before[0]) / count,
    );
    crowd.idle(idle)?;
    let resident_after = resident_bytes(child.id())?;
    let growth = resident_after - resident_before;
    println!("resident: {resident_before} B before, {resident_after} B with {connections} idle for {idle:?}");
    println!("per connection: {} B", growth / connections as u64);

    let mut spans = Vec::new();
    let cpu_before = cpu_us(processes)?;
    for _ in 0..BROADCASTS {
        let start = Instant::now();
        writeln!(orders, "broadcast")?;
        crowd.hear_broadcast()?;
        spans.push(start.elapsed());
        crowd.idle(Duration::from_millis(200))?;
    }
    let cpu_after = cpu_us(processes)?;
    spans.sort_unstable();
    let per_connection_us = |span: Duration| span.as_secs_f64() * 1e6 / count;
    println!(
        "broadcast: median {:.2} µs per connection, {:.2} to {:.2} in {BROADCASTS} rounds, both ends included",
        per_connection_us(spans[spans.len() / 2]),
        per_connection_us(spans[0]),
        per_connection_us(spans[spans.len() - 1]),
    );
    let cpu_per_connection_us =
        |process: usize| (cpu_after[process] - cpu_before[process]) / count / f64::from(BROADCASTS);
    println!(
        "processor time of a broadcast: server {:.2} µs, clients {:.2} µs per connection",
        cpu_per_connection_us(0),
        cpu_per_connection_us(1),
    );
    drop(orders);
    child.wait()?;
    Ok(())
}

fn option(name: &str, default: usize) -> usize {
    let value = std::env::args().skip_while(|argument| argument != name).nth(1);
    value.map_or(default, |value| value.parse().expect("the option's value is a number"))
}

fn resident_bytes(process: u32) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    Ok(pages.expect("the kernel writes numbers") * PAGE_BYTES)
}

/// The processor time, in user and kernel mode, that each process has used.
fn cpu_us(processes: [u32; 2]) -> std::io::Result<[f64; 2]> {
    let mut used = [0.0; 2];
    for (used, process) in used.iter_mut().zip(processes) {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The fields behind the name, which may hold anything but a closing parenthesis at its end.
        let fields = text.rsplit(") ").next().expect("there is a last part");
        let ticks = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
        *used = ticks.map(f64::from).sum::<f64>() * CLOCK_TICK_US;
    }
    Ok(used)
}
