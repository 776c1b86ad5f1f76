//! One accepted connection.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use argus_host::lifecycle::ConnectionPermit;
use argus_host::wire::Wire;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use crate::app::{App, Routes};
use crate::runtime::Tokio;

/// Serves a connection from its first byte to its last.
pub async fn serve<S: Routes>(
    wire: Wire<Tokio>,
    app: App<S>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
) {
    // Registered again, with this worker, which then receives its events. A failure concerns this connection only,
    // which is closed.
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return wire.cannot_serve(peer, &error),
    };
    // Answers are written at once, so delaying packets gains nothing. A socket that refuses the option is closed
    // already, and the first read reports that.
    let _ = stream.set_nodelay(true);
    wire.drive(Socket::from(stream), peer, permit, move |exchange| app.respond(exchange)).await;
}

/// A connection's socket in the form that hyper and the wire need.
#[derive(Debug)]
pub struct Socket(TokioIo<tokio::net::TcpStream>);

impl From<tokio::net::TcpStream> for Socket {
    fn from(stream: tokio::net::TcpStream) -> Self {
        Self(TokioIo::new(stream))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.inner().as_fd()
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
