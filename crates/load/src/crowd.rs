//! Very many Socket.IO clients in one thread, cheaper than the server that they are to load.
//!
//! A reactor: a connection is a file descriptor and some forty bytes; what they read into and write from is shared.
//! Each connects by WebSocket, signs in, watches the sale, answers pings, and tells an `Audience` what it hears. It
//! does not reconnect: who is lost is counted.
//! Read next: `crowd/frame.rs` and `crowd/packet.rs` (what is on the wire), `crowd/tally.rs` (what is counted).

mod end;
mod frame;
mod member;
mod moment;
mod packet;
mod questions;
mod tally;
mod upgrade;

pub(crate) use moment::CrowdMoment;
pub(crate) use questions::{QuestionTally, Questions, QuestionsSecond};
pub(crate) use tally::CrowdCounts;
pub(crate) use upgrade::upgrade_request;

use crate::latency::{Latency, LatencySeconds};
use crate::source::choose_port_late;
use crate::tokens::Tokens;
use end::{End, Malformed};
use frame::{FRAME_LEN_MAX, Frame, PONG, next_frame, write_pong, write_text};
use member::{Member, Stage, send};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use packet::{Packet, code_of, silence_max_ms, word_of_refusal};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use upgrade::parse_answer;

/// Connections of a process on their way at a time; more would only wait in the listener's queue, and be lost there.
const CONNECTING_MAX: f64 = 2000.0;
/// The same, as the time in which so many are due: all processes together overtax a site as well as one.
const CONNECTING_MAX_S: f64 = 2.0;
/// How often to start the connections that are due, at most.
const PACE_STEP: Duration = Duration::from_millis(1);
const SWEEP_STEP: Duration = Duration::from_secs(1);
/// What may wait for the rest of its frame, and what a read takes in beyond it.
const BUFFER_LEN: usize = 2 * FRAME_LEN_MAX;

/// How a crowd connects.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CrowdPlan {
    /// The core that its process is bound to, if it is.
    pub(crate) core: Option<usize>,
    /// Taken in turn; at least one.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Own addresses to connect from, taken in turn; none leaves the choice to the system.
    pub(crate) sources: Vec<IpAddr>,
    /// Taken in turn; at least one.
    pub(crate) sales: Vec<String>,
    pub(crate) members_len: usize,
    /// The number of the first member among all crowds of a run, for taking turns.
    pub(crate) first_member: usize,
    pub(crate) connect_rate_per_s: f64,
    /// Longest time from a connection's start until it watches the sale.
    pub(crate) connect_timeout: Duration,
}

/// Where a Socket.IO server is, and the request that opens a WebSocket there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) upgrade: String,
}

/// Who is told what the members hear. Members are numbered from 0.
pub(crate) trait Audience {
    /// The member watches the sale; `ack` is the answer to its `watch`.
    fn watching(&mut self, member: usize, ack: &[u8], at: Instant);
    /// The member heard an event; `payload` is the text of its argument.
    fn heard(&mut self, member: usize, name: &str, payload: &[u8], at: Instant);
    /// The member is not connected and will hear nothing (more).
    fn gone(&mut self, member: usize, at: Instant);
}

/// The connections of one thread. Nothing happens but in `turn`.
pub(crate) struct Crowd<A> {
    plan: CrowdPlan,
    tokens: Option<Arc<Tokens>>,
    pub(crate) audience: A,
    poll: Poll,
    events: Events,
    members: Vec<Member>,
    started_at: Instant,
    next_sweep: Instant,
    silence_max_ms: u32,
    buffer: Vec<u8>,
    message: Vec<u8>,
    /// What is said to watch each of the sales.
    watches: Vec<Vec<u8>>,
    /// Asked by those who watch; a question is to watch once more.
    pub(crate) questions: Option<Questions>,
    pub(crate) counts: CrowdCounts,
    /// From a connection's start until it watched the sale.
    pub(crate) connect_latency: Latency,
    /// The same, by the second in which it did.
    pub(crate) connect_by_second: LatencySeconds,
    /// When the last member had connected.
    pub(crate) connected_at: Option<Instant>,
}

