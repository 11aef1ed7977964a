//! The record of one connection: all that the server remembers of an idle client, apart from its sockets.

use mio::net::TcpStream;
use tokio::sync::oneshot;

use super::Key;
use super::outbox::Outbox;
use super::wheel::Tick;
use crate::command::PollAnswer;
use crate::engine::packet::Packet;
use crate::engine::session_id::SECRET_BYTES;
use crate::socketio::attachments::Gathering;
use crate::websocket::decoder::Remainder;

/// A session, or a WebSocket that wants to take one over.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    /// What waits to be sent; none while the client keeps up and nothing for many is on its way to it.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// The start of a message that has not come whole.
    pub(crate) remainder: Option<Box<Remainder>>,
    /// A packet whose attachments have not all come.
    pub(crate) gathering: Option<Box<Gathering>>,
    /// When the next ping is to be sent, or the pong must have come.
    pub(crate) heartbeat_at: Tick,
    /// When the connection is closed whatever happens.
    pub(crate) close_by: Tick,
    /// The head of the list of its sockets.
    pub(crate) first_socket: Key,
    /// The unguessable part of the session's name.
    pub(crate) secret: [u8; SECRET_BYTES],
    /// The second, since the start, in which its client sent something last, and the messages within it.
    pub(crate) messages_of_second: (u32, u32),
    pub(crate) is_awaiting_pong: bool,
    /// Whether what waits in the outbox is to be written when it has its turn.
    pub(crate) has_turn: bool,
    /// Whether it is about to be closed.
    pub(crate) is_doomed: bool,
}

/// How a session reaches its client.
#[derive(Debug)]
pub(crate) enum Transport {
    WebSocket(TcpStream),
    Polling(Box<Polling>),
    /// A WebSocket that asks to take over `session`.
    Probe {
        stream: TcpStream,
        session: Key,
        has_been_asked: bool,
    },
    /// A long-polling session that has ended, until the client has asked for its last packets: those in the outbox, and
    /// then this one.
    Lingering(Packet<'static>),
}

/// A session that has no connection of its own.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    /// The client's request that waits for something to say.
    pub(crate) pending: Option<oneshot::Sender<PollAnswer>>,
    pub(crate) upgrade: Upgrade,
}

/// How far the move of a session to a WebSocket has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Upgrade {
    #[default]
    None,
    /// The HTTP request has been accepted; the WebSocket has not arrived yet.
    Prepared,
    /// The WebSocket is there.
    Probing {
        connection: Key,
        /// The client has asked on it and been answered, so it wants its last long-polling request to end.
        has_answered: bool,
    },
}

impl Connection {
    /// The connection's own TCP stream, if it has one.
    pub(crate) fn stream(&mut self) -> Option<&mut TcpStream> {
        match &mut self.transport {
            Transport::WebSocket(stream) | Transport::Probe { stream, .. } => Some(stream),
            Transport::Polling(_) | Transport::Lingering(_) => None,
        }
    }
}
