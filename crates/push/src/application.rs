//! What an embedder implements to be told of Socket.IO connections, and the values it is given.
//!
//! The calls come on the thread that holds the connection, so they must not block; what takes time is done elsewhere
//! and answered later through the `Server` handle, which every call gets.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::server::Server;

/// The embedder's side of a Socket.IO server.
///
/// Calls for one connection come one after the other, in the order of the client's packets; calls for different
/// connections may come at the same time. A call that panics closes the connection it was made for, no other.
pub trait Application: Send + Sync + 'static {
    /// A client asks to join a namespace. What is emitted to `request.socket` from inside the call reaches the client
    /// after the answer that it has joined.
    fn connect(&self, server: &Server, request: &ConnectRequest<'_>) -> Admission;

    /// A client that has joined sends an event.
    fn event(&self, server: &Server, event: &ClientEvent<'_>);

    /// A client acknowledges an event that was sent with [`Server::emit_with_ack`]. Clients can lie: `ack_id` may be
    /// one that was never given, or was answered before.
    fn acknowledged(&self, _server: &Server, _acknowledgement: &ClientAck<'_>) {}

    /// A client that had joined has left; called exactly once for each. Rooms and tag are already gone.
    fn disconnected(
        &self,
        _server: &Server,
        _socket: SocketId,
        _tag: Option<u64>,
        _reason: DisconnectReason,
    ) {
    }
}

/// The answer to a [`ConnectRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The client has joined.
    Accept {
        /// A number under which the socket can be addressed from now on, together with all others of the same number,
        /// for example a user's id.
        tag: Option<u64>,
    },
    /// The client may not join; it is told this JSON object, by custom with a `message`.
    Refuse {
        /// The text of the JSON object.
        reason_json: String,
    },
    /// The answer will come through [`Server::accept`] or [`Server::refuse`]. If it does not come within the
    /// server's connect timeout, the connection is closed.
    Later,
}

/// A client's wish to join a namespace.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    /// The name of the socket, if it is accepted.
    pub socket: SocketId,
    /// The namespace, one of those configured.
    pub namespace: &'a str,
    /// The client's `auth`, a JSON object.
    pub auth: Option<&'a RawValue>,
}

/// An event of a client.
#[derive(Debug)]
pub struct ClientEvent<'a> {
    /// Who sends it.
    pub socket: SocketId,
    /// The tag that the socket was accepted with.
    pub tag: Option<u64>,
    /// The namespace in which it is sent.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its arguments, each well-formed JSON. A placeholder `{"_placeholder":true,"num":N}` stands for attachment N,
    /// which exists.
    pub arguments: &'a [&'a RawValue],
    /// Its binary parts.
    pub attachments: &'a [Bytes],
    /// What to answer with [`Server::acknowledge`], if the client waits for it.
    pub ack: Option<Ack>,
}

/// A client's acknowledgement.
#[derive(Debug)]
pub struct ClientAck<'a> {
    /// Who sends it.
    pub socket: SocketId,
    /// The tag that the socket was accepted with.
    pub tag: Option<u64>,
    /// The id that the event was sent with.
    pub ack_id: u64,
    /// Its arguments, as in [`ClientEvent`].
    pub arguments: &'a [&'a RawValue],
    /// Its binary parts.
    pub attachments: &'a [Bytes],
}

/// The right to acknowledge one event of a client. The client ignores all but the first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    pub(crate) socket: SocketId,
    pub(crate) ack_id: u64,
}

/// One client in one namespace, on this server; never used again for another within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(crate) key: u32,
    pub(crate) generation: u32,
    pub(crate) reactor: u8,
    pub(crate) namespace: u8,
}

/// Why a socket left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientLeft,
    /// The embedder asked for it.
    ServerLeft,
    /// The client closed the connection.
    TransportClosed,
    /// The connection broke.
    TransportError,
    /// The client did not answer a ping in time.
    PingTimeout,
    /// The client did not join any namespace in time.
    ConnectTimeout,
    /// The client sent what the protocol forbids, or too much of it.
    Malformed,
    /// The client did not read what was sent to it.
    TooSlow,
    /// The server is being emptied or shut down.
    GoingAway,
    /// The embedder's code panicked.
    ApplicationPanic,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientLeft => "client namespace disconnect",
            Self::ServerLeft => "server namespace disconnect",
            Self::TransportClosed => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::Malformed => "parse error",
            Self::TooSlow => "slow reader",
            Self::GoingAway => "server shutting down",
            Self::ApplicationPanic => "application panic",
        })
    }
}
