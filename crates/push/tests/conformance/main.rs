//! Every case of the official Engine.IO v4 and Socket.IO v5 protocol test suites, under their headings, against the
//! server of the example `conformance`; then what the suites do not ask (`beyond`).
//!
//! The cases that both suites have are in `transport` and run on either path. `client` is the other end of the wire.

mod beyond;
mod client;
#[path = "../../examples/conformance/echo.rs"]
mod echo;
mod engine_io;
#[path = "../../examples/serving/mod.rs"]
mod serving;
mod socket_io;
mod transport;
