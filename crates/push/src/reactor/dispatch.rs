//! What the messages of sessions mean: Socket.IO packets, or messages for an embedder of bare sessions.
//!
//! Every call of the embedder's code is made here, and a panic in it ends with the connection it was made for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::sockets::{NO_SOCKET, Socket};
use super::wheel::NEVER;
use super::{Key, Layer, Reactor};
use crate::application::{
    Ack, Admission, Application, ClientAck, ClientEvent, ConnectRequest, DisconnectReason, SocketId,
};
use crate::command::Mailing;
use crate::counters::count;
use crate::engine::application::Message;
use crate::socketio::attachments::{Gathering, are_placeholders_valid};
use crate::socketio::encode;
use crate::socketio::packet::Packet;

const INVALID_NAMESPACE: &str = r#"{"message":"Invalid namespace"}"#;

impl Reactor {
    /// Handles a text message of a session.
    pub(super) fn handle_text_message(&mut self, key: Key, text: &str) {
        count(&self.counters.messages_in);
        match &self.layer {
            Layer::Sessions(_) => self.handle_session_message(key, Message::Text(text)),
            Layer::Sockets(application) => {
                let application = Arc::clone(application);
                self.handle_socket_packet(&application, key, text);
            }
        }
    }

    /// Handles a binary message of a session.
    pub(super) fn handle_binary_message(&mut self, key: Key, bytes: &[u8]) {
        count(&self.counters.messages_in);
        match &self.layer {
            Layer::Sessions(_) => self.handle_session_message(key, Message::Binary(bytes)),
            Layer::Sockets(application) => {
                let application = Arc::clone(application);
                self.handle_attachment(&application, key, bytes);
            }
        }
    }

    fn handle_session_message(&mut self, key: Key, message: Message<'_>) {
        let Layer::Sessions(application) = &self.layer else { return };
        let application = Arc::clone(application);
        let session = self.session_id(key);
        self.guarded(key, |server| application.message(server, session, message));
    }

    /// Tells an embedder of bare sessions of a new one.
    pub(super) fn notify_opened(&mut self, key: Key) {
        let Layer::Sessions(application) = &self.layer else { return };
        let application = Arc::clone(application);
        let session = self.session_id(key);
        self.guarded(key, |server| application.opened(server, session));
    }

    /// Tells an embedder of bare sessions that one has ended.
    pub(super) fn notify_closed(&mut self, key: Key, reason: DisconnectReason) {
        let Layer::Sessions(application) = &self.layer else { return };
        let application = Arc::clone(application);
        let session = self.session_id(key);
        self.guarded(key, |server| application.closed(server, session, reason));
    }

    fn handle_socket_packet(&mut self, application: &Arc<dyn Application>, key: Key, text: &str) {
        let attachments_max = self.server.config().attachments_max;
        let connection = &mut self.connections[key as usize];
        // Between a packet and its attachments nothing else may come.
        let is_expected = connection.gathering.is_none();
        match Packet::parse(text, attachments_max) {
            Ok(packet) if is_expected && packet.attachments() > 0 => {
                connection.gathering = Some(Box::new(Gathering::new(text, packet.attachments())));
            }
            Ok(packet) if is_expected => self.dispatch(application, key, &packet, &[]),
            _ => self.doom(key, DisconnectReason::Malformed),
        }
    }

    fn handle_attachment(&mut self, application: &Arc<dyn Application>, key: Key, bytes: &[u8]) {
        let config = self.server.config();
        let (bytes_max, attachments_max) = (config.client_message_bytes_max, config.attachments_max);
        let connection = &mut self.connections[key as usize];
        let Some(gathering) = &mut connection.gathering else {
            return self.doom(key, DisconnectReason::Malformed);
        };
        match gathering.add(bytes, bytes_max) {
            Ok(false) => return,
            Ok(true) => {}
            Err(_) => return self.doom(key, DisconnectReason::Malformed),
        }
        let Some(gathering) = connection.gathering.take() else { return };
        let (text, attachments) = gathering.into_parts();
        match Packet::parse(&text, attachments_max) {
            Ok(packet) => self.dispatch(application, key, &packet, &attachments),
            Err(_) => self.doom(key, DisconnectReason::Malformed),
        }
    }

    fn dispatch(
        &mut self,
        application: &Arc<dyn Application>,
        key: Key,
        packet: &Packet<'_>,
        attachments: &[Bytes],
    ) {
        match packet {
            Packet::Connect { namespace, auth } => self.connect(application, key, namespace, *auth),
            Packet::Disconnect { namespace } => match self.lookup_joined(key, namespace) {
                Some(socket) => self.remove_socket(key, socket, DisconnectReason::ClientLeft),
                None => self.doom(key, DisconnectReason::Malformed),
            },
            Packet::Event { namespace, ack_id, name, arguments, .. } => {
                let Some(socket_key) = self.lookup_joined(key, namespace) else {
                    return self.doom(key, DisconnectReason::Malformed);
                };
                if !are_attachments_named(arguments, attachments) {
                    return self.doom(key, DisconnectReason::Malformed);
                }
                let socket = self.sockets.id(socket_key);
                let event = ClientEvent {
                    socket,
                    tag: self.sockets.get(socket_key).tag,
                    namespace,
                    name,
                    arguments,
                    attachments,
                    ack: ack_id.map(|ack_id| Ack { socket, ack_id }),
                };
                self.guarded(key, |server| application.event(server, &event));
            }
            Packet::Ack { namespace, ack_id, arguments, .. } => {
                let Some(socket_key) = self.lookup_joined(key, namespace) else {
                    return self.doom(key, DisconnectReason::Malformed);
                };
                if !are_attachments_named(arguments, attachments) {
                    return self.doom(key, DisconnectReason::Malformed);
                }
                let acknowledgement = ClientAck {
                    socket: self.sockets.id(socket_key),
                    tag: self.sockets.get(socket_key).tag,
                    ack_id: *ack_id,
                    arguments,
                    attachments,
                };
                self.guarded(key, |server| application.acknowledged(server, &acknowledgement));
            }
        }
    }

