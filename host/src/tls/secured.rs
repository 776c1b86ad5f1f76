//! A socket with or without TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

#[cfg(feature = "tls")]
use super::stream::TlsStream;
use super::{HandshakeError, Tls};
use crate::socket::{Socket, TcpState};

/// A socket over which HTTP is spoken, in the clear or encrypted.
#[derive(Debug)]
pub(crate) enum Secured<S: Socket> {
    Plain(S),
    // Boxed: the state of a session is large, and most servers are behind a proxy and have none.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<S>>),
}

/// Calls the same method of the socket, whichever it is.
macro_rules! delegate {
    ($secured:expr, $socket:ident => $call:expr) => {
        match $secured {
            Secured::Plain($socket) => $call,
            #[cfg(feature = "tls")]
            Secured::Tls($socket) => $call,
        }
    };
}

impl<S: Socket> Secured<S> {
    /// Encrypts what goes over the socket, if the server has a certificate.
    ///
    /// # Errors
    ///
    /// When the session cannot be made, for lack of randomness.
    pub(crate) fn over(socket: S, tls: Option<&Tls>) -> Result<Self, HandshakeError> {
        match tls {
            None => Ok(Self::Plain(socket)),
            #[cfg(feature = "tls")]
            Some(tls) => match tls.session() {
                Ok(session) => Ok(Self::Tls(Box::new(TlsStream::new(socket, session)))),
                Err(error) => Err(HandshakeError::Failed(error.into())),
            },
            #[cfg(not(feature = "tls"))]
            Some(tls) => match *tls {},
        }
    }

    /// Whether keys have to be agreed on before the first request.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
        }
    }

    /// Ready once requests can be read.
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        match self {
            Self::Plain(_) => {
                let _ = cx;
                Poll::Ready(Ok(()))
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_handshake(cx),
        }
    }

    /// Answers a client that does not speak TLS, in the clear. A new socket has room for that.
    pub(crate) fn answer_in_the_clear(&mut self, cx: &mut Context<'_>, answer: &[u8]) {
        let socket = match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket_mut(),
        };
        if let Poll::Ready(Ok(_)) = Pin::new(&mut *socket).poll_write(cx, answer) {
            let _ = Pin::new(socket).poll_shutdown(cx);
        }
    }
}

impl<S: Socket> Read for Secured<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), socket => Pin::new(socket).poll_read(cx, buf))
    }
}

impl<S: Socket> Write for Secured<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), socket => Pin::new(socket).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), socket => Pin::new(socket).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        delegate!(self, socket => socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), socket => Pin::new(socket).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), socket => Pin::new(socket).poll_shutdown(cx))
    }
}

impl<S: Socket> Socket for Secured<S> {
    fn reset_on_close(&self, reset: bool) {
        delegate!(self, socket => socket.reset_on_close(reset));
    }

    fn has_input(&self) -> bool {
        delegate!(self, socket => socket.has_input())
    }

    fn acknowledged(&self) -> Option<u64> {
        delegate!(self, socket => socket.acknowledged())
    }

    fn tcp_state(&self) -> Option<TcpState> {
        delegate!(self, socket => socket.tcp_state())
    }

    fn undecrypted(&self) -> usize {
        delegate!(self, socket => socket.undecrypted())
    }

    fn poll_read_raw(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read_raw(cx, buf),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read_raw(cx, buf),
        }
    }
}
