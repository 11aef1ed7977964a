//! The life of an Engine.IO session on a WebSocket: open, read, heart-beat, upgrade, write, close.
//!
//! What comes by HTTP requests instead is in `polling`; what messages mean is in `dispatch`.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use mio::net::TcpStream;
use mio::{Interest, Token};

use super::connection::{Connection, Transport, Upgrade};
use super::outbox::Outbox;
use super::sockets::NO_SOCKET;
use super::wheel::{NEVER, Tick};
use super::{Ending, Key, Layer, Reactor, as_key, is_session, ticks};
use crate::application::DisconnectReason;
use crate::command::Refusal;
use crate::counters::count;
use crate::engine::packet::{Handshake, Packet};
use crate::engine::session_id::{SECRET_BYTES, SessionId};
use crate::intake::Reservation;
use crate::server::Server;
use crate::socketio::encode::Frames;
use crate::websocket::decoder::{Decoder, Message};
use crate::websocket::frame::{Opcode, server_close_frame, server_frame};

const PING: Bytes = Bytes::from_static(&[0x81, 1, b'2']);
/// So often one connection is read before the others have their turn.
const READS_PER_TURN: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
/// An interval has so many moments at which pings are sent.
const PING_MOMENTS: Tick = 128;

impl Reactor {
    /// Begins a session on a WebSocket.
    pub(super) fn open_websocket(
        &mut self,
        stream: TcpStream,
        early_bytes: &Bytes,
        reservation: Reservation,
    ) {
        let Some(key) = self.insert_stream(stream, Transport::WebSocket) else {
            return;
        };
        self.begin_session(key, reservation);
        let handshake = self.handshake(key, &[]);
        self.send(key, &Packet::Open(&handshake).to_frame());
        self.notify_opened(key);
        self.input(key, &mut early_bytes.to_vec());
    }

    /// Counts a new session and starts its clocks.
    pub(super) fn begin_session(&mut self, key: Key, reservation: Reservation) {
        reservation.keep();
        count(&self.counters.connections_opened);
        let config = self.server.config();
        let interval = ticks(config.ping_interval);
        let connect_timeout = ticks(config.connect_timeout);
        let is_socketio = matches!(self.layer, Layer::Sockets(_));
        let connection = &mut self.connections[key as usize];
        let spread = u16::from_be_bytes([connection.secret[0], connection.secret[1]]);
        connection.heartbeat_at = ping_at(self.now + first_ping_delay(interval, spread), interval);
        if is_socketio {
            connection.close_by = self.now + connect_timeout;
        }
        if let Some(drain) = self.drain {
            self.plan_close(key, drain);
        }
        self.rearm(key);
    }

    /// The data of the open packet.
    pub(super) fn handshake(&self, key: Key, upgrades: &[&str]) -> String {
        let config = self.server.config();
        let milliseconds = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Handshake {
            sid: &self.session_id(key).to_string(),
            upgrades,
            ping_interval_ms: milliseconds(config.ping_interval),
            ping_timeout_ms: milliseconds(config.ping_timeout),
            max_payload_bytes: config.max_payload_bytes,
        }
        .to_json()
    }

    /// The name of the session at `key`.
    pub(super) fn session_id(&self, key: Key) -> SessionId {
        SessionId {
            node: self.server.config().node,
            reactor: self.index,
            key,
            secret: self.connections[key as usize].secret,
        }
    }

    /// The session of this name, if it is there and not about to be closed.
    pub(super) fn lookup_session(&self, id: SessionId) -> Option<Key> {
        let connection = self.connections.get(id.key as usize)?;
        let is_it = id.node == self.server.config().node
            && connection.secret == id.secret
            && !connection.is_doomed
            && !matches!(connection.transport, Transport::Probe { .. });
        is_it.then_some(id.key)
    }

    /// Adds a connection that begins now.
    pub(super) fn insert(&mut self, transport: Transport) -> Key {
        let mut secret = [0; SECRET_BYTES];
        self.server.config().random.fill(&mut secret);
        as_key(self.connections.insert(Connection {
            transport,
            outbox: None,
            remainder: None,
            gathering: None,
            heartbeat_at: NEVER,
            close_by: NEVER,
            first_socket: NO_SOCKET,
            secret,
            messages_of_second: (0, 0),
            is_awaiting_pong: false,
            has_turn: false,
            is_doomed: false,
        }))
    }

