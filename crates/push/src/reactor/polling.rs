//! The long-polling side of a session: HTTP requests that ask for packets and bring packets.
//!
//! The HTTP futures wait elsewhere; here is only the session, and the channel on which its client's request waits.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::connection::{Polling, Transport, Upgrade};
use super::wheel::NEVER;
use super::{Key, Reactor, ticks};
use crate::application::DisconnectReason;
use crate::command::{PollAnswer, Refusal};
use crate::engine::packet::Packet;
use crate::engine::payload::{Entry, read_payload, write_payload};
use crate::engine::session_id::SessionId;
use crate::intake::Reservation;

const POST_ANSWER: &str = "ok";

impl Reactor {
    /// Begins a session by long-polling; the answer is its open packet.
    pub(super) fn open_polling(&mut self, reservation: Reservation, answer: oneshot::Sender<PollAnswer>) {
        let key = self.insert(Transport::Polling(Box::default()));
        self.begin_session(key, reservation);
        let upgrades: &[&str] = if self.server.config().allow_upgrades { &["websocket"] } else { &[] };
        let handshake = self.handshake(key, upgrades);
        let (kind, data) = Packet::Open(&handshake).parts();
        if answer.send(Ok(format!("{kind}{data}"))).is_err() {
            self.doom(key, DisconnectReason::TransportClosed);
        }
        self.notify_opened(key);
    }

    /// A client asks for packets: it gets those that wait, or the next ones.
    pub(super) fn poll(&mut self, id: SessionId, answer: oneshot::Sender<PollAnswer>) {
        let refused = match self.lookup_session(id) {
            None => Refusal::UnknownSession,
            Some(key) => match self.poll_session(key, answer) {
                Ok(()) => return,
                Err((unused, refusal)) => {
                    let _gone = unused.send(Err(refusal));
                    return;
                }
            },
        };
        let _gone = answer.send(Err(refused));
    }

    fn poll_session(
        &mut self,
        key: Key,
        answer: oneshot::Sender<PollAnswer>,
    ) -> Result<(), (oneshot::Sender<PollAnswer>, Refusal)> {
        let connection = &mut self.connections[key as usize];
        match &mut connection.transport {
            Transport::Polling(polling) if polling.pending.is_none() => {
                polling.pending = Some(answer);
                self.answer_poll(key);
                Ok(())
            }
            Transport::Polling(_) => {
                self.doom(key, DisconnectReason::Malformed);
                Err((answer, Refusal::BadRequest))
            }
            Transport::Lingering(last) => {
                let last = last.to_frame();
                let waiting = connection.outbox.take();
                if waiting.is_none() {
                    self.doom(key, DisconnectReason::TransportClosed);
                }
                let body =
                    waiting.map_or_else(|| write_payload(&[last]), |outbox| write_payload(outbox.frames()));
                let _gone = answer.send(Ok(body));
                Ok(())
            }
            Transport::WebSocket(_) | Transport::Probe { .. } => Err((answer, Refusal::BadRequest)),
        }
    }

    /// The client has gone away from its request: without it the session cannot be sure of what was received.
    pub(super) fn abandon_poll(&mut self, id: SessionId) {
        let Some(key) = self.lookup_session(id) else {
            return;
        };
        let is_gone = self
            .polling(key)
            .and_then(|polling| polling.pending.as_ref())
            .is_some_and(oneshot::Sender::is_closed);
        if is_gone {
            self.doom(key, DisconnectReason::TransportError);
        }
    }

    /// A client brings packets.
    pub(super) fn post(&mut self, id: SessionId, body: &Bytes, answer: oneshot::Sender<PollAnswer>) {
        let accepted = match self.lookup_session(id) {
            None => Err(Refusal::UnknownSession),
            Some(key) => self.receive(key, body),
        };
        let _gone = answer.send(accepted.map(|()| POST_ANSWER.to_owned()));
    }

    fn receive(&mut self, key: Key, body: &Bytes) -> Result<(), Refusal> {
        if self.polling(key).is_none() {
            return Err(Refusal::BadRequest);
        }
        let malformed = |reactor: &mut Self| {
            reactor.doom(key, DisconnectReason::Malformed);
            Err(Refusal::BadRequest)
        };
        let message_bytes_max = self.server.config().client_message_bytes_max;
        let Ok(text) = std::str::from_utf8(body) else {
            return malformed(self);
        };
        for entry in read_payload(text) {
            if !self.may_send_more(key) {
                return malformed(self);
            }
            match entry {
                Ok(Entry::Text(Packet::Close)) => {
                    self.handle_packet(key, Packet::Close);
                    return Ok(());
                }
                Ok(Entry::Text(packet)) if packet.parts().1.len() <= message_bytes_max => {
                    self.handle_packet(key, packet);
                }
                Ok(Entry::Binary(bytes)) if bytes.len() <= message_bytes_max => {
                    self.handle_binary_message(key, &bytes);
                }
                _ => return malformed(self),
            }
            if !self.is_alive(key) {
                return Err(Refusal::BadRequest);
            }
        }
        Ok(())
    }

