//! The thread that holds connections: one event loop, one slab of records, one wheel of timers, one read buffer.
//!
//! `session` is a connection's life (Engine.IO), `polling` the side of it that comes by HTTP requests, `dispatch` what
//! the messages mean (Socket.IO). `connection`, `outbox`, `sockets` and `wheel` are the data; they do no I/O of their
//! own. Nothing here waits but the loop itself.

mod connection;
mod dispatch;
mod outbox;
mod polling;
mod session;
mod sockets;
mod wheel;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use slab::Slab;

use self::connection::{Connection, Transport};
use self::sockets::Sockets;
use self::wheel::{Tick, Wheel};
use crate::application::{Application, DisconnectReason};
use crate::command::{Arrival, Command, Destination, Mailbox, Purpose};
use crate::counters::Counters;
use crate::engine::application::SessionApplication;
use crate::server::Server;
use crate::socketio::encode::Frames;
use crate::websocket::frame::Violation;

/// A place in one of a reactor's tables.
pub(crate) type Key = u32;

const WAKER: Token = Token(usize::MAX);
const EVENTS_PER_TURN: usize = 1024;
/// So many arrivals are taken before the connected ones are looked after again.
const ARRIVALS_PER_TURN: usize = 64;
/// So many connections are written what is for many before the others are looked after again.
const WRITES_PER_TURN: usize = 256;
const READ_BUFFER_BYTES: usize = 64 * 1024;
const TICK_MS: u64 = 8;

/// What stands above the sessions.
#[derive(Clone)]
pub(crate) enum Layer {
    Sockets(Arc<dyn Application>),
    Sessions(Arc<dyn SessionApplication>),
}

/// What a reactor is made of before its server exists.
pub(crate) struct Seed {
    poll: Poll,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) counters: Arc<Counters>,
}

impl Seed {
    /// Asks the operating system for what an event loop needs.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok(Self { poll, mailbox: Arc::new(Mailbox::new(waker)), counters: Arc::default() })
    }
}

/// One thread's connections and all that belongs to them.
pub(crate) struct Reactor {
    index: u8,
    poll: Poll,
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    server: Server,
    layer: Layer,
    connections: Slab<Connection>,
    sockets: Sockets,
    wheel: Wheel,
    started: Instant,
    now: Tick,
    read_buffer: Vec<u8>,
    /// Connections to be closed as soon as nothing else is being done with them.
    doomed: Vec<(Key, Ending)>,
    /// Long-polling sessions with something to say and a request to say it to.
    answerable: Vec<Key>,
    /// Connections that had more to read than their turn allowed.
    unread: Vec<Key>,
    /// Connections for which something waits that is for many, in the order in which it is written.
    unwritten: VecDeque<Key>,
    drain: Option<Drain>,
    is_shut_down: bool,
}

/// Why a connection ends, and the status code that tells its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ending {
    reason: DisconnectReason,
    /// None where there is nobody to tell.
    close_code: Option<u16>,
}

impl From<DisconnectReason> for Ending {
    fn from(reason: DisconnectReason) -> Self {
        let close_code = match reason {
            DisconnectReason::TransportError | DisconnectReason::TooSlow => None,
            DisconnectReason::GoingAway => Some(1001),
            DisconnectReason::Malformed => Some(1008),
            DisconnectReason::ApplicationPanic => Some(1011),
            _ => Some(1000),
        };
        Self { reason, close_code }
    }
}

impl From<Violation> for Ending {
    fn from(violation: Violation) -> Self {
        Self { reason: DisconnectReason::Malformed, close_code: Some(violation.close_code()) }
    }
}

/// The plan to close all connections between two moments.
#[derive(Clone, Copy)]
struct Drain {
    from: Tick,
    ticks: Tick,
}

impl Reactor {
    /// Puts a reactor together.
    pub(crate) fn new(index: u8, seed: Seed, server: Server, layer: Layer) -> Self {
        let namespaces = server.config().namespaces.len();
        Self {
            index,
            poll: seed.poll,
            mailbox: seed.mailbox,
            counters: seed.counters,
            server,
            layer,
            connections: Slab::new(),
            sockets: Sockets::new(index, namespaces),
            wheel: Wheel::new(),
            started: Instant::now(),
            now: 0,
            read_buffer: vec![0; READ_BUFFER_BYTES],
            doomed: Vec::new(),
            answerable: Vec::new(),
            unread: Vec::new(),
            unwritten: VecDeque::new(),
            drain: None,
            is_shut_down: false,
        }
    }

