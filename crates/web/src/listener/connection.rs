//! One connection: the plain calls of a crowd in the fast lane, any other plain request by hyper, one at a time; from the
//! first that is not plain on, all that follows by hyper. And its patience.
//!
//! hyper's own timeout for heads also counts the time between requests and makes a timer for each of them. Here a
//! connection has one timer, which looks every `head_timeout` at what has happened since: nothing (it is idle), or
//! something that is no whole head yet. While a request is under way, or its answer is being sent, it may take its time:
//! routes have timeouts of their own.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use miaosha_push::http::ReadAhead;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tracing::trace;

use super::dispatch::{Dispatch, Peer, SiteBody};
use super::fast_lane::Left;
use super::one_request::OneRequest;
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
    let mut ahead = Vec::new();
    let by_hyper = ByHyper { peer, dispatch: &dispatch, config: &config, draining: &draining };
    let Some(lane) = dispatch.fast_lane() else {
        return by_hyper.answer_all(Bytes::new(), stream, look).await;
    };
    loop {
        match lane.serve(&mut stream, ahead, look.as_mut(), &config, &draining).await {
            Left::Over => return,
            Left::ForOne { first, rest_len, behind } => {
                let request = OneRequest::new(first, rest_len, stream);
                let Some(taken_back) = by_hyper.answer_one(request, look.as_mut()).await else { return };
                (stream, ahead) = (taken_back, behind);
            }
            Left::ForGood(taken) => return by_hyper.answer_all(taken, stream, look).await,
        }
    }
}

/// How hyper answers on one connection.
struct ByHyper<'a> {
    peer: Peer,
    dispatch: &'a Dispatch,
    config: &'a ListenerConfig,
    draining: &'a CancellationToken,
}

impl ByHyper<'_> {
    /// Answers a request; the connection behind it, unless that is over.
    async fn answer_one(&self, request: OneRequest, look: Pin<&mut Sleep>) -> Option<TcpStream> {
        let patience = Rc::new(Patience::default());
        patience.note_progress();
        let progress = request.progress();
        let service = service_fn(|request| self.answer(request, &patience));
        let mut connection = builder().serve_connection(TokioIo::new(request), service);
        let is_answered = || patience.has_answered() && progress.is_complete();
        let end = self.drive(Pin::new(&mut connection), &patience, look, is_answered).await;
        matches!(end, End::Answered).then(|| connection.into_parts().io.into_inner().into_stream())
    }

    /// Answers whatever comes, of which `taken` was read before.
    async fn answer_all(&self, taken: Bytes, stream: TcpStream, look: Pin<&mut Sleep>) {
        let patience = Rc::new(Patience::default());
        if !taken.is_empty() {
            patience.note_progress();
        }
        let service = service_fn(|request| self.answer(request, &patience));
        let stream = TokioIo::new(ReadAhead::new(taken, stream));
        let mut connection = builder().serve_connection(stream, service).with_upgrades();
        self.drive(Pin::new(&mut connection), &patience, look, || false).await;
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        patience: &Rc<Patience>,
    ) -> impl Future<Output = Result<Response<SiteBody>, Infallible>> {
        let busy = Busy::new(patience.clone());
        let answer = self.dispatch.answer(request, self.peer, busy);
        async move { Ok(answer.await) }
    }

    /// Lets hyper go on until the connection ends, its patience is over, or `is_answered`.
    async fn drive(
        &self,
        mut connection: Pin<&mut impl Http1>,
        patience: &Patience,
        mut look: Pin<&mut Sleep>,
        is_answered: impl Fn() -> bool,
    ) -> End {
        let ListenerConfig { head_timeout, idle_timeout, .. } = *self.config;
        let mut drain = pin!(self.draining.cancelled());
        let mut is_draining = false;
        // At shutdown hyper closes a connection of which it has read nothing.
        let mut has_read = !patience.has_progress();
        poll_fn(|context| {
            if !has_read {
                has_read = true;
                if connection.as_mut().poll(context).is_ready() {
                    return Poll::Ready(End::Over);
                }
            }
            if !is_draining && drain.as_mut().poll(context).is_ready() {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
            let mut was_woken_to_look = false;
            while look.as_mut().poll(context).is_ready() {
                was_woken_to_look = true;
                if patience.is_over(head_timeout, idle_timeout) {
                    return Poll::Ready(End::Over);
                }
                look.as_mut().reset(Instant::now() + head_timeout);
            }
            if !was_woken_to_look {
                patience.note_progress();
            }
            match connection.as_mut().poll(context) {
                Poll::Ready(end) => {
                    if let Err(error) = end {
                        trace!(%error, "a connection broke");
                    }
                    Poll::Ready(End::Over)
                }
                Poll::Pending if !is_draining && is_answered() => Poll::Ready(End::Answered),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// How hyper's part ends.
enum End {
    /// The connection is over, or handed over.
    Over,
    /// The one request is answered.
    Answered,
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_MAX).max_buf_size(BUFFER_LEN_MAX).header_read_timeout(None);
    builder
}

/// A connection of hyper, with or without upgrades.
trait Http1: Future<Output = hyper::Result<()>> {
    /// Lets it end after the request that is under way.
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, S> Http1 for http1::Connection<I, S>
where
    I: Read + Write + Unpin,
    S: HttpService<Incoming, ResBody = SiteBody, Error = Infallible>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::Connection::graceful_shutdown(self);
    }
}

impl<I, S> Http1 for http1::UpgradeableConnection<I, S>
where
    I: Read + Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = SiteBody, Error = Infallible>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::UpgradeableConnection::graceful_shutdown(self);
    }
}

/// What has happened on a connection since its last request was answered.
#[derive(Debug, Default)]
pub(super) struct Patience {
    requests: Cell<u32>,
    progress: Cell<u32>,
    looks_idle: Cell<u32>,
    looks_begun: Cell<u32>,
    has_answered: Cell<bool>,
}

impl Patience {
    /// The connection was woken: bytes came or went.
    fn note_progress(&self) {
        self.progress.set(self.progress.get().saturating_add(1));
    }

    fn has_progress(&self) -> bool {
        self.progress.get() > 0
    }

    /// Whether a request was answered, and none is under way.
    fn has_answered(&self) -> bool {
        self.has_answered.get() && self.requests.get() == 0
    }

    /// One look, every `every`: whether a head has been begun for a whole such span, or the connection has been idle for
    /// too long.
    fn is_over(&self, every: Duration, idle_timeout: Duration) -> bool {
        if self.requests.get() > 0 {
            return false;
        }
        let looks = if self.has_progress() { &self.looks_begun } else { &self.looks_idle };
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
}

impl Drop for Busy {
    fn drop(&mut self) {
        let patience = &self.0;
        patience.requests.set(patience.requests.get() - 1);
        patience.has_answered.set(true);
        patience.progress.set(0);
        patience.looks_idle.set(0);
        patience.looks_begun.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(30);

    fn looks_until_over(patience: &Patience) -> usize {
        (1..100).find(|_| patience.is_over(EVERY, IDLE)).unwrap()
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
        assert!(!patience.is_over(EVERY, IDLE));
        let busy = Busy::new(patience.clone());
        patience.note_progress();
        assert!((0..100).all(|_| !patience.is_over(EVERY, IDLE)));
        drop(busy);
        assert_eq!(looks_until_over(&patience), 7);
    }
}
