//! The byte stream below hyper, watched.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use crate::connection_state::ConnectionState;

/// Bytes of an unread body that are thrown away before the client is cut off.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Tells [`ConnectionState`] what goes in and out, and closes in such a way that the last answer arrives.
#[derive(Debug)]
pub(crate) struct WireIo<I> {
    io: I,
    state: Arc<ConnectionState>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    Open,
    /// Our half is closed; so many bytes of the client's were thrown away.
    Lingering(usize),
    Closed,
}

impl<I> WireIo<I> {
    pub(crate) fn new(io: I, state: Arc<ConnectionState>) -> Self {
        Self { io, state, closing: Closing::Open }
    }
}

impl<I: Read + Unpin> Read for WireIo<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.state.bytes_arrived();
        Poll::Ready(Ok(()))
    }
}

impl<I: Read + Write + Unpin> Write for WireIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.state.write_progress(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.state.write_progress(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Closes our half; if the client may still be sending, waits until it has noticed. A socket that is closed with unread bytes
    /// in it sends a reset, which makes the client's kernel throw away the answer that it may not have read yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.closing {
                Closing::Open => {
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    self.closing = Closing::Closed;
                    if self.state.body_unread() {
                        self.state.linger_begins();
                        self.closing = Closing::Lingering(0);
                    }
                }
                Closing::Lingering(discarded) => {
                    let mut bytes = [0; 4096];
                    let mut buf = ReadBuf::new(&mut bytes);
                    ready!(Pin::new(&mut self.io).poll_read(cx, buf.unfilled()))?;
                    let more = buf.filled().len();
                    let at_end = more == 0 || discarded + more > LINGER_BYTES_MAX;
                    self.closing = if at_end { Closing::Closed } else { Closing::Lingering(discarded + more) };
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}
