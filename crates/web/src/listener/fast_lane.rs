//! The calls of a crowd on one connection: read into a buffer that all connections of the thread share, judged at once, and
//! answered with one write, without hyper and without allocating. Whatever else comes is left to hyper.

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

use super::answer_writer::{AnswerWriter, Closes};
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
    /// By hyper with one plain request, and then in the lane again.
    ForOne {
        /// What has arrived of the request.
        first: Bytes,
        /// How many bytes of it are still to come.
        rest_len: usize,
        /// What has arrived behind it.
        behind: Vec<u8>,
    },
    /// By hyper, which should read these bytes first.
    ForGood(Bytes),
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
    /// Up to another plain request of this many bytes in all, which is kept.
    Request(usize),
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

    /// Answers the calls of a connection, of which `ahead` was read before, until something else comes. Whether it is idle
    /// is looked at whenever `look` ends, every `head_timeout`.
    pub(super) async fn serve(
        &self,
        stream: &mut TcpStream,
        ahead: Vec<u8>,
        mut look: Pin<&mut Sleep>,
        &ListenerConfig { head_timeout, idle_timeout, .. }: &ListenerConfig,
        draining: &CancellationToken,
    ) -> Left {
        let mut drain = pin!(draining.cancelled());
        let mut visit =
            Visit { lane: self, stream, is_kept_unread: !ahead.is_empty(), kept: ahead, unsent: Vec::new() };
        let mut idle_looks = 0;
        loop {
            let event = poll_fn(|context| {
                if let Poll::Ready(progress) = visit.poll_read(context) {
                    return Poll::Ready(Event::Read(progress));
                }
                if drain.as_mut().poll(context).is_ready() {
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
                    return Left::ForGood(visit.kept.into());
                }
                Event::Read(Progress::Request(len)) => {
                    if visit.send(idle_timeout).await.is_err() {
                        return Left::Over;
                    }
                    return visit.leave_for_one(len);
                }
                Event::Read(Progress::Answered) => visit.send(idle_timeout).await,
                Event::Read(Progress::Waiting(call)) => visit.finish(call, draining, idle_timeout).await,
                // What has begun to come is given its time by hyper.
                Event::Look | Event::Drain if !visit.kept.is_empty() => {
                    return Left::ForGood(visit.kept.into());
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
                        Begun::Answered(answer) => writer.write(answer, Closes(false), arrival.now, answers),
                        Begun::Waiting(call) => break Progress::Waiting(call),
                    }
                }
                Front::Incomplete if arrived.len() < BUFFER_LEN_MAX => break Progress::Answered,
                Front::Request(len) => break Progress::Request(len),
                Front::Incomplete | Front::Other => break Progress::Other,
            }
        };
        self.kept.clear();
        self.kept.extend_from_slice(arrived);
        self.give(answers);
        progress
    }

    /// The request of this length that is at the front of what is kept is answered elsewhere.
    fn leave_for_one(mut self, len: usize) -> Left {
        let behind = self.kept.split_off(len.min(self.kept.len()));
        Left::ForOne { rest_len: len - self.kept.len(), first: self.kept.into(), behind }
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
            let closes = Closes(draining.is_cancelled() && self.kept.is_empty());
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
