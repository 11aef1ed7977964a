//! RFC 6455 as far as this server speaks it: strict, without extensions, without I/O.
//!
//! `frame` reads and writes single frames, `decoder` makes whole messages of them across reads, `handshake` answers
//! the key of an upgrade request. Nothing here knows of Engine.IO; see `engine` for what the messages mean.

pub mod decoder;
pub mod frame;
pub mod handshake;