    /// Runs until the server is shut down.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut commands = Vec::new();
        let mut arrivals = Vec::new();
        let mut due = Vec::new();
        while !self.is_shut_down {
            self.wait(&mut events);
            for event in &events {
                self.handle_event(event);
            }
            self.read_the_unread();
            // Timers before commands: a request must not reach a session whose time is over.
            self.wheel.expire(self.now, &mut due);
            for key in due.drain(..) {
                self.handle_timer(key);
                self.close_doomed();
            }
            self.mailbox.take(&mut commands, &mut arrivals, ARRIVALS_PER_TURN);
            for command in commands.drain(..) {
                self.handle_command(command);
                self.close_doomed();
            }
            for arrival in arrivals.drain(..) {
                self.handle_arrival(arrival);
                self.close_doomed();
            }
            self.answer_polls();
            self.write_the_unwritten();
        }
        self.close_all(DisconnectReason::GoingAway);
    }

    fn wait(&mut self, events: &mut Events) {
        let has_work = !self.unread.is_empty() || !self.unwritten.is_empty();
        let timeout = if has_work || !self.mailbox.begin_sleep() {
            Some(Duration::ZERO)
        } else {
            self.wheel.next_occupied().map(|tick| {
                let at = self.started + Duration::from_millis(tick.saturating_mul(TICK_MS));
                at.saturating_duration_since(Instant::now())
            })
        };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "cannot wait for events");
        }
        self.mailbox.end_sleep();
        let elapsed_ms = self.started.elapsed().as_millis();
        self.now =
            Tick::try_from(elapsed_ms).expect("a process does not live for 500 million years") / TICK_MS;
    }

    fn handle_event(&mut self, event: &Event) {
        if event.token() == WAKER {
            return;
        }
        let key = as_key(event.token().0);
        if event.is_writable() {
            self.write_outbox(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(key, event.is_read_closed());
        }
        self.close_doomed();
    }

    fn read_the_unread(&mut self) {
        for key in std::mem::take(&mut self.unread) {
            // To the end: the stream will not tell again what it told while it was left unread.
            self.read(key, true);
            self.close_doomed();
        }
    }

    fn write_the_unwritten(&mut self) {
        for _ in 0..WRITES_PER_TURN {
            let Some(key) = self.unwritten.pop_front() else { return };
            if self.connections.get(key as usize).is_some_and(|connection| connection.has_turn) {
                self.write_outbox(key);
                self.close_doomed();
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::OpenPolling { reservation, answer } => self.open_polling(reservation, answer),
            Command::Poll { session, answer } => self.poll(session, answer),
            Command::PollAbandoned { session } => self.abandon_poll(session),
            Command::Post { session, body, answer } => self.post(session, &body, answer),
            Command::PrepareUpgrade { session, answer } => {
                let prepared = self.prepare_upgrade(session);
                if answer.send(prepared).is_err() && prepared.is_ok() {
                    self.abandon_upgrade(session);
                }
            }
            Command::UpgradeAbandoned { session } => self.abandon_upgrade(session),
            Command::Admit { socket, admission } => self.admit_later(socket, admission),
            Command::Send { destination, frames } => self.send_to(&destination, &frames),
            Command::SendMany(mailing) => self.send_mailing(&mailing),
            Command::Join { socket, room } => {
                if let Some((key, _)) = self.sockets.lookup(socket) {
                    self.sockets.join(key, &room);
                }
            }
            Command::Leave { socket, room } => {
                if let Some((key, _)) = self.sockets.lookup(socket) {
                    self.sockets.leave(key, &room);
                }
            }
            Command::Disconnect { socket, closes_connection } => self.disconnect(socket, closes_connection),
            Command::SendToSession { session, frames } => {
                if let Some(key) = self.lookup_session(session) {
                    self.send_frames(key, &frames);
                }
            }
            Command::CloseSession { session } => {
                if let Some(key) = self.lookup_session(session) {
                    self.doom(key, DisconnectReason::ServerLeft);
                }
            }
            Command::Drain { within } => self.begin_drain(within),
            Command::ShutDown => self.is_shut_down = true,
        }
    }

    /// Sends to those who are named at once. What is for everyone, or a room, is written by and by: so what comes meanwhile for
    /// one of them goes out with it and need not wait for all the others, and two such packets cost one write.
    fn send_to(&mut self, destination: &Destination, frames: &Frames) {
        // The recipients are taken down first, because sending needs the whole reactor. The list is short-lived.
        let mut recipients = Vec::new();
        match destination {
            Destination::Socket(id) => {
                let socket = self.sockets.lookup(*id).map(|(_, socket)| socket);
                recipients.extend(socket.filter(|socket| socket.has_joined).map(|socket| socket.connection));
            }
            Destination::Room { namespace, room } => {
                let members = self.sockets.members(*namespace, room);
                recipients.extend(members.filter(|socket| socket.has_joined).map(|socket| socket.connection));
            }
            Destination::Tag { namespace, tag } => recipients.extend(self.tagged(*namespace, *tag)),
            Destination::Tags { namespace, tags } => {
                recipients.extend(tags.iter().flat_map(|tag| self.tagged(*namespace, *tag)));
            }
            Destination::Everyone { namespace } => {
                let all = self.sockets.iter().filter(|socket| socket.namespace == *namespace);
                recipients.extend(all.filter(|socket| socket.has_joined).map(|socket| socket.connection));
            }
        }
        let is_for_many = matches!(destination, Destination::Room { .. } | Destination::Everyone { .. });
        for connection in recipients {
            if is_for_many {
                self.send_in_turn(connection, frames);
            } else {
                self.send_frames(connection, frames);
            }
        }
    }

    /// The connections of those who have joined the namespace under this tag.
    fn tagged(&self, namespace: u8, tag: u64) -> impl Iterator<Item = Key> {
        let tagged = self.sockets.tagged(tag).filter(move |socket| socket.namespace == namespace);
        tagged.map(|socket| socket.connection)
    }

    fn begin_drain(&mut self, within: Duration) {
        let drain = Drain { from: self.now, ticks: ticks(within) };
        self.drain = Some(drain);
        let keys: Vec<Key> = self.connections.iter().map(|(key, _)| as_key(key)).collect();
        for key in keys {
            self.plan_close(key, drain);
        }
    }

    /// Connections are spread by their place in the table, which has nothing to do with when they would reconnect.
    fn plan_close(&mut self, key: Key, drain: Drain) {
        let count = self.connections.len().max(1) as u64;
        let at = drain.from + (u64::from(key) % count) * drain.ticks / count;
        let connection = &mut self.connections[key as usize];
        connection.close_by = connection.close_by.min(at);
        self.rearm(key);
    }

    fn close_all(&mut self, reason: DisconnectReason) {
        let keys: Vec<Key> = self.connections.iter().map(|(key, _)| as_key(key)).collect();
        for key in keys {
            self.doom(key, reason);
        }
        self.close_doomed();
    }

    fn handle_arrival(&mut self, arrival: Arrival) {
        match arrival.purpose {
            Purpose::NewSession(reservation) => {
                self.open_websocket(arrival.stream, &arrival.early_bytes, reservation);
            }
            Purpose::Upgrade(session) => self.begin_probe(arrival.stream, &arrival.early_bytes, session),
        }
    }

    /// Whether the connection is there and not about to be closed.
    fn is_alive(&self, key: Key) -> bool {
        self.connections.get(key as usize).is_some_and(|connection| !connection.is_doomed)
    }

    /// Has the connection closed as soon as nothing else is being done with it; the first reason counts.
    fn doom(&mut self, key: Key, ending: impl Into<Ending>) {
        if let Some(connection) = self.connections.get_mut(key as usize)
            && !connection.is_doomed
        {
            connection.is_doomed = true;
            self.doomed.push((key, ending.into()));
        }
    }

    fn close_doomed(&mut self) {
        // Closing one may doom another: a session's probe, for example.
        while let Some((key, ending)) = self.doomed.pop() {
            self.close(key, ending);
        }
    }

    /// Sets the connection's timer to the next moment that concerns it.
    fn rearm(&mut self, key: Key) {
        let connection = &self.connections[key as usize];
        self.wheel.schedule(key, connection.heartbeat_at.min(connection.close_by));
    }
}

/// The end of a thread, also by a panic: nobody waits for an answer from it or for its sessions to close.
impl Drop for Reactor {
    fn drop(&mut self) {
        self.mailbox.close();
        for _ in self.connections.iter().filter(|(_, connection)| is_session(&connection.transport)) {
            self.server.release_connection();
        }
        if std::thread::panicking() {
            self.server.fall();
        }
    }
}

fn as_key(index: usize) -> Key {
    Key::try_from(index).expect("a process cannot hold four thousand million connections")
}

/// A span in ticks, rounded down: deadlines are met early rather than late.
fn ticks(span: Duration) -> Tick {
    Tick::try_from(span.as_millis()).unwrap_or(Tick::MAX / 4) / TICK_MS
}

/// Whether a transport is one that a session is carried by now.
fn is_session(transport: &Transport) -> bool {
    matches!(transport, Transport::WebSocket(_) | Transport::Polling(_))
}
