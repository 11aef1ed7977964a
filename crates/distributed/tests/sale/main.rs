//! Whole sales on the real engines, by the use cases themselves: crowds, redeliveries, gates that forget, payments at the
//! deadline. `TESTKIT_SERVICES` says where the engines are.
//!
//! Not for single adapters, which have contracts of their own, nor for processes that die. `site` and `process` are
//! what a sale stands on; then read `redelivery`.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod crowd;
mod deadlines;
mod gates;
mod history;
mod process;
mod redelivery;
mod site;
mod twice_queue;
mod watched_gate;