    fn insert_stream(
        &mut self,
        stream: TcpStream,
        transport: impl FnOnce(TcpStream) -> Transport,
    ) -> Option<Key> {
        let key = self.insert(transport(stream));
        let stream = self.connections[key as usize].stream().expect("it was made of a stream");
        // Both at once and edge-triggered: there is nothing to change when the outbox comes and goes.
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(stream, Token(key as usize), interest) {
            tracing::error!(%error, "cannot watch a connection");
            self.connections.remove(key as usize);
            return None;
        }
        Some(key)
    }

    /// Reads what has come, unless the connection is about to be closed. With `to_its_end`, goes on until the stream says that
    /// it is empty or closed.
    pub(super) fn read(&mut self, key: Key, to_its_end: bool) {
        // What a broken connection had sent before may still be there: an upgrade, which would move it to another key.
        if !self.is_alive(key) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let mut key = key;
        for turn in 1.. {
            let Some(stream) = self.connections.get_mut(key as usize).and_then(Connection::stream) else {
                break;
            };
            match stream.read(&mut buffer) {
                Ok(0) => self.doom(key, DisconnectReason::TransportClosed),
                Ok(length) => {
                    key = self.input(key, &mut buffer[..length]);
                    // Less than there was room for: the stream was empty, and tells when it no longer is.
                    if length < buffer.len() && !to_its_end {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => self.doom(key, DisconnectReason::TransportError),
            }
            if !self.is_alive(key) {
                break;
            }
            if turn >= READS_PER_TURN {
                self.unread.push(key);
                break;
            }
        }
        self.read_buffer = buffer;
    }

    /// Handles bytes of a WebSocket. The connection may become that of another session; says which it is then.
    fn input(&mut self, key: Key, bytes: &mut [u8]) -> Key {
        let mut key = key;
        let remainder = self.connections[key as usize].remainder.take();
        let mut decoder = Decoder::new(remainder, bytes, self.server.config().client_message_bytes_max);
        loop {
            let message = decoder.next_message();
            if matches!(message, Ok(Some(_))) && !self.may_send_more(key) {
                self.doom(key, DisconnectReason::Malformed);
                return key;
            }
            match message {
                Ok(Some(Message::Text(text))) => match Packet::parse(text) {
                    Ok(packet) => key = self.handle_packet(key, packet),
                    Err(_) => self.doom(key, DisconnectReason::Malformed),
                },
                Ok(Some(Message::Binary(bytes))) => self.handle_binary_message(key, bytes),
                Ok(Some(Message::Ping(payload))) => {
                    self.send(key, &server_frame(Opcode::Pong, &[payload]));
                }
                Ok(Some(Message::Pong)) => {}
                Ok(Some(Message::Close(_))) => self.doom(key, DisconnectReason::TransportClosed),
                Ok(None) => break,
                Err(violation) => self.doom(key, violation),
            }
            if !self.is_alive(key) {
                return key;
            }
        }
        self.connections[key as usize].remainder = decoder.into_remainder();
        key
    }

    /// Counts a message of a client; false if it is one too many within a second.
    pub(super) fn may_send_more(&mut self, key: Key) -> bool {
        let second = u32::try_from(self.now / ticks(SECOND)).unwrap_or(u32::MAX);
        let (last, count) = &mut self.connections[key as usize].messages_of_second;
        if *last != second {
            (*last, *count) = (second, 0);
        }
        *count += 1;
        *count <= self.server.config().client_messages_per_second_max
    }

    /// Handles a packet of a client. Says where the session is afterwards: an upgrade moves the connection to it.
    pub(super) fn handle_packet(&mut self, key: Key, packet: Packet<'_>) -> Key {
        let connection = &mut self.connections[key as usize];
        match (&mut connection.transport, packet) {
            (Transport::Probe { session, has_been_asked, .. }, Packet::Ping("probe")) => {
                *has_been_asked = true;
                let session = *session;
                self.send(key, &Packet::Pong("probe").to_frame());
                self.end_last_poll(key, session);
            }
            (Transport::Probe { session, has_been_asked: true, .. }, Packet::Upgrade) => {
                let session = *session;
                return self.complete_upgrade(key, session);
            }
            (Transport::Probe { .. }, _) => self.doom(key, DisconnectReason::Malformed),
            (_, Packet::Pong(_)) if connection.is_awaiting_pong => {
                let config = self.server.config();
                let sent_at = connection.heartbeat_at - ticks(config.ping_timeout);
                connection.is_awaiting_pong = false;
                let interval = ticks(config.ping_interval);
                connection.heartbeat_at = ping_at(sent_at + interval, interval).max(self.now + 1);
                self.rearm(key);
            }
            (_, Packet::Pong(_) | Packet::Noop) => {}
            (_, Packet::Message(text)) => self.handle_text_message(key, text),
            (_, Packet::Close) => self.doom(key, DisconnectReason::TransportClosed),
            (_, Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade) => {
                self.doom(key, DisconnectReason::Malformed);
            }
        }
        key
    }

    /// Does what is due on a connection, and sets its timer anew.
    pub(super) fn handle_timer(&mut self, key: Key) {
        let now = self.now;
        let ping_timeout = ticks(self.server.config().ping_timeout);
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        if connection.close_by <= now {
            let is_draining = self.drain.is_some() && is_session(&connection.transport);
            let reason =
                if is_draining { DisconnectReason::GoingAway } else { DisconnectReason::ConnectTimeout };
            self.doom(key, reason);
        } else if connection.heartbeat_at <= now {
            if connection.is_awaiting_pong {
                // This thread may have been held up, and the answer may have come in time.
                self.read(key, true);
                self.end_if_silent(key);
                return;
            }
            connection.is_awaiting_pong = true;
            // Counted from now, however late that is: the client has its whole time.
            connection.heartbeat_at = now + ping_timeout;
            self.send(key, &PING);
            self.rearm(key);
        } else {
            self.rearm(key);
        }
    }

    /// Ends a session whose time to answer a ping is over, unless the answer was read.
    fn end_if_silent(&mut self, key: Key) {
        if self.is_alive(key) && self.connections[key as usize].is_awaiting_pong {
            count(&self.counters.ping_timeouts);
            self.doom(key, DisconnectReason::PingTimeout);
        }
    }

    /// Lets a WebSocket ask to take over a session.
    pub(super) fn begin_probe(&mut self, stream: TcpStream, early_bytes: &Bytes, id: SessionId) {
        let Some(session) = self.lookup_session(id) else {
            return;
        };
        let has_been_asked = false;
        let probe = |stream| Transport::Probe { stream, session, has_been_asked };
        let is_prepared = self.polling(session).is_some_and(|polling| polling.upgrade == Upgrade::Prepared);
        if !is_prepared {
            return;
        }
        let Some(key) = self.insert_stream(stream, probe) else {
            return self.abandon_upgrade(id);
        };
        self.connections[key as usize].close_by = self.now + ticks(self.server.config().upgrade_timeout);
        self.rearm(key);
        if let Some(polling) = self.polling(session) {
            polling.upgrade = Upgrade::Probing { connection: key, has_answered: false };
        }
        self.input(key, &mut early_bytes.to_vec());
    }

    fn complete_upgrade(&mut self, probe: Key, session: Key) -> Key {
        let is_written = self.connections[probe as usize].outbox.is_none();
        if !is_written || !self.is_alive(session) {
            self.doom(probe, DisconnectReason::TransportError);
            return probe;
        }
        self.wheel.cancel(probe);
        let Transport::Probe { mut stream, .. } = self.connections.remove(probe as usize).transport else {
            unreachable!("only a probe completes an upgrade");
        };
        let token = Token(session as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().reregister(&mut stream, token, interest) {
            tracing::error!(%error, "cannot watch an upgraded connection");
            self.doom(session, DisconnectReason::TransportError);
            return session;
        }
        let connection = &mut self.connections[session as usize];
        let before = std::mem::replace(&mut connection.transport, Transport::WebSocket(stream));
        if let Transport::Polling(polling) = before
            && let Some(pending) = polling.pending
        {
            // A client waits for its last request to end before it completes the upgrade; this one did not.
            let _gone = pending.send(Err(Refusal::BadRequest));
        }
        count(&self.counters.upgrades);
        self.write_outbox(session);
        session
    }

    /// Sends the frames of one packet.
    pub(super) fn send_frames(&mut self, key: Key, frames: &Frames) {
        for frame in frames.iter() {
            self.send(key, frame);
        }
    }

    /// Has the frames of one packet written when the connection has its turn, or as soon as anything else is sent to it.
    pub(super) fn send_in_turn(&mut self, key: Key, frames: &Frames) {
        for frame in frames.iter() {
            let Some(connection) = self.connections.get_mut(key as usize).filter(|found| !found.is_doomed)
            else {
                return;
            };
            let waiting = connection.outbox.as_ref().map_or(0, |outbox| outbox.bytes());
            let can_wait = matches!(connection.transport, Transport::WebSocket(_))
                && may_wait(&self.server, waiting + frame.len());
            if !can_wait {
                self.write_outbox(key);
                self.send(key, frame);
                continue;
            }
            count(&self.counters.frames_out);
            connection.outbox.get_or_insert_default().push(frame.clone());
            if !std::mem::replace(&mut connection.has_turn, true) {
                self.unwritten.push_back(key);
            }
        }
    }

    /// Sends a frame now, or puts it in the outbox if the client does not keep up.
    pub(super) fn send(&mut self, key: Key, frame: &Bytes) {
        let Some(connection) = self.connections.get_mut(key as usize).filter(|found| !found.is_doomed) else {
            return;
        };
        count(&self.counters.frames_out);
        let mut frame = frame.clone();
        match &mut connection.transport {
            Transport::WebSocket(stream) | Transport::Probe { stream, .. } if connection.outbox.is_none() => {
                match stream.write(&frame) {
                    Ok(written) if written == frame.len() => return,
                    Ok(written) => frame.advance(written),
                    Err(error) if is_temporary(&error) => {}
                    Err(_) => return self.doom(key, DisconnectReason::TransportError),
                }
            }
            Transport::Polling(polling) if polling.pending.is_some() => self.answerable.push(key),
            Transport::Lingering(_) => return,
            _ => {}
        }
        connection.outbox.get_or_insert_default().push(frame);
        if connection.has_turn {
            self.write_outbox(key);
        }
        let connection = &self.connections[key as usize];
        if connection.outbox.as_ref().is_some_and(|outbox| !may_wait(&self.server, outbox.bytes())) {
            count(&self.counters.slow_readers_dropped);
            self.doom(key, DisconnectReason::TooSlow);
        }
    }

    /// Writes what waits, as far as the client takes it.
    pub(super) fn write_outbox(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key as usize) else {
            return;
        };
        connection.has_turn = false;
        let Some(mut outbox) = connection.outbox.take() else {
            return;
        };
        let written = match connection.stream() {
            Some(stream) => outbox.write_to(stream),
            None => Ok(false),
        };
        match written {
            Ok(true) => {}
            Ok(false) => connection.outbox = Some(outbox),
            Err(_) => self.doom(key, DisconnectReason::TransportError),
        }
    }

    /// Ends a connection and all that hangs on it.
    pub(super) fn close(&mut self, key: Key, Ending { reason, close_code }: Ending) {
        if reason == DisconnectReason::Malformed {
            count(&self.counters.malformed_closed);
        }
        self.leave_all(key, reason);
        if is_session(&self.connections[key as usize].transport) {
            self.server.release_connection();
            self.notify_closed(key, reason);
        }
        match self.connections[key as usize].transport {
            Transport::Probe { session, .. } => {
                if let Some(polling) = self.polling(session) {
                    polling.upgrade = Upgrade::None;
                }
            }
            Transport::Polling(_) => {
                if self.close_polling(key, reason) {
                    return;
                }
            }
            Transport::WebSocket(_) | Transport::Lingering(_) => {}
        }
        self.wheel.cancel(key);
        let mut connection = self.connections.remove(key as usize);
        let outbox = connection.outbox.take();
        if let Some(stream) = connection.stream() {
            if let Some(code) = close_code {
                say_goodbye(stream, outbox, code);
            }
            if let Err(error) = self.poll.registry().deregister(stream) {
                tracing::debug!(%error, "a closed connection was not watched");
            }
        }
    }
}

/// Whether so much may wait for one client. All outboxes together are bounded by this only: where memory is short, those for
/// whom most waits must go before the process does, and with it everybody.
fn may_wait(server: &Server, bytes: usize) -> bool {
    /// Of what may wait otherwise.
    const SHARE_WHEN_SHORT: usize = 64;
    let bytes_max = server.config().outbox_bytes_max;
    bytes <= bytes_max / SHARE_WHEN_SHORT || (bytes <= bytes_max && server.has_memory())
}

/// Clients that came in one storm are not to be pinged in one storm: the first ping comes up to half an interval early,
/// by a part of the session's name that is random, and the later ones keep the distance.
fn first_ping_delay(interval: Tick, spread: u16) -> Tick {
    interval - ((interval / 2 * u64::from(spread)) >> 16)
}

/// The moment of the grid at or before this one: the pings that are due together cost one wake-up, here and at a machine that
/// has many of the clients.
fn ping_at(due: Tick, interval: Tick) -> Tick {
    due - due % (interval / PING_MOMENTS).max(1)
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Tells the client, as far as it can be told without waiting.
fn say_goodbye(stream: &mut TcpStream, outbox: Option<Box<Outbox>>, code: u16) {
    let is_written = outbox.is_none_or(|mut outbox| matches!(outbox.write_to(&mut *stream), Ok(true)));
    if is_written && stream.write(&server_close_frame(code)).is_err() {
        tracing::trace!("the client is gone already");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Seed, WRITES_PER_TURN};
    use super::*;
    use crate::config::Config;
    use crate::engine::application::{Message as AppMessage, SessionApplication};

    #[test]
    fn first_pings_are_spread_evenly_over_half_an_interval() {
        let interval = 1000;
        let mut per_tenth = [0_u32; 10];
        for spread in 0..=u16::MAX {
            let delay = first_ping_delay(interval, spread);
            assert!((501..=1000).contains(&delay), "{delay}");
            per_tenth[usize::try_from((delay - 501) / 50).unwrap()] += 1;
        }
        assert!(per_tenth.iter().all(|count| (6000..7200).contains(count)), "{per_tenth:?}");
    }

    #[test]
    fn pings_come_early_rather_than_late_and_together() {
        let interval = 3125;
        let moments: std::collections::BTreeSet<_> = (10_000..10_000 + interval)
            .map(|due| {
                let at = ping_at(due, interval);
                assert!(at <= due && due - at < interval / 100, "{due} {at}");
                at
            })
            .collect();
        assert!((128..=132).contains(&moments.len()), "{}", moments.len());
        assert_eq!(ping_at(77, 37), 77, "a short interval has no grid");
    }

    /// A reactor that only the test runs, with sessions on loopback connections and their other ends.
    fn reactor_with(sessions: usize) -> (Reactor, Vec<std::net::TcpStream>) {
        struct Deaf;
        impl SessionApplication for Deaf {
            fn message(&self, _: &Server, _: SessionId, _: AppMessage<'_>) {}
        }
        let config = Config { outbox_bytes_max: 1_000, ..Config::default() };
        let server = Server::start_sessions(config, Arc::new(Deaf)).unwrap();
        let layer = Layer::Sessions(Arc::new(Deaf));
        let mut reactor = Reactor::new(0, Seed::new().unwrap(), server, layer);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let clients = (0..sessions).map(|_| {
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let stream = listener.accept().unwrap().0;
            stream.set_nonblocking(true).unwrap();
            let reservation = reactor.server.reserve().unwrap();
            reactor.open_websocket(TcpStream::from_std(stream), &Bytes::new(), reservation);
            client.set_nonblocking(true).unwrap();
            heard(&client);
            client
        });
        let clients = clients.collect();
        (reactor, clients)
    }

    /// A frame of a client, masked with zeros.
    fn client_frame(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
    }

    #[test]
    fn an_upgrade_that_was_sent_on_a_connection_broken_since_is_not_completed() {
        let (mut reactor, _clients) = reactor_with(0);
        let (answer, _opened) = tokio::sync::oneshot::channel();
        let reservation = reactor.server.reserve().unwrap();
        reactor.open_polling(reservation, answer);
        let session = reactor.session_id(0);
        reactor.prepare_upgrade(session).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        stream.set_nonblocking(true).unwrap();
        reactor.begin_probe(TcpStream::from_std(stream), &client_frame("2probe").into(), session);
        let probe = 1;
        assert!(reactor.connections[probe].outbox.is_none(), "the answer is written");
        client.write_all(&client_frame("5")).unwrap();
        // It has not read the answer, so this resets the connection.
        drop(client);
        reactor.connections[probe].outbox.get_or_insert_default().push(PING);
        reactor.write_outbox(as_key(probe));
        assert!(!reactor.is_alive(as_key(probe)), "the write has failed");
        reactor.read(as_key(probe), true);
        reactor.close_doomed();
        assert!(!reactor.connections.contains(probe));
        assert_eq!(reactor.lookup_session(session), Some(0));
        assert!(reactor.polling(0).is_some_and(|polling| polling.upgrade == Upgrade::None));
        reactor.server.shut_down();
    }

    /// What has come: on loopback it is there when the write returns.
    fn heard(mut client: &std::net::TcpStream) -> String {
        let mut buffer = vec![0; 100_000];
        let length = client.read(&mut buffer).unwrap_or(0);
        buffer[..length].iter().map(|byte| char::from(*byte)).filter(char::is_ascii_graphic).collect()
    }

    #[test]
    fn what_is_for_many_waits_for_its_turn_and_goes_out_before_what_is_for_one() {
        let (mut reactor, clients) = reactor_with(3);
        for text in ["all", "more"] {
            for key in 0..3 {
                reactor.send_in_turn(key, &Frames::text(text));
            }
        }
        reactor.send_frames(2, &Frames::text("one"));
        assert_eq!(clients.iter().map(heard).collect::<Vec<_>>(), ["", "", "4all4more4one"]);
        reactor.write_the_unwritten();
        assert_eq!(clients.iter().map(heard).collect::<Vec<_>>(), ["4all4more", "4all4more", ""]);
        assert!(reactor.connections.iter().all(|(_, connection)| connection.outbox.is_none()));
        reactor.server.shut_down();
    }

    #[test]
    fn a_turn_is_over_after_so_many_writes() {
        let (mut reactor, clients) = reactor_with(WRITES_PER_TURN + 1);
        for key in (0..).take(clients.len()) {
            reactor.send_in_turn(key, &Frames::text("all"));
        }
        reactor.write_the_unwritten();
        assert_eq!(clients.iter().filter(|client| heard(client) == "4all").count(), WRITES_PER_TURN);
        reactor.write_the_unwritten();
        assert_eq!(heard(&clients[WRITES_PER_TURN]), "4all");
        reactor.server.shut_down();
    }

    #[test]
    fn whoever_reads_loses_nothing_for_many_that_is_larger_than_the_bound() {
        let (mut reactor, clients) = reactor_with(1);
        let large = "x".repeat(900);
        for _ in 0..3 {
            reactor.send_in_turn(0, &Frames::text(&large));
        }
        reactor.write_the_unwritten();
        assert_eq!(heard(&clients[0]).matches('x').count(), 2_700);
        reactor.send_in_turn(0, &Frames::text(&large.repeat(5)));
        assert!(reactor.is_alive(0));
        assert_eq!(heard(&clients[0]).matches('x').count(), 4_500);
        reactor.send_in_turn(0, &Frames::text(&large));
        reactor.send_frames(0, &Frames::text(&large));
        assert!(reactor.is_alive(0));
        assert_eq!(heard(&clients[0]).matches('x').count(), 1_800);
        reactor.server.shut_down();
    }

    #[test]
    fn who_does_not_read_is_dropped_for_what_is_for_many_too() {
        let (mut reactor, clients) = reactor_with(1);
        let frames = Frames::text(&"x".repeat(900));
        for _ in 0..100_000 {
            reactor.send_in_turn(0, &frames);
            reactor.write_the_unwritten();
        }
        assert!(!reactor.is_alive(0));
        drop(clients);
        reactor.server.shut_down();
    }

    #[test]
    fn deadlines_are_rounded_down() {
        let of_millis = |span| ticks(std::time::Duration::from_millis(span));
        assert!((of_millis(300) + of_millis(200)) * super::super::TICK_MS <= 500);
    }
}
