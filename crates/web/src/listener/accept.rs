//! One thread: takes connections from its socket, serves them, and lets them finish at shutdown.

use std::io;
use std::mem::MaybeUninit;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::{SockRef, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use super::connection::{serve, shutdown_begun};
use super::dispatch::{Dispatch, Peer, Site};
use super::{BACKLOG, ListenerConfig};

/// After running out of files: give connections the time to close.
const BREATHER: Duration = Duration::from_millis(50);

/// What is written to a connection that is one too many.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What is taken of what it has sent before: more than a buy request or a handshake has.
const REQUEST_LEN: usize = 4_096;

/// What one thread works with.
pub(super) struct Thread {
    pub(super) socket: Socket,
    pub(super) site: Site,
    pub(super) config: ListenerConfig,
    pub(super) open_connections: Arc<AtomicUsize>,
    pub(super) draining: CancellationToken,
}

impl Thread {
    /// Serves until `draining`, and until connections have finished or may take no longer.
    pub(super) fn serve(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_io_events_per_tick(1_024)
            .build_local(LocalOptions::default())?;
        runtime.block_on(self.accept())
    }

    async fn accept(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket.into())?;
        let dispatch = Rc::new(Dispatch::new(self.site));
        let connections = TaskTracker::new();
        let begin = |accepted: (TcpStream, std::net::SocketAddr)| {
            let (stream, peer) = accepted;
            let Some(place) = Place::take(&self.open_connections, self.config.connections_max) else {
                turn_away(&stream);
                return;
            };
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "a connection was gone at once");
                return;
            }
            let served = serve(stream, Peer(peer), dispatch.clone(), self.config, self.draining.clone());
            connections.spawn_local(async move {
                served.await;
                drop(place);
            });
        };
        let mut shutdown = pin!(shutdown_begun(&self.draining));
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => begin(accepted),
                    Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection was gone at once"),
                    Err(error) => {
                        error!(%error, "cannot take connections");
                        tokio::time::sleep(BREATHER).await;
                    }
                },
            }
        }
        // Those that the system has accepted already were promised an answer, however many they are: tokio would have this
        // task give way after some. More than the system keeps came later.
        for _ in 0..=BACKLOG {
            match unconstrained(listener.accept()).now_or_never() {
                None => break,
                Some(Ok(accepted)) => begin(accepted),
                Some(Err(error)) if is_of_one_connection(&error) => {
                    debug!(%error, "a connection was gone at once");
                }
                Some(Err(error)) => {
                    error!(%error, "cannot take the last connections");
                    break;
                }
            }
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(self.config.drain_timeout, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "connections were cut at shutdown");
        }
        Ok(())
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn turn_away(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    // A connection that is closed with something unread is reset, and whoever is told so may not read the answer.
    let mut request = [MaybeUninit::uninit(); REQUEST_LEN];
    let _unread = socket.recv(&mut request);
    // Best effort: the connection is new, so these few bytes fit.
    let _unsent = socket.send(FULL);
    metrics::counter!("miaosha_connections_refused_total").increment(1);
}

/// One of the connections that may be open, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(open.clone());
        (open.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
