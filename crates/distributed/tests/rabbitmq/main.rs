//! Requests and wake-ups on a real RabbitMQ: the ports' contracts, what only this adapter promises, and what happens
//! when the broker goes away.
//!
//! Wants `TESTKIT_SERVICES`, which `make test` sets.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod contracts;
mod deliveries;
mod outages;
mod replay;
mod scene;
