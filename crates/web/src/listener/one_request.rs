//! A connection of which hyper sees one request and no more, so that it can be taken back behind that request.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;

/// A stream that reads as the bytes of one request. Behind them it is silent until the other side closes: what else comes
/// is left in the socket.
#[derive(Debug)]
pub(super) struct OneRequest {
    /// What of the request was read before.
    first: Bytes,
    /// The stream, up to the end of the request.
    rest: Take<TcpStream>,
    progress: Rc<Progress>,
}

/// How far a request and its answer are.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_read: Cell<bool>,
    is_unsent: Cell<bool>,
}

impl Progress {
    /// Whether the request was read to its end, and all that was written since is sent.
    pub(super) fn is_complete(&self) -> bool {
        self.is_read.get() && !self.is_unsent.get()
    }
}

impl OneRequest {
    /// The request that begins with `first` and has `rest_len` more bytes on `stream`.
    pub(super) fn new(first: Bytes, rest_len: usize, stream: TcpStream) -> Self {
        Self { first, rest: stream.take(rest_len as u64), progress: Rc::default() }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Rc<Progress> {
        self.progress.clone()
    }

    /// The stream behind the request.
    pub(super) fn into_stream(self) -> TcpStream {
        self.rest.into_inner()
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.rest.get_mut())
    }

    fn note_read(&self) {
        self.progress.is_read.set(self.first.is_empty() && self.rest.limit() == 0);
    }
}

impl AsyncRead for OneRequest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let len = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(len));
        } else if self.rest.limit() > 0 {
            ready!(Pin::new(&mut self.rest).poll_read(context, buf))?;
        } else if ready!(self.stream().poll_peek(context, &mut ReadBuf::new(&mut [0])))? > 0 {
            return Poll::Pending;
        }
        self.note_read();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OneRequest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.progress.is_unsent.set(true);
        self.stream().poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.is_unsent.set(true);
        self.stream().poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.rest.get_ref().is_write_vectored()
    }

    /// hyper flushes when it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.stream().poll_flush(context))?;
        self.progress.is_unsent.set(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
