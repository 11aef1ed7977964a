//! A lean HTTP/1.1 client: one request at a time over one keep-alive connection, reopened when it must be.
//!
//! Own code rather than a general client, as the generator must not be what a run measures: a request is one
//! write and, as a rule, one read. Not for TLS, HTTP/2, pipelining or redirects.
//! Read next: `http/response.rs` (the parser), `http/target.rs` (the URL).

mod call;
mod response;
mod target;

pub(crate) use call::SignedCall;
pub(crate) use response::Response;
pub(crate) use target::Target;

use crate::source::choose_port_late;
use response::Malformed;
use serde::Serialize;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Fits the answers of the site's calls in one read.
const READ_BUFFER_LEN: usize = 8 * 1024;

/// Opens connections to the site. A trait, so that tests can hand out streams in memory.
pub(crate) trait Dial {
    type Stream: AsyncRead + AsyncWrite + Unpin;

    async fn dial(&self) -> io::Result<Self::Stream>;
}

/// Opens TCP connections to one address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpDial {
    pub(crate) address: SocketAddr,
    /// The own address to connect from; None leaves the choice to the system.
    pub(crate) source: Option<IpAddr>,
}

impl Dial for TcpDial {
    type Stream = TcpStream;

    async fn dial(&self) -> io::Result<TcpStream> {
        let stream = match self.source {
            None => TcpStream::connect(self.address).await?,
            Some(source) => {
                let socket = match source {
                    IpAddr::V4(_) => TcpSocket::new_v4()?,
                    IpAddr::V6(_) => TcpSocket::new_v6()?,
                };
                choose_port_late(&socket)?;
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(self.address).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// For people; empty if the kind says it all.
    pub(crate) detail: String,
}

/// The kinds of failure, in the order in which a request can meet them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    /// No connection could be opened.
    Connect,
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The connection ended within an answer.
    Cut,
    /// What came is not an HTTP answer, or a longer one than the site can mean.
    Malformed,
    /// No whole answer in time.
    Timeout,
}

/// What went over the wire, from this end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) connections_opened: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// One connection at a time, opened when first needed.
#[derive(Debug)]
pub(crate) struct Client<D: Dial> {
    dial: D,
    /// None while there is no connection that is known to be between two answers.
    idle: Option<D::Stream>,
    read_buffer: Vec<u8>,
    pub(crate) traffic: Traffic,
}

impl<D: Dial> Client<D> {
    pub(crate) fn new(dial: D) -> Self {
        Self {
            dial,
            idle: None,
            read_buffer: Vec::with_capacity(READ_BUFFER_LEN),
            traffic: Traffic::default(),
        }
    }

    /// Sends the bytes of one request and waits for its answer. Never sends it twice. After a failure the next
    /// call opens another connection, so a late answer cannot be taken for the next one.
    pub(crate) async fn exchange(&mut self, request: &[u8], limit: Duration) -> Result<Response, Failure> {
        let answer = timeout(limit, self.exchange_unbounded(request)).await;
        answer.unwrap_or_else(|_elapsed| Err(Failure { kind: FailureKind::Timeout, detail: String::new() }))
    }

    /// Lets go of a connection that the site has closed meanwhile. To be called after a pause: a site may close
    /// an idle connection at any time, and the request that meets that is not the site's failure.
    pub(crate) fn drop_if_closed(&mut self) {
        let Some(stream) = &mut self.idle else { return };
        let mut unexpected = [0_u8; 1];
        let mut context = Context::from_waker(Waker::noop());
        let read = Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut unexpected));
        if !matches!(read, Poll::Pending) {
            self.idle = None;
        }
    }

    /// Closes the connection, if there is one.
    pub(crate) fn close(&mut self) {
        self.idle = None;
    }

    async fn exchange_unbounded(&mut self, request: &[u8]) -> Result<Response, Failure> {
        let mut stream = match self.idle.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let written = stream.write_all(request).await;
        if written.is_ok() {
            self.traffic.sent_bytes += request.len() as u64;
        }
        // A site may answer and close before it has read all; the answer counts, so read in any case.
        let response = self.receive(&mut stream).await?;
        if written.is_ok() && response.reusable && response.len == self.read_buffer.len() {
            self.idle = Some(stream);
        }
        Ok(response)
    }

    async fn open(&mut self) -> Result<D::Stream, Failure> {
        let stream = self.dial.dial().await;
        let stream =
            stream.map_err(|error| Failure { kind: FailureKind::Connect, detail: error.to_string() })?;
        self.traffic.connections_opened += 1;
        Ok(stream)
    }

    async fn receive(&mut self, stream: &mut D::Stream) -> Result<Response, Failure> {
        self.read_buffer.clear();
        loop {
            let read = stream.read_buf(&mut self.read_buffer).await;
            let ended = matches!(read, Ok(0) | Err(_));
            self.traffic.received_bytes += *read.as_ref().unwrap_or(&0) as u64;
            match response::parse(&self.read_buffer, ended) {
                Ok(Some(response)) => return Ok(response),
                Ok(None) if !ended => {}
                Ok(None) => {
                    let kind =
                        if self.read_buffer.is_empty() { FailureKind::Closed } else { FailureKind::Cut };
                    let detail = read.err().map_or_else(String::new, |error| error.to_string());
                    return Err(Failure { kind, detail });
                }
                Err(Malformed(detail)) => {
                    return Err(Failure { kind: FailureKind::Malformed, detail: detail.to_owned() });
                }
            }
        }
    }
}

impl FailureKind {
    /// The name of the kind in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Cut => "cut",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_comes_from_the_source_it_is_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for (source, expected) in [(None, [127, 0, 0, 1]), (Some([127, 0, 0, 9].into()), [127, 0, 0, 9])] {
            let _stream = TcpDial { address, source }.dial().await.unwrap();
            let (_, peer) = listener.accept().await.unwrap();
            assert_eq!(peer.ip(), IpAddr::from(expected));
        }
    }
}
