//! What other threads ask of a reactor thread, and the mailbox they ask it through.
//!
//! A reactor takes commands in the order in which they were put in, so two commands of one caller for one socket are
//! carried out in their order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mio::Waker;
use mio::net::TcpStream;
use tokio::sync::oneshot;

use crate::application::{Admission, SocketId};
use crate::engine::session_id::SessionId;
use crate::intake::Reservation;
use crate::socketio::encode::Frames;

/// The answer to a long-polling request: a body, or why there is none.
pub(crate) type PollAnswer = Result<String, Refusal>;

/// Why a request is refused; the embedder's HTTP server turns it into a status and a JSON body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    BadRequest,
    UnsupportedProtocolVersion,
    Full,
    TooManyConnects,
    NoMemory,
}

/// Who gets a packet.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    Socket(SocketId),
    Room { namespace: u8, room: Arc<str> },
    Tag { namespace: u8, tag: u64 },
    Tags { namespace: u8, tags: Arc<[u64]> },
    Everyone { namespace: u8 },
}

/// Packets for many tags, each with one of its own, made only by the threads that have somebody under the tag.
pub(crate) struct Mailing {
    pub(crate) namespace: u8,
    pub(crate) tags: Vec<u64>,
    /// The packet for the tag at this place.
    pub(crate) frames: Box<dyn Fn(usize) -> Frames + Send + Sync>,
}

impl fmt::Debug for Mailing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mailing").field("tags", &self.tags).finish_non_exhaustive()
    }
}

/// One thing to do on a reactor thread.
#[derive(Debug)]
pub(crate) enum Command {
    OpenPolling { reservation: Reservation, answer: oneshot::Sender<PollAnswer> },
    Poll { session: SessionId, answer: oneshot::Sender<PollAnswer> },
    PollAbandoned { session: SessionId },
    Post { session: SessionId, body: Bytes, answer: oneshot::Sender<PollAnswer> },
    PrepareUpgrade { session: SessionId, answer: oneshot::Sender<Result<(), Refusal>> },
    UpgradeAbandoned { session: SessionId },
    Admit { socket: SocketId, admission: Admission },
    Send { destination: Destination, frames: Frames },
    SendMany(Arc<Mailing>),
    Join { socket: SocketId, room: Arc<str> },
    Leave { socket: SocketId, room: Arc<str> },
    Disconnect { socket: SocketId, closes_connection: bool },
    SendToSession { session: SessionId, frames: Frames },
    CloseSession { session: SessionId },
    Drain { within: Duration },
    ShutDown,
}

/// A WebSocket that has finished its HTTP part.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) stream: TcpStream,
    /// What the client sent behind its request, already read.
    pub(crate) early_bytes: Bytes,
    pub(crate) purpose: Purpose,
}

/// What a new WebSocket is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    NewSession(Reservation),
    Upgrade(SessionId),
}

/// Where a reactor's commands wait.
#[derive(Debug)]
pub(crate) struct Mailbox {
    content: Mutex<Content>,
    /// Whether the reactor will look into the mailbox anyway.
    is_awake: AtomicBool,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Content {
    commands: Vec<Command>,
    arrivals: VecDeque<Arrival>,
    is_closed: bool,
}

impl Mailbox {
    /// An empty mailbox whose reactor is awake.
    pub(crate) fn new(waker: Waker) -> Self {
        Self { content: Mutex::default(), is_awake: AtomicBool::new(true), waker }
    }

    /// Puts a command in. Once the reactor has ended, the command is dropped, and with it whatever waits for its answer
    /// is told.
    pub(crate) fn push(&self, command: Command) {
        self.with_content(|content| {
            if !content.is_closed {
                content.commands.push(command);
            }
        });
        self.wake();
    }

    /// Puts a new WebSocket in. Arrivals wait apart, so that a storm of them does not delay commands.
    pub(crate) fn push_arrival(&self, arrival: Arrival) {
        self.with_content(|content| {
            if !content.is_closed {
                content.arrivals.push_back(arrival);
            }
        });
        self.wake();
    }

    /// Takes all commands into `commands`, which is empty, and at most `arrivals_max` arrivals.
    pub(crate) fn take(&self, commands: &mut Vec<Command>, arrivals: &mut Vec<Arrival>, arrivals_max: usize) {
        self.with_content(|content| {
            std::mem::swap(&mut content.commands, commands);
            let count = content.arrivals.len().min(arrivals_max);
            arrivals.extend(content.arrivals.drain(..count));
            if content.arrivals.is_empty() {
                // A storm is over: give back the room that it needed.
                content.arrivals.shrink_to(0);
            }
        });
    }

    /// Drops everything, now and from now on.
    pub(crate) fn close(&self) {
        let dropped = self.with_content(|content| {
            content.is_closed = true;
            (std::mem::take(&mut content.commands), std::mem::take(&mut content.arrivals))
        });
        drop(dropped);
    }

    /// Says that the reactor is about to sleep. `false` if it must not, because something waits.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.is_awake.store(false, SeqCst);
        let is_empty =
            self.with_content(|content| content.commands.is_empty() && content.arrivals.is_empty());
        if !is_empty {
            self.end_sleep();
        }
        is_empty
    }

    /// Says that the reactor is awake, so that nobody need wake it.
    pub(crate) fn end_sleep(&self) {
        self.is_awake.store(true, SeqCst);
    }

    fn wake(&self) {
        if !self.is_awake.swap(true, SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "cannot wake a push thread");
        }
    }

    fn with_content<T>(&self, action: impl FnOnce(&mut Content) -> T) -> T {
        // The content is consistent after every single push, so a panic elsewhere does not spoil it.
        action(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
