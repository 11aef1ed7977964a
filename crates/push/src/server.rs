//! The handle by which an embedder starts a server, speaks to its clients and ends it.
//!
//! Every method may be called from any thread, the application's own calls included, and none waits for a client. What
//! one thread asks for is done in the order in which it asked, for each socket.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use tokio::sync::watch;

use crate::application::{Ack, Admission, Application, SocketId};
use crate::command::{Arrival, Command, Destination, Mailbox, Mailing, Purpose, Refusal};
use crate::config::Config;
use crate::counters::{Counters, Counts};
use crate::engine::application::{Message, SessionApplication};
use crate::engine::session_id::SessionId;
use crate::intake::{Intake, Reservation};
use crate::reactor::{Layer, Reactor, Seed};
use crate::socketio::encode::{self, Frames};

/// A running server; clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// Makes socket names differ between processes.
    instance: [u8; 4],
    reactors: Vec<ReactorHandle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    next_reactor: AtomicUsize,
    intake: Arc<Intake>,
    has_fallen: watch::Sender<bool>,
}

struct ReactorHandle {
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
}

/// The recipients of a packet: a socket, a room, a tag, or everyone in a namespace.
#[must_use = "a target does nothing until something is emitted to it"]
pub struct Target<'a> {
    server: &'a Server,
    destination: Destination,
}

impl Server {
    /// Starts a Socket.IO server: `config.reactors` threads, and nothing that listens. Requests come through
    /// [`http::respond`](crate::http::respond).
    ///
    /// # Errors
    /// If the operating system has no event queue or thread to give.
    ///
    /// # Panics
    /// If the configuration has no or more than 255 reactors or namespaces.
    pub fn start(config: Config, application: Arc<dyn Application>) -> io::Result<Self> {
        Self::start_with(config, &Layer::Sockets(application))
    }

    /// Starts a server of bare Engine.IO sessions, otherwise as [`Server::start`].
    pub fn start_sessions(config: Config, application: Arc<dyn SessionApplication>) -> io::Result<Self> {
        Self::start_with(config, &Layer::Sessions(application))
    }

    fn start_with(config: Config, layer: &Layer) -> io::Result<Self> {
        assert!((1..=255).contains(&config.reactors), "from 1 to 255 reactors");
        assert!((1..=255).contains(&config.namespaces.len()), "from 1 to 255 namespaces");
        let seeds = (0..config.reactors).map(|_| Seed::new()).collect::<io::Result<Vec<_>>>()?;
        let mut instance = [0; 4];
        config.random.fill(&mut instance);
        let intake = Arc::new(Intake::new(&config));
        let reactors = seeds
            .iter()
            .map(|seed| ReactorHandle {
                mailbox: Arc::clone(&seed.mailbox),
                counters: Arc::clone(&seed.counters),
            })
            .collect();
        let server = Self {
            shared: Arc::new(Shared {
                config,
                instance,
                reactors,
                threads: Mutex::default(),
                next_reactor: AtomicUsize::new(0),
                intake,
                has_fallen: watch::Sender::new(false),
            }),
        };
        for (index, seed) in (0..=u8::MAX).zip(seeds) {
            let reactor = Reactor::new(index, seed, server.clone(), layer.clone());
            let started =
                std::thread::Builder::new().name(format!("push-{index}")).spawn(move || reactor.run());
            match started {
                Ok(thread) => server.with_threads(|threads| threads.push(thread)),
                Err(error) => {
                    server.shut_down();
                    return Err(error);
                }
            }
        }
        Ok(server)
    }

    /// Answers a connect request with yes, for an application that said [`Admission::Later`]. Nothing happens if the
    /// client has gone or has been answered.
    pub fn accept(&self, socket: SocketId, tag: Option<u64>) {
        self.push(socket.reactor, Command::Admit { socket, admission: Admission::Accept { tag } });
    }

    /// Answers a connect request with no; `reason_json` is a JSON object, by custom with a `message`. Nothing happens
    /// if the client has gone or has been answered.
    pub fn refuse(&self, socket: SocketId, reason_json: &str) {
        let admission = Admission::Refuse { reason_json: reason_json.to_owned() };
        self.push(socket.reactor, Command::Admit { socket, admission });
    }