impl<A: Audience> Crowd<A> {
    /// Starts the clock for the connect rate. With tokens each member signs in with that of its number; without, all
    /// are anonymous.
    pub(crate) fn new(plan: CrowdPlan, tokens: Option<Arc<Tokens>>, audience: A) -> io::Result<Self> {
        let now = Instant::now();
        let watch = |sale| {
            let subject = serde_json::json!({ "sale": sale }).to_string();
            let mut watch = Vec::new();
            write_text(&["420[\"watch\",", &subject, "]"], &mut watch);
            watch
        };
        let watches = plan.sales.iter().map(watch).collect();
        Ok(Self {
            members: Vec::with_capacity(plan.members_len),
            plan,
            tokens,
            audience,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            started_at: now,
            next_sweep: now + SWEEP_STEP,
            silence_max_ms: u32::MAX,
            buffer: vec![0; BUFFER_LEN],
            message: Vec::new(),
            watches,
            questions: None,
            counts: CrowdCounts::default(),
            connect_latency: Latency::fine(),
            connect_by_second: LatencySeconds::default(),
            connected_at: None,
        })
    }

    /// Whether each member has connected or failed to.
    pub(crate) fn is_settled(&self) -> bool {
        self.counts.settled() >= self.plan.members_len as u64
    }

