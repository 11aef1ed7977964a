//! The calls of a crowd on one connection: read into a buffer that all connections of the thread share, judged at once, and
//! answered with one write, without hyper and without allocating. The first thing that is not such a call ends it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::answer_writer::AnswerWriter;
use super::connection::shutdown_begun;
use super::plain::{self, Front};
use super::{BUFFER_LEN_MAX, ListenerConfig};
use crate::buy::{Begun, ThreadBuyRoute, WaitingCall};

/// What all connections of a thread share.
pub(super) struct FastLane {
    buy: ThreadBuyRoute,
    buffers: RefCell<Buffers>,
}

struct Buffers {
    arrived: Box<[u8]>,
    answers: Vec<u8>,
    writer: AnswerWriter,
}

/// How a connection goes on.
#[derive(Debug)]
pub(super) enum Left {
    /// Not at all.
    Over,
    /// With these bytes, which hyper should read first.
    ToHyper(Bytes),
}

/// What happens on a connection.
enum Event {
    /// Everything that arrived is answered, or noted to be.
    Read(Progress),
    /// Time to look whether it is idle.
    Look,
    /// The process is going.
    Drain,
}

/// What became of the bytes that arrived.
enum Progress {
    /// Answered, but for the beginning of a call that is kept.
    Answered,
    /// Up to a call that waits for its batch.
    Waiting(WaitingCall),
    /// Up to something else, which is kept.
    Other,
    /// The other side has closed.
    Closed,
}

/// One connection in the lane.
struct Visit<'a> {
    lane: &'a FastLane,
    stream: &'a mut TcpStream,
    /// What has arrived and is not answered: nothing, but when a call came in pieces, or behind one that waits.
    kept: Vec<u8>,
    /// Whether whole calls may be among what is kept.
    is_kept_unread: bool,
    /// Whether as much came as there was room for, so that there is probably more.
    was_full: bool,
    /// What could not be sent at once.
    unsent: Vec<u8>,
}

impl FastLane {
    pub(super) fn new(buy: ThreadBuyRoute) -> Self {
        let buffers = Buffers {
            arrived: vec![0; BUFFER_LEN_MAX].into(),
            answers: Vec::with_capacity(BUFFER_LEN_MAX),
            writer: AnswerWriter::default(),
        };
        Self { buy, buffers: RefCell::new(buffers) }
    }

    /// The route, for calls that are not plain.
    pub(super) fn buy(&self) -> &ThreadBuyRoute {
        &self.buy
    }

    /// Answers the calls of a connection until something else comes. Whether it is idle is looked at whenever `look` ends,
    /// every `head_timeout`.
    pub(super) async fn serve(
        &self,
        stream: &mut TcpStream,
        mut look: Pin<&mut Sleep>,
        &ListenerConfig { head_timeout, idle_timeout, .. }: &ListenerConfig,
        draining: &CancellationToken,
    ) -> Left {
        let mut shutdown = pin!(shutdown_begun(draining));
        let mut visit = Visit {
            lane: self,
            stream,
            kept: Vec::new(),
            is_kept_unread: false,
            was_full: false,
            unsent: Vec::new(),
        };
        let mut idle_looks = 0;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(progress) = visit.poll_read(context) {
                    return Poll::Ready(Event::Read(progress));
                }
                if shutdown.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Drain);
                }
                look.as_mut().poll(context).map(|()| Event::Look)
            })
            .await;
            let sent = match event {
                Event::Read(Progress::Other) => {
                    if visit.send(idle_timeout).await.is_err() {
                        return Left::Over;
                    }
                    return Left::ToHyper(visit.kept.into());
                }
                Event::Read(Progress::Answered) => visit.send(idle_timeout).await,
                Event::Read(Progress::Waiting(call)) => visit.finish(call, draining, idle_timeout).await,
                // What has begun to come is given its time by hyper.
                Event::Look | Event::Drain if !visit.kept.is_empty() => {
                    return Left::ToHyper(visit.kept.into());
                }
                Event::Read(Progress::Closed) | Event::Drain => return Left::Over,
                Event::Look => {
                    idle_looks += 1;
                    if head_timeout * idle_looks > idle_timeout {
                        return Left::Over;
                    }
                    look.as_mut().reset(Instant::now() + head_timeout);
                    continue;
                }
            };
            if sent.is_err() {
                return Left::Over;
            }
            idle_looks = 0;
            if visit.was_full {
                // Whoever keeps sending does not keep the others waiting.
                tokio::task::yield_now().await;
            }
        }
    }
}