    fn connect(
        &mut self,
        application: &Arc<dyn Application>,
        key: Key,
        namespace: &str,
        auth: Option<&serde_json::value::RawValue>,
    ) {
        let Some(index) = self.server.lookup_namespace(namespace) else {
            return self.send_frames(key, &encode::refused(namespace, INVALID_NAMESPACE));
        };
        let first = &mut self.connections[key as usize].first_socket;
        if self.sockets.lookup_of_connection(*first, index).is_some() {
            return self.doom(key, DisconnectReason::Malformed);
        }
        let socket_key = self.sockets.insert(key, first, index);
        let socket = self.sockets.id(socket_key);
        let request = ConnectRequest { socket, namespace, auth };
        if let Some(admission) = self.guarded(key, |server| application.connect(server, &request)) {
            self.admit(key, socket_key, admission);
        }
    }

    /// Carries out the embedder's late answer to a connect request; nothing happens if the client has gone or has
    /// been answered.
    pub(super) fn admit_later(&mut self, id: SocketId, admission: Admission) {
        let Some((key, &Socket { connection, has_joined: false, .. })) = self.sockets.lookup(id) else {
            return;
        };
        self.admit(connection, key, admission);
    }

    fn admit(&mut self, key: Key, socket_key: Key, admission: Admission) {
        let id = self.sockets.id(socket_key);
        let namespace = self.server.namespace(id.namespace).to_owned();
        match admission {
            Admission::Accept { tag } => {
                self.sockets.mark_joined(socket_key, tag);
                count(&self.counters.sockets_joined);
                if self.drain.is_none() {
                    self.connections[key as usize].close_by = NEVER;
                }
                self.send_frames(key, &encode::connected(&namespace, &self.server.sid(id)));
            }
            Admission::Refuse { reason_json } => {
                let first = &mut self.connections[key as usize].first_socket;
                self.sockets.remove(socket_key, first);
                self.send_frames(key, &encode::refused(&namespace, &reason_json));
            }
            Admission::Later => {}
        }
    }

    /// Sends to everyone here what the embedder has for them.
    pub(super) fn send_mailing(&mut self, mailing: &Mailing) {
        for (place, tag) in mailing.tags.iter().enumerate() {
            let recipients: Vec<Key> = self.tagged(mailing.namespace, *tag).collect();
            let Some(&first) = recipients.first() else { continue };
            let frames = self.guarded(first, |_server| (mailing.frames)(place));
            for key in recipients {
                match &frames {
                    Some(frames) => self.send_frames(key, frames),
                    None => self.doom(key, DisconnectReason::ApplicationPanic),
                }
            }
        }
    }

    /// Removes a socket as the embedder asked; nothing happens if it has left.
    pub(super) fn disconnect(&mut self, id: SocketId, closes_connection: bool) {
        let Some((socket_key, &Socket { connection, has_joined: true, .. })) = self.sockets.lookup(id) else {
            return;
        };
        let farewell = encode::disconnected(self.server.namespace(id.namespace));
        self.send_frames(connection, &farewell);
        self.remove_socket(connection, socket_key, DisconnectReason::ServerLeft);
        if closes_connection {
            self.doom(connection, DisconnectReason::ServerLeft);
        }
    }

    /// Removes all sockets of a connection that is being closed.
    pub(super) fn leave_all(&mut self, key: Key, reason: DisconnectReason) {
        loop {
            let first = self.connections[key as usize].first_socket;
            if first == NO_SOCKET {
                return;
            }
            self.remove_socket(key, first, reason);
        }
    }

    fn remove_socket(&mut self, key: Key, socket_key: Key, reason: DisconnectReason) {
        let id = self.sockets.id(socket_key);
        let first = &mut self.connections[key as usize].first_socket;
        let socket = self.sockets.remove(socket_key, first);
        if !socket.has_joined {
            return;
        }
        count(&self.counters.sockets_left);
        if let Layer::Sockets(application) = &self.layer {
            let application = Arc::clone(application);
            self.guarded(key, |server| application.disconnected(server, id, socket.tag, reason));
        }
    }

    fn lookup_joined(&self, key: Key, namespace: &str) -> Option<Key> {
        let index = self.server.lookup_namespace(namespace)?;
        let socket = self.sockets.lookup_of_connection(self.connections[key as usize].first_socket, index)?;
        self.sockets.get(socket).has_joined.then_some(socket)
    }

    /// Calls the embedder's code. If it panics, the connection is closed and the rest of the thread's connections
    /// live on: the code has no access to anything of the reactor that it could have left half done.
    fn guarded<T>(&mut self, key: Key, call: impl FnOnce(&crate::server::Server) -> T) -> Option<T> {
        let server = &self.server;
        let result = catch_unwind(AssertUnwindSafe(|| call(server)));
        if result.is_err() {
            tracing::error!("the application panicked; its connection is closed");
            self.doom(key, DisconnectReason::ApplicationPanic);
        }
        result.ok()
    }
}

fn are_attachments_named(arguments: &[&serde_json::value::RawValue], attachments: &[Bytes]) -> bool {
    attachments.is_empty() || are_placeholders_valid(arguments, attachments.len())
}