    /// Starts what is due and serves what has come; returns after `limit` at the latest, sooner if anything came.
    pub(crate) fn turn(&mut self, limit: Duration) -> io::Result<()> {
        self.start_due();
        self.ask_due();
        let has_more = self.members.len() < self.plan.members_len;
        let limit = if has_more { limit.min(self.next_start_in().max(PACE_STEP)) } else { limit };
        let question_in = self.questions.as_ref().map(|questions| questions.due_in(Instant::now()));
        let limit = question_in.map_or(limit, |due_in| limit.min(due_in.max(PACE_STEP)));
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(limit));
        if polled.is_ok() {
            for event in &events {
                self.serve(event);
            }
        }
        self.events = events;
        let now = Instant::now();
        if now >= self.next_sweep {
            self.next_sweep = now + SWEEP_STEP;
            self.sweep(now);
        }
        polled.or_else(|error| if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) })
    }

    /// Until the next connection is due; nothing if it is, or is never.
    fn next_start_in(&self) -> Duration {
        let due_at = approximate(self.members.len() as u64) / self.plan.connect_rate_per_s;
        Duration::try_from_secs_f64(due_at).unwrap_or_default().saturating_sub(self.started_at.elapsed())
    }

    fn start_due(&mut self) {
        let due = self.started_at.elapsed().as_secs_f64() * self.plan.connect_rate_per_s;
        let connecting_max = (self.plan.connect_rate_per_s * CONNECTING_MAX_S).clamp(10.0, CONNECTING_MAX);
        loop {
            let member = self.members.len();
            let connecting = approximate(self.counts.started - self.counts.settled());
            if member >= self.plan.members_len
                || connecting >= connecting_max
                || due <= approximate(member as u64)
            {
                return;
            }
            let now = Instant::now();
            let begun_ms = self.ms(now);
            self.counts.started += 1;
            self.members.push(Member {
                stream: None,
                rest: None,
                begun_ms,
                heard_ms: begun_ms,
                stage: Stage::Connecting,
            });
            match self.connect(member) {
                Ok(stream) => self.members[member].stream = Some(stream),
                Err(error) => self.end(member, End::from(&error), now),
            }
        }
    }

    fn ask_due(&mut self) {
        let now = Instant::now();
        while let Some(questions) = &mut self.questions {
            let is_watching = |member: usize| self.members[member].stage == Stage::Watching;
            let Some(member) = questions.next(now, self.members.len(), is_watching) else { return };
            if let Err(end) = self.ask_to_watch(member) {
                self.end(member, end, now);
            }
        }
    }

    fn ask_to_watch(&mut self, member: usize) -> Result<(), End> {
        let sale = (self.plan.first_member + member) % self.watches.len();
        send(&mut self.members[member], &self.watches[sale])
    }

    fn connect(&self, member: usize) -> io::Result<TcpStream> {
        let number = self.plan.first_member + member;
        let address = self.plan.endpoints[number % self.plan.endpoints.len()].address;
        // Nagle's delay does not arise: each message waits for the answer to the one before.
        let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
        if !self.plan.sources.is_empty() {
            let source = self.plan.sources[number % self.plan.sources.len()];
            choose_port_late(&socket)?;
            socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
        }
        match socket.connect(&address.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => return Err(error),
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(member), interest)?;
        Ok(stream)
    }

    fn serve(&mut self, event: &Event) {
        let member = event.token().0;
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.advance(member, event.is_read_closed(), &mut buffer);
        self.buffer = buffer;
        if let Err(end) = outcome {
            self.end(member, end, Instant::now());
        }
    }

    fn advance(&mut self, member: usize, is_closed: bool, buffer: &mut [u8]) -> Result<(), End> {
        if self.members[member].stage == Stage::Connecting && !self.ask_for_upgrade(member)? {
            return Ok(());
        }
        loop {
            let Member { stream: Some(stream), rest, .. } = &mut self.members[member] else { return Ok(()) };
            let start = rest.as_ref().map_or(0, |rest| rest.len());
            let read = match stream.read(&mut buffer[start..]) {
                Ok(0) => return Err(End::Broken("closed".into())),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(End::from(&error)),
            };
            let is_drained = start + read < buffer.len();
            if let Some(rest) = rest.take() {
                buffer[..start].copy_from_slice(&rest);
            }
            let bytes = &buffer[..start + read];
            let used = self.take(member, bytes)?;
            if used < bytes.len() {
                self.members[member].rest = Some(bytes[used..].into());
            }
            // What comes after a read that did not fill the buffer is another event, but for an end already seen.
            if is_drained && !is_closed {
                return Ok(());
            }
        }
    }

    /// Whether the connection stands, and the request could be sent.
    fn ask_for_upgrade(&mut self, member: usize) -> Result<bool, End> {
        let number = self.plan.first_member + member;
        let upgrade = self.plan.endpoints[number % self.plan.endpoints.len()].upgrade.as_bytes();
        let Member { stream: Some(stream), stage, .. } = &mut self.members[member] else { return Ok(false) };
        match stream.write(upgrade) {
            Ok(len) if len == upgrade.len() => {
                *stage = Stage::Upgrading;
                Ok(true)
            }
            Ok(_) => Err(End::Broken("stuck".into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(End::from(&error)),
        }
    }

    /// Takes in what the server sent; how many of the bytes were whole messages.
    fn take(&mut self, member: usize, bytes: &[u8]) -> Result<usize, End> {
        let now = Instant::now();
        let mut at = 0;
        if self.members[member].stage == Stage::Upgrading {
            let Some(len) = parse_answer(bytes)? else { return Ok(0) };
            self.members[member].stage = Stage::Opening;
            at = len;
        }
        self.members[member].heard_ms = self.ms(now);
        while let Some((frame, len)) = next_frame(&bytes[at..])? {
            at += len;
            match frame {
                Frame::Text(text) => self.hear(member, Packet::parse(text), now)?,
                Frame::Ping(payload) => {
                    self.message.clear();
                    write_pong(payload, &mut self.message);
                    send(&mut self.members[member], &self.message)?;
                }
                Frame::Close => return Err(End::Broken("closed by the site".into())),
                Frame::Other => {}
            }
        }
        Ok(at)
    }

    fn hear(&mut self, member: usize, packet: Packet<'_>, now: Instant) -> Result<(), End> {
        match (self.members[member].stage, packet) {
            (_, Packet::Ping) => {
                self.counts.pings += 1;
                send(&mut self.members[member], PONG)
            }
            (_, Packet::Event { name, payload }) => {
                self.audience.heard(member, name, payload, now);
                Ok(())
            }
            (_, Packet::Closed) => Err(End::Broken("closed by the site".into())),
            (Stage::Opening, Packet::Open(settings)) => {
                self.silence_max_ms = silence_max_ms(settings).ok_or(Malformed("no ping interval"))?;
                self.message.clear();
                match &self.tokens {
                    // A token is made of what needs no escape in JSON, or the site will say that it is none.
                    Some(tokens) => {
                        let token = tokens.get(member % tokens.len());
                        write_text(&["40{\"token\":\"", token, "\"}"], &mut self.message);
                    }
                    None => write_text(&["40"], &mut self.message),
                }
                self.members[member].stage = Stage::Joining;
                send(&mut self.members[member], &self.message)
            }
            (Stage::Joining, Packet::Joined) => {
                self.members[member].stage = Stage::Asking;
                self.ask_to_watch(member)
            }
            (Stage::Joining, Packet::Refused(reason)) => Err(End::Broken(word_of_refusal(reason).into())),
            (Stage::Asking, Packet::Ack(ack)) => {
                if let Some(code) = code_of(ack) {
                    return Err(End::Broken(code.into()));
                }
                self.members[member].stage = Stage::Watching;
                self.counts.connected += 1;
                self.connected_at = Some(now);
                let begun = Duration::from_millis(self.members[member].begun_ms.into());
                let since_start = now - self.started_at;
                let latency = since_start.saturating_sub(begun);
                self.connect_latency.record(latency);
                #[expect(clippy::cast_possible_truncation, reason = "seconds of a run")]
                self.connect_by_second.record(since_start.as_secs() as usize, latency);
                self.audience.watching(member, ack, now);
                Ok(())
            }
            (Stage::Watching, Packet::Ack(_)) => {
                if let Some(questions) = &mut self.questions {
                    questions.answered(member, now);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends what takes too long to connect, and what has not heard a ping when it was due.
    fn sweep(&mut self, now: Instant) {
        let now_ms = self.ms(now);
        let connect_timeout_ms = u32::try_from(self.plan.connect_timeout.as_millis()).unwrap_or(u32::MAX);
        for member in 0..self.members.len() {
            let Member { stage, begun_ms, heard_ms, .. } = self.members[member];
            let is_late = match stage {
                Stage::Over => false,
                Stage::Watching => now_ms - heard_ms > self.silence_max_ms,
                _ => now_ms - begun_ms > connect_timeout_ms,
            };
            if is_late {
                let why = if stage == Stage::Watching { "silent" } else { "timeout" };
                self.end(member, End::Broken(why.into()), now);
            }
        }
    }

    fn end(&mut self, member: usize, end: End, now: Instant) {
        let was = self.members[member].stage;
        if was == Stage::Over {
            return;
        }
        match end {
            End::Refused(status) => *self.counts.refused.entry(status).or_default() += 1,
            End::Broken(why) if was == Stage::Watching => {
                *self.counts.lost.entry(why.into_owned()).or_default() += 1;
            }
            End::Broken(why) => *self.counts.failed.entry(why.into_owned()).or_default() += 1,
        }
        let member_state = &mut self.members[member];
        member_state.stage = Stage::Over;
        member_state.stream = None;
        member_state.rest = None;
        if let Some(questions) = &mut self.questions {
            questions.gone(member);
        }
        self.audience.gone(member, now);
    }

    fn ms(&self, at: Instant) -> u32 {
        u32::try_from((at - self.started_at).as_millis()).expect("a run lasts hours at most")
    }
}

#[expect(clippy::cast_precision_loss, reason = "a crowd has thousands of members")]
fn approximate(count: u64) -> f64 {
    count as f64
}
