//! What an embedder implements to use bare Engine.IO sessions, without Socket.IO on top.

use super::session_id::SessionId;
use crate::application::DisconnectReason;
use crate::server::Server;

/// The embedder's side of a server of bare sessions. The rules of `Application` hold: calls must not block.
pub trait SessionApplication: Send + Sync + 'static {
    /// A session has begun.
    fn opened(&self, _server: &Server, _session: SessionId) {}

    /// A client sends a message; answer with [`Server::send`].
    fn message(&self, server: &Server, session: SessionId, message: Message<'_>);

    /// A session has ended.
    fn closed(&self, _server: &Server, _session: SessionId, _reason: DisconnectReason) {}
}

/// The content of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}