impl Visit<'_> {
    /// Reads what has come and answers it.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Progress> {
        let buffers = &mut *self.lane.buffers.borrow_mut();
        let kept_len = self.kept.len();
        buffers.arrived[..kept_len].copy_from_slice(&self.kept);
        if std::mem::take(&mut self.is_kept_unread) {
            return Poll::Ready(self.answer(buffers, kept_len));
        }
        let mut room = ReadBuf::new(&mut buffers.arrived[kept_len..]);
        let Ok(()) = ready!(Pin::new(&mut *self.stream).poll_read(context, &mut room)) else {
            return Poll::Ready(Progress::Closed);
        };
        let read_len = room.filled().len();
        self.was_full = room.remaining() == 0;
        if read_len == 0 {
            return Poll::Ready(Progress::Closed);
        }
        Poll::Ready(self.answer(buffers, kept_len + read_len))
    }

    /// Answers the whole calls among the first `len` bytes that arrived; keeps the rest.
    fn answer(&mut self, buffers: &mut Buffers, len: usize) -> Progress {
        let Buffers { arrived, answers, writer } = buffers;
        let mut arrived = &arrived[..len];
        answers.clear();
        let arrival = self.lane.buy.arrival();
        let progress = loop {
            match plain::read(arrived) {
                Front::Call(call, call_len) => {
                    let begun = self.lane.buy.begin(&call, arrival);
                    arrived = &arrived[call_len..];
                    match begun {
                        Begun::Answered(answer) => writer.write(answer, false, arrival.now, answers),
                        Begun::Waiting(call) => break Progress::Waiting(call),
                    }
                }
                Front::Incomplete if arrived.len() < BUFFER_LEN_MAX => break Progress::Answered,
                Front::Incomplete | Front::Other => break Progress::Other,
            }
        };
        self.kept.clear();
        self.kept.extend_from_slice(arrived);
        self.give(answers);
        progress
    }

    /// Answers a call when its batch is settled.
    async fn finish(
        &mut self,
        call: WaitingCall,
        draining: &CancellationToken,
        send_timeout: Duration,
    ) -> io::Result<()> {
        let answer = self.lane.buy.finish(call).await;
        {
            let Buffers { answers, writer, .. } = &mut *self.lane.buffers.borrow_mut();
            let closes = draining.is_cancelled() && self.kept.is_empty();
            answers.clear();
            writer.write(answer, closes, self.lane.buy.now(), answers);
            self.give(answers);
        }
        self.is_kept_unread = !self.kept.is_empty();
        self.send(send_timeout).await
    }

    /// Sends what the system takes at once, and keeps the rest.
    fn give(&mut self, answers: &[u8]) {
        if answers.is_empty() {
            return;
        }
        // A connection that is broken is noticed when the rest is sent.
        let sent = if self.unsent.is_empty() { self.stream.try_write(answers).unwrap_or(0) } else { 0 };
        self.unsent.extend_from_slice(&answers[sent..]);
    }

    /// Sends what could not be sent at once.
    async fn send(&mut self, timeout: Duration) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = tokio::time::timeout(timeout, self.stream.write_all(&self.unsent)).await;
        self.unsent.clear();
        sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::poll;
    use miaosha_app::board::Board;
    use miaosha_app::request_buy::{DeskLimits, RequestDesk};
    use miaosha_embedded::{InProcessQueue, SystemClock};
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;
    use crate::buy::BuyRoute;
    use crate::tokens::{Keyring, Secret};
    use crate::web::WebLimits;

    /// A lane that knows of no sale.
    fn lane() -> FastLane {
        let (clock, queue) = (Arc::new(SystemClock), Arc::new(InProcessQueue::new(1)));
        let desk = RequestDesk::new(clock.clone(), queue, DeskLimits::default());
        let secret = Secret { kid: "k1".to_owned(), bytes: vec![7; 32] };
        let keyring = Keyring::new(secret, Vec::new()).unwrap();
        let (board, limits) = (Arc::new(Board::new()), WebLimits::default());
        let readiness = Arc::new(Vec::new);
        let route = BuyRoute::new(board, Arc::new(desk), Arc::new(keyring), clock, readiness, &limits);
        FastLane::new(Arc::new(route).for_thread())
    }

    #[tokio::test]
    async fn one_who_keeps_sending_lets_the_others_have_their_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let call = "POST /api/v1/sales/1/requests HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        client.write_all(call.repeat(3 * BUFFER_LEN_MAX / call.len()).as_bytes()).await.unwrap();
        stream.readable().await.unwrap();

        let (lane, config, draining) = (lane(), ListenerConfig::default(), CancellationToken::new());
        let mut look = pin!(sleep(config.head_timeout));
        let mut served = pin!(lane.serve(&mut stream, look.as_mut(), &config, &draining));
        assert!(poll!(served.as_mut()).is_pending());
        client.readable().await.unwrap();
        let mut answers = vec![0; 1024 * 1024];
        let len = client.try_read(&mut answers).unwrap();
        let answered = String::from_utf8_lossy(&answers[..len]).matches("HTTP/1.1 ").count();
        assert!((1..=BUFFER_LEN_MAX / call.len()).contains(&answered), "{answered}");
    }
}
