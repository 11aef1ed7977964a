//! The stores on a real server: `TESTKIT_SERVICES` says where it is.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod cancellation;
mod contracts;
mod database;
mod door;
mod life;
mod mended;
mod opening;
mod payment_beside;
mod replicas;
mod schema;
mod statements;
