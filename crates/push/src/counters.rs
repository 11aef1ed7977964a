//! What the server counts. Each thread counts for itself, without locks; a reader adds them up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A moment's figures, added up over all threads. Each figure is exact; they are not of the very same instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that exist, accepted but not yet answered ones included.
    pub connections: u64,
    /// Sockets that have joined a namespace and not left it.
    pub sockets: u64,
    /// Sessions opened since the start.
    pub connections_opened: u64,
    /// Sessions refused because the server was full or being emptied.
    pub refused_full: u64,
    /// Sessions refused because too many came within one second.
    pub refused_rate: u64,
    /// Sessions refused because there was no memory for them.
    pub refused_memory: u64,
    /// Sessions that moved from long-polling to a WebSocket.
    pub upgrades: u64,
    /// Connections dropped because the client did not read.
    pub slow_readers_dropped: u64,
    /// Connections closed because of what the client sent.
    pub malformed_closed: u64,
    /// Connections closed because a ping was not answered.
    pub ping_timeouts: u64,
    /// Messages of clients, heart-beats not counted.
    pub messages_in: u64,
    /// Frames to clients, each recipient of a broadcast counted, pings included.
    pub frames_out: u64,
}

/// One thread's share of the counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sockets_joined: AtomicU64,
    pub(crate) sockets_left: AtomicU64,
    pub(crate) connections_opened: AtomicU64,
    pub(crate) upgrades: AtomicU64,
    pub(crate) slow_readers_dropped: AtomicU64,
    pub(crate) malformed_closed: AtomicU64,
    pub(crate) ping_timeouts: AtomicU64,
    pub(crate) messages_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
}

impl Counters {
    pub(crate) fn add_to(&self, counts: &mut Counts) {
        // Joined is read after left, so that a socket that joins and leaves meanwhile cannot make the sum negative.
        let left = self.sockets_left.load(Relaxed);
        counts.sockets += self.sockets_joined.load(Relaxed).saturating_sub(left);
        counts.connections_opened += self.connections_opened.load(Relaxed);
        counts.upgrades += self.upgrades.load(Relaxed);
        counts.slow_readers_dropped += self.slow_readers_dropped.load(Relaxed);
        counts.malformed_closed += self.malformed_closed.load(Relaxed);
        counts.ping_timeouts += self.ping_timeouts.load(Relaxed);
        counts.messages_in += self.messages_in.load(Relaxed);
        counts.frames_out += self.frames_out.load(Relaxed);
    }
}

/// Adds one, by the only thread that writes this counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}
