//! Every case of the official Engine.IO v4 and Socket.IO v5 protocol test suites, under their headings, against the
//! server of the example `conformance`; then what the suites do not ask (`beyond`), and what an embedder may rely on
//! (`embedding`).
//!
//! The cases that both suites have are in `transport` and run on either path. `client` is the other end of the wire.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beyond;
mod client;
#[path = "../../examples/conformance/echo.rs"]
mod echo;
mod embedding;
mod engine_io;
#[path = "../../examples/serving/mod.rs"]
mod serving;
mod socket_io;
mod transport;