    /// One socket. What is emitted to a socket that has not joined, or has left, is dropped.
    pub fn socket(&self, socket: SocketId) -> Target<'_> {
        Target { server: self, destination: Destination::Socket(socket) }
    }

    /// All sockets of `namespace` that are in `room` when their thread comes to the packet.
    ///
    /// # Panics
    /// If the namespace is not configured.
    pub fn room(&self, namespace: &str, room: &str) -> Target<'_> {
        let namespace = self.require_namespace(namespace);
        Target { server: self, destination: Destination::Room { namespace, room: room.into() } }
    }

    /// All sockets of `namespace` that were accepted with `tag`.
    ///
    /// # Panics
    /// If the namespace is not configured.
    pub fn tag(&self, namespace: &str, tag: u64) -> Target<'_> {
        let namespace = self.require_namespace(namespace);
        Target { server: self, destination: Destination::Tag { namespace, tag } }
    }

    /// All sockets of `namespace` that were accepted with one of `tags`.
    ///
    /// # Panics
    /// If the namespace is not configured.
    pub fn tags(&self, namespace: &str, tags: impl Into<Arc<[u64]>>) -> Target<'_> {
        let namespace = self.require_namespace(namespace);
        Target { server: self, destination: Destination::Tags { namespace, tags: tags.into() } }
    }

    /// All sockets of `namespace`.
    ///
    /// # Panics
    /// If the namespace is not configured.
    pub fn everyone(&self, namespace: &str) -> Target<'_> {
        let namespace = self.require_namespace(namespace);
        Target { server: self, destination: Destination::Everyone { namespace } }
    }

    /// Emits to one socket; short for `socket(…).emit(…)`.
    pub fn emit(&self, socket: SocketId, name: &str, arguments: &[&str]) {
        self.socket(socket).emit(name, arguments);
    }

    /// Emits to one socket and asks its client to acknowledge under `ack_id`, which the embedder chooses and must not
    /// exceed 2^53 - 1. The answer comes as [`Application::acknowledged`]; nothing is kept for it here.
    pub fn emit_with_ack(&self, socket: SocketId, name: &str, arguments: &[&str], ack_id: u64) {
        let frames = encode::event(self.namespace(socket.namespace), name, arguments, &[], Some(ack_id));
        self.push(socket.reactor, Command::Send { destination: Destination::Socket(socket), frames });
    }

    /// Emits an event with one argument to many tags of `namespace`, each with an argument of its own: one command for
    /// each thread, however many there are. `argument` gives the text of one JSON value for the tag at a place. It is
    /// called on the threads that hold the connections, for those tags only that somebody here has: of the news of a fleet
    /// each server needs a small part. It must not block; if it panics, those whom the event is for are disconnected.
    ///
    /// # Panics
    /// If the namespace is not configured.
    pub fn emit_many(
        &self,
        namespace: &str,
        name: &str,
        tags: Vec<u64>,
        argument: impl Fn(usize) -> String + Send + Sync + 'static,
    ) {
        let index = self.require_namespace(namespace);
        if tags.is_empty() {
            return;
        }
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let frames = move |place| encode::event(&namespace, &name, &[&argument(place)], &[], None);
        let mailing = Arc::new(Mailing { namespace: index, tags, frames: Box::new(frames) });
        self.push_to_all(|| Command::SendMany(Arc::clone(&mailing)));
    }

    /// Acknowledges an event of a client; each argument is the text of one JSON value.
    pub fn acknowledge(&self, ack: Ack, arguments: &[&str]) {
        self.acknowledge_binary(ack, arguments, &[]);
    }

    /// Acknowledges an event of a client with binary parts, to which placeholders in the arguments refer.
    pub fn acknowledge_binary(&self, ack: Ack, arguments: &[&str], attachments: &[Bytes]) {
        let Ack { socket, ack_id } = ack;
        let frames =
            encode::acknowledgement(self.namespace(socket.namespace), ack_id, arguments, attachments);
        self.push(socket.reactor, Command::Send { destination: Destination::Socket(socket), frames });
    }

    /// Puts a socket into a room of its namespace; it leaves with the socket. Idempotent.
    pub fn join(&self, socket: SocketId, room: &str) {
        self.push(socket.reactor, Command::Join { socket, room: room.into() });
    }

    /// Takes a socket out of a room. Idempotent.
    pub fn leave(&self, socket: SocketId, room: &str) {
        self.push(socket.reactor, Command::Leave { socket, room: room.into() });
    }

    /// Removes a socket from its namespace, whose client then does not come back by itself; with `closes_connection`
    /// its other namespaces go too.
    pub fn disconnect(&self, socket: SocketId, closes_connection: bool) {
        self.push(socket.reactor, Command::Disconnect { socket, closes_connection });
    }

    /// The name by which the client knows the socket.
    pub fn sid(&self, socket: SocketId) -> String {
        let mut bytes = [0; 14];
        bytes[..4].copy_from_slice(&self.shared.instance);
        bytes[4] = socket.reactor;
        bytes[5] = socket.namespace;
        bytes[6..10].copy_from_slice(&socket.key.to_be_bytes());
        bytes[10..].copy_from_slice(&socket.generation.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Sends a message on a bare session; dropped if the session has ended.
    pub fn send(&self, session: SessionId, message: Message<'_>) {
        let frames = match message {
            Message::Text(text) => Frames::text(text),
            Message::Binary(bytes) => Frames::binary(bytes),
        };
        self.push(session.reactor, Command::SendToSession { session, frames });
    }

    /// Ends a bare session.
    pub fn close_session(&self, session: SessionId) {
        self.push(session.reactor, Command::CloseSession { session });
    }

    /// What the server has counted so far.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        let mut counts = Counts::default();
        shared.intake.add_to(&mut counts);
        for reactor in &shared.reactors {
            reactor.counters.add_to(&mut counts);
        }
        counts
    }

    /// Refuses new sessions from now on, and closes those that exist one after the other within the given time, so
    /// that their clients reconnect elsewhere without a storm. [`Server::drained`] waits for it.
    pub fn drain(&self, within: Duration) {
        self.shared.intake.close();
        self.push_to_all(|| Command::Drain { within });
    }

    /// Waits until no session is left, which after [`Server::drain`] stays so.
    pub async fn drained(&self) {
        self.shared.intake.emptied().await;
    }

    /// Waits until one of the threads has panicked, which is a defect of this crate. The sessions of that thread are gone
    /// and nobody is taken in any more; the others are served until the embedder ends.
    pub async fn fallen(&self) {
        let mut has_fallen = self.shared.has_fallen.subscribe();
        // It ends without that only with this server.
        let _is_dropped = has_fallen.wait_for(|has_fallen| *has_fallen).await;
    }

    /// Closes all sessions, ends the threads and waits for them. Idempotent. Not from inside an application's call,
    /// which would wait for itself.
    pub fn shut_down(&self) {
        self.shared.intake.close();
        self.push_to_all(|| Command::ShutDown);
        for thread in self.with_threads(std::mem::take) {
            if thread.join().is_err() {
                tracing::error!("a push thread had panicked");
            }
        }
    }

    /// What the server was started with.
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn push(&self, reactor: u8, command: Command) {
        // A session's name comes from outside, so its reactor may be none of ours.
        if let Some(reactor) = self.shared.reactors.get(usize::from(reactor)) {
            reactor.mailbox.push(command);
        }
    }

    pub(crate) fn push_arrival(&self, arrival: Arrival) {
        let reactor = match &arrival.purpose {
            Purpose::NewSession(_) => self.pick_reactor(),
            Purpose::Upgrade(session) => session.reactor,
        };
        if let Some(reactor) = self.shared.reactors.get(usize::from(reactor)) {
            reactor.mailbox.push_arrival(arrival);
        }
    }

    /// The next reactor in turn.
    pub(crate) fn pick_reactor(&self) -> u8 {
        let next = self.shared.next_reactor.fetch_add(1, Relaxed) % self.shared.reactors.len();
        u8::try_from(next).expect("there are at most 255 reactors")
    }

    /// Takes one more session in, if the limits allow it.
    pub(crate) fn reserve(&self) -> Result<Reservation, Refusal> {
        self.shared.intake.reserve()
    }

    pub(crate) fn has_memory(&self) -> bool {
        self.shared.intake.has_memory()
    }

    /// Notes that a thread has panicked.
    pub(crate) fn fall(&self) {
        self.shared.intake.close();
        self.shared.has_fallen.send_replace(true);
    }

    pub(crate) fn release_connection(&self) {
        self.shared.intake.release();
    }

    pub(crate) fn lookup_namespace(&self, name: &str) -> Option<u8> {
        let index = self.shared.config.namespaces.iter().position(|namespace| namespace == name)?;
        Some(u8::try_from(index).expect("there are at most 255 namespaces"))
    }

    pub(crate) fn namespace(&self, index: u8) -> &str {
        &self.shared.config.namespaces[usize::from(index)]
    }

    fn require_namespace(&self, name: &str) -> u8 {
        self.lookup_namespace(name).expect("the embedder names namespaces that it configured")
    }

    fn push_to_all(&self, command: impl Fn() -> Command) {
        for reactor in &self.shared.reactors {
            reactor.mailbox.push(command());
        }
    }

    fn with_threads<T>(&self, action: impl FnOnce(&mut Vec<JoinHandle<()>>) -> T) -> T {
        action(&mut self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Target<'_> {
    /// Emits an event; each argument is the text of one JSON value. It is serialized and framed once, here, and shared
    /// by all recipients.
    pub fn emit(self, name: &str, arguments: &[&str]) {
        self.emit_binary(name, arguments, &[]);
    }

    /// Emits an event with binary parts, to which placeholders `{"_placeholder":true,"num":N}` in the arguments refer.
    pub fn emit_binary(self, name: &str, arguments: &[&str], attachments: &[Bytes]) {
        let Self { server, destination } = self;
        let namespace = match destination {
            Destination::Socket(SocketId { namespace, .. })
            | Destination::Room { namespace, .. }
            | Destination::Tag { namespace, .. }
            | Destination::Tags { namespace, .. }
            | Destination::Everyone { namespace } => namespace,
        };
        let frames = encode::event(server.namespace(namespace), name, arguments, attachments, None);
        if let Destination::Socket(socket) = destination {
            server.push(socket.reactor, Command::Send { destination, frames });
        } else {
            server.push_to_all(|| Command::Send { destination: destination.clone(), frames: frames.clone() });
        }
    }
}
