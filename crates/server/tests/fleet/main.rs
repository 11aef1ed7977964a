//! A whole site as a fleet: two processes of each role behind Nginx, on real services that fail one after the other.
//!
//! `make faults` runs it long and prints its counts. `site` is the fleet and what can be done to it, `crowd` who buys,
//! `ears` who listens, `sold_out` whether it was told the truth.
#![expect(clippy::disallowed_methods, reason = "a test's own settings, and tasks that it awaits itself")]
#![expect(clippy::unwrap_used, reason = "in a test a failure to ask is a failure")]

mod alarms;
mod crowd;
mod drains;
mod ears;
mod faults;
mod idle;
mod outages;
mod pages;
mod readers;
mod recovers;
mod site;
mod sold_out;
mod starts;
#[path = "../support/mod.rs"]
mod support;
mod tls;

/// A fleet and its services take the whole machine: one test at a time.
static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How large or how strict a run is, by the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}
