//! One connection of a crowd: what is remembered of it.

use super::end::End;
use mio::net::TcpStream;
use std::io::{self, Write};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Upgrading,
    Opening,
    Joining,
    Asking,
    Watching,
    Over,
}

pub(super) struct Member {
    pub(super) stream: Option<TcpStream>,
    /// The beginning of a frame whose rest is still to come.
    pub(super) rest: Option<Box<[u8]>>,
    /// Since the crowd's start, as `heard_ms`.
    pub(super) begun_ms: u32,
    pub(super) heard_ms: u32,
    pub(super) stage: Stage,
}

/// The kernel takes the few bytes that a client says at once, unless the server has long stopped to read.
pub(super) fn send(member: &mut Member, message: &[u8]) -> Result<(), End> {
    let Some(stream) = &mut member.stream else { return Ok(()) };
    match stream.write(message) {
        Ok(len) if len == message.len() => Ok(()),
        Ok(_) => Err(End::Broken("stuck".into())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(End::Broken("stuck".into())),
        Err(error) => Err(End::from(&error)),
    }
}
