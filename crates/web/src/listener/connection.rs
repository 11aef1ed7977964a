//! One connection: first the plain calls of a crowd, then HTTP/1.1 by hyper, and its patience.
//!
//! hyper's own timeout for heads also counts the time between requests and makes a timer for each of them. Here a
//! connection has one timer, which looks every `head_timeout` at what has happened since: nothing (it is idle), or
//! something that is no whole head yet. While a request is under way it may take its time, as routes have timeouts of their
//! own; and so may its answer, as long as the client reads.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use miaosha_push::http::ReadAhead;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::dispatch::{Dispatch, Peer};
use super::fast_lane::Left;
use super::{BUFFER_LEN_MAX, HEADERS_MAX, ListenerConfig};

/// Serves one connection until either side ends it, it is handed over, or its patience is over.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: Peer,
    dispatch: Rc<Dispatch>,
    config: ListenerConfig,
    draining: CancellationToken,
) {
    let mut look = pin!(sleep(config.head_timeout));
    let mut taken = Bytes::new();
    if let Some(lane) = dispatch.fast_lane() {
        let left = lane.serve(&mut stream, look.as_mut(), &config, &draining).await;
        match left {
            Left::Over => return,
            Left::ToHyper(bytes) => taken = bytes,
        }
    }
    let patience = Rc::new(Patience::default());
    if !taken.is_empty() {
        patience.note_progress();
    }
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let busy = Busy::new(patience.clone());
        let answer = dispatch.answer(request, peer, busy);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_LEN_MAX)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(ReadAhead::new(taken, stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut shutdown = pin!(shutdown_begun(&draining));
    let mut is_draining = false;
    poll_fn(|context| {
        if !is_draining && shutdown.as_mut().poll(context).is_ready() {
            is_draining = true;
            // From here on hyper takes nothing that it has not begun to read.
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            connection.as_mut().graceful_shutdown();
        }
        let mut was_woken_to_look = false;
        while look.as_mut().poll(context).is_ready() {
            was_woken_to_look = true;
            if patience.is_over(&config) {
                return Poll::Ready(());
            }
            look.as_mut().reset(Instant::now() + config.head_timeout);
        }
        if !was_woken_to_look {
            patience.note_progress();
        }
        connection.as_mut().poll(context).map(|end| {
            if let Err(error) = end {
                trace!(%error, "a connection broke");
            }
        })
    })
    .await;
}

/// Returns when the process is going and the system was asked once more what has come: a thread that was busy may not
/// have heard of all that came before.
pub(super) async fn shutdown_begun(draining: &CancellationToken) {
    draining.cancelled().await;
    // The runtime asks the system before it comes back.
    tokio::task::yield_now().await;
}

/// What has happened on a connection since its last request was answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    requests: Cell<u32>,
    progress: Cell<u32>,
    looks_idle: Cell<u32>,
    looks_begun: Cell<u32>,
    /// Whether there is an answer to the request under way.
    is_answered: Cell<bool>,
    /// Looks in a row that found nothing of the answer gone since the look before.
    looks_stalled: Cell<u32>,
    has_moved: Cell<bool>,
}

impl Patience {
    /// The connection was woken: bytes came or went.
    fn note_progress(&self) {
        self.progress.set(self.progress.get().saturating_add(1));
        self.has_moved.set(true);
    }

    /// One look, every `head_timeout`: whether a head has been begun for a whole such span, or nothing has happened for too
    /// long.
    fn is_over(&self, config: &ListenerConfig) -> bool {
        let &ListenerConfig { head_timeout: every, idle_timeout, stall_timeout, .. } = config;
        let has_moved = self.has_moved.take();
        if self.requests.get() > 0 {
            let is_stalled = self.is_answered.get() && !has_moved;
            self.looks_stalled.set(if is_stalled { self.looks_stalled.get() + 1 } else { 0 });
            return every * self.looks_stalled.get() >= stall_timeout;
        }
        let looks = if self.progress.get() > 0 { &self.looks_begun } else { &self.looks_idle };
        looks.set(looks.get() + 1);
        self.looks_begun.get() > 1 || every * self.looks_idle.get() > idle_timeout
    }
}

/// A request under way, or its answer. When it is dropped, the wait for the next begins.
#[derive(Debug)]
pub(super) struct Busy(Rc<Patience>);

impl Busy {
    fn new(patience: Rc<Patience>) -> Self {
        patience.requests.set(patience.requests.get() + 1);
        Self(patience)
    }

    /// From here on it is up to the client.
    pub(super) fn note_answer(&self) {
        self.0.is_answered.set(true);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let patience = &self.0;
        patience.requests.set(patience.requests.get() - 1);
        patience.progress.set(0);
        patience.looks_idle.set(0);
        patience.looks_begun.set(0);
        patience.is_answered.set(false);
        patience.looks_stalled.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_over(patience: &Patience) -> bool {
        let config = ListenerConfig::default();
        assert_eq!(config.head_timeout * 6, config.idle_timeout);
        assert_eq!(config.head_timeout * 12, config.stall_timeout);
        patience.is_over(&config)
    }

    fn looks_until_over(patience: &Patience) -> usize {
        (1..100).find(|_| is_over(patience)).unwrap()
    }

    #[test]
    fn an_idle_connection_is_kept_for_its_time_and_a_begun_head_for_less() {
        assert_eq!(looks_until_over(&Patience::default()), 7);
        let begun = Patience::default();
        begun.note_progress();
        assert_eq!(looks_until_over(&begun), 2);
    }

    #[test]
    fn a_request_under_way_takes_its_time_and_starts_the_wait_anew() {
        let patience = Rc::new(Patience::default());
        patience.note_progress();
        assert!(!is_over(&patience));
        let busy = Busy::new(patience.clone());
        assert!((0..100).all(|_| !is_over(&patience)), "it is not up to the client");
        busy.note_answer();
        for _ in 0..100 {
            patience.note_progress();
            assert!((0..12).all(|_| !is_over(&patience)), "as long as it reads");
        }
        drop(busy);
        assert_eq!(looks_until_over(&patience), 7);
    }

    #[test]
    fn an_answer_of_which_nothing_is_read_any_more_is_given_up() {
        let patience = Rc::new(Patience::default());
        let busy = Busy::new(patience.clone());
        busy.note_answer();
        patience.note_progress();
        assert!(!is_over(&patience), "something was read");
        assert_eq!(looks_until_over(&patience), 12);
    }
}
