//! The listening side: a few threads, each with a socket of its own on the same address, its own single-threaded runtime
//! and its own connections. A request for the buy route is answered on the spot; one under `/socket.io/` goes to the push
//! server; any other goes, body unread, to the general runtime.
//!
//! `accept` says how a connection starts and ends, `connection` how long it may take, `fast_lane` how plain buy calls are
//! answered without hyper (`plain` says which are), `dispatch` where every other request goes.

mod accept;
mod answer_writer;
mod connection;
mod dispatch;
mod fast_lane;
mod plain;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use dispatch::{Peer, Site, SocketService};

/// How connections are taken.
#[derive(Debug, Clone, Copy)]
pub struct ListenerConfig {
    /// Threads that accept and serve.
    pub threads: NonZeroUsize,
    /// Connections open at once, without those handed over to the push server; more are told 503 and closed.
    pub connections_max: usize,
    /// How long the head of a request may take; at the latest after twice as long the connection is closed.
    pub head_timeout: Duration,
    /// How long a connection may wait between requests; at the latest one `head_timeout` later it is closed.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of an answer, or so little that the system makes no more room for it; at the latest
    /// one `head_timeout` later the connection is closed.
    pub stall_timeout: Duration,
    /// How long connections may take to finish at shutdown.
    pub drain_timeout: Duration,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            threads: NonZeroUsize::MIN,
            connections_max: 10_000,
            head_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address asked for.
    pub addr: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// Sockets that wait for [`Listener::run`].
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<Socket>,
    addr: SocketAddr,
    config: ListenerConfig,
}

const BACKLOG: i32 = 4_096;
const HEADERS_MAX: usize = 64;
const BUFFER_LEN_MAX: usize = 16 * 1_024;

impl Listener {
    /// Takes the address: from here on the system accepts connections, which wait for [`Listener::run`]. Port 0 takes a
    /// free one.
    ///
    /// # Errors
    /// [`BindError`]; also if another process has the address, though the sockets of this one share it.
    pub fn bind(addr: SocketAddr, config: ListenerConfig) -> Result<Self, BindError> {
        let failed = |source| BindError { addr, source };
        let first = open(addr).map_err(failed)?;
        let bound = first.local_addr().map_err(failed)?.as_socket().unwrap_or(addr);
        let mut sockets = vec![first];
        while sockets.len() < config.threads.get() {
            sockets.push(open_shared(bound).map_err(failed)?);
        }
        for socket in &sockets {
            socket.listen(BACKLOG).map_err(failed)?;
        }
        Ok(Self { sockets, addr: bound, config })
    }

    /// The address, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown`; then takes no more, lets what is under way finish within `drain_timeout`, and returns.
    ///
    /// # Errors
    /// If a thread cannot be started; then none is left running.
    pub async fn run(self, site: Site, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let draining = CancellationToken::new();
        // Also when this future is dropped, no thread is left behind.
        let _on_drop = draining.clone().drop_guard();
        let open_connections = Arc::new(AtomicUsize::new(0));
        let mut ends = Vec::with_capacity(self.sockets.len());
        for (number, socket) in self.sockets.into_iter().enumerate() {
            let (ended, end) = oneshot::channel();
            let thread = accept::Thread {
                socket,
                site: site.clone(),
                config: self.config,
                open_connections: open_connections.clone(),
                draining: draining.clone(),
            };
            std::thread::Builder::new().name(format!("web-{number}")).spawn(move || {
                // Nobody waits for it any more if `run` was dropped.
                let _unheard = ended.send(thread.serve());
            })?;
            ends.push(end);
        }
        shutdown.await;
        draining.cancel();
        for end in ends {
            let Ok(end) = end.await else {
                error!("a thread that served connections panicked");
                continue;
            };
            end?;
        }
        Ok(())
    }
}

/// A socket on an address that nobody else has. It is bound before it is made shareable, so that two servers on one
/// address are an error and not two halves of one.
fn open(addr: SocketAddr) -> io::Result<Socket> {
    if addr.port() != 0 {
        new_socket(addr)?.bind(&addr.into())?;
    }
    open_shared(addr)
}

fn open_shared(addr: SocketAddr) -> io::Result<Socket> {
    let socket = new_socket(addr)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

fn new_socket(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
