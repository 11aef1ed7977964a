//! A TCP stream of which a few bytes have been read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What an embedding server gives to hyper if it looked at a connection first: reads give the bytes that were taken, then
/// those of the stream. Upgrades work as on the stream itself.
#[derive(Debug)]
pub struct ReadAhead {
    taken: Bytes,
    stream: TcpStream,
}

impl ReadAhead {
    /// The stream with the bytes that were read of it and are to be read again.
    pub fn new(taken: Bytes, stream: TcpStream) -> Self {
        Self { taken, stream }
    }

    /// What has not been read again, and the stream.
    pub fn into_parts(self) -> (Bytes, TcpStream) {
        (self.taken, self.stream)
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        let len = self.taken.len().min(buf.remaining());
        buf.put_slice(&self.taken[..len]);
        self.taken.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