    /// Whether a WebSocket may ask to take the session over; at most one at a time.
    pub(super) fn prepare_upgrade(&mut self, id: SessionId) -> Result<(), Refusal> {
        let is_allowed = self.server.config().allow_upgrades;
        let key = self.lookup_session(id).ok_or(Refusal::UnknownSession)?;
        match self.polling(key) {
            Some(polling) if is_allowed && polling.upgrade == Upgrade::None => {
                polling.upgrade = Upgrade::Prepared;
                Ok(())
            }
            _ => Err(Refusal::BadRequest),
        }
    }

    /// The WebSocket that was announced will not come.
    pub(super) fn abandon_upgrade(&mut self, id: SessionId) {
        if let Some(key) = self.lookup_session(id)
            && let Some(polling) = self.polling(key)
            && polling.upgrade == Upgrade::Prepared
        {
            polling.upgrade = Upgrade::None;
        }
    }

    /// The client has been answered on its WebSocket, and now waits for its last long-polling request to end.
    pub(super) fn end_last_poll(&mut self, probe: Key, session: Key) {
        if let Some(polling) = self.polling(session) {
            polling.upgrade = Upgrade::Probing { connection: probe, has_answered: true };
            // Later in this turn, so that an upgrade completed with the same bytes comes first.
            self.answerable.push(session);
        }
    }

    /// Answers the requests of all sessions that have got something to say in this turn.
    pub(super) fn answer_polls(&mut self) {
        let mut answerable = std::mem::take(&mut self.answerable);
        for key in answerable.drain(..) {
            self.answer_poll(key);
        }
        self.answerable = answerable;
    }

    fn answer_poll(&mut self, key: Key) {
        // The client may have completed its upgrade before it sent the request: see what its WebSocket says first.
        if let Some(Upgrade::Probing { connection, .. }) = self.polling(key).map(|polling| polling.upgrade) {
            self.read(connection, false);
            self.close_doomed();
        }
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        let Transport::Polling(polling) = &mut connection.transport else {
            return;
        };
        let must_end = matches!(polling.upgrade, Upgrade::Probing { has_answered: true, .. });
        if connection.outbox.is_none() && !must_end {
            return;
        }
        let Some(pending) = polling.pending.take() else {
            return;
        };
        let body = match connection.outbox.take() {
            Some(outbox) => write_payload(outbox.frames()),
            None => write_payload(&[Packet::Noop.to_frame()]),
        };
        if pending.send(Ok(body)).is_err() {
            self.doom(key, DisconnectReason::TransportError);
            self.close_doomed();
        }
    }

    /// Tells the client that the session has ended. `true` if the record has to stay until it has been told.
    pub(super) fn close_polling(&mut self, key: Key, reason: DisconnectReason) -> bool {
        let connection = &mut self.connections[key as usize];
        let Transport::Polling(polling) = &mut connection.transport else {
            return false;
        };
        let Polling { pending, upgrade } = std::mem::take(&mut **polling);
        // A client that has ended the session itself only wants its request answered.
        let is_closed_by_client = reason == DisconnectReason::TransportClosed;
        let last = if is_closed_by_client { Packet::Noop } else { Packet::Close };
        // What waits goes first and alone: a client acts on the close before it acts on what comes with it.
        let has_request_left = match (pending, connection.outbox.take()) {
            (Some(pending), Some(outbox)) => pending.send(Ok(write_payload(outbox.frames()))).is_ok(),
            (Some(pending), None) => {
                let _gone = pending.send(Ok(write_payload(&[last.to_frame()])));
                false
            }
            (None, outbox) => {
                connection.outbox = outbox;
                true
            }
        };
        let is_orderly = matches!(
            reason,
            DisconnectReason::TransportClosed | DisconnectReason::ServerLeft | DisconnectReason::GoingAway
        );
        let must_linger = has_request_left && is_orderly;
        if must_linger {
            connection.transport = Transport::Lingering(last);
            connection.gathering = None;
            connection.is_doomed = false;
            connection.heartbeat_at = NEVER;
            connection.close_by = self.now + ticks(self.server.config().ping_timeout);
            self.rearm(key);
        }
        if let Upgrade::Probing { connection: probe, .. } = upgrade {
            self.doom(probe, reason);
        }
        must_linger
    }

    /// The long-polling state of a session, if that is how it is carried.
    pub(super) fn polling(&mut self, key: Key) -> Option<&mut Polling> {
        match &mut self.connections.get_mut(key as usize)?.transport {
            Transport::Polling(polling) => Some(polling),
            _ => None,
        }
    }
}
