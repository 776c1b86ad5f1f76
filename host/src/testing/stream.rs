//! A connection in memory, with the states that a TCP connection would report.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::socket::{Socket, TcpState};

/// The server's end.
#[derive(Debug)]
pub(crate) struct MemoryStream(Arc<Mutex<Pipe>>);

/// The client's end.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Mutex<Pipe>>);

/// How the server closed its half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Orderly: nothing is missing.
    Close,
    /// By a reset: something may be missing.
    Reset,
}

#[derive(Debug, Default)]
struct Pipe {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// How many bytes the client's system buffers.
    room: usize,
    /// Bytes that the client's system has acknowledged.
    taken: u64,
    /// The client has closed its sending half.
    is_finished: bool,
    /// The client has closed both halves.
    is_gone: bool,
    /// The connection was reset.
    is_reset: bool,
    resets_on_close: bool,
    end: Option<End>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Both ends of a connection whose client's system buffers `room` bytes.
pub(crate) fn connection(room: usize) -> (MemoryStream, Client) {
    let pipe = Arc::new(Mutex::new(Pipe { room, ..Pipe::default() }));
    (MemoryStream(Arc::clone(&pipe)), Client(pipe))
}

impl Client {
    pub(crate) fn send(&self, bytes: &[u8]) {
        let mut pipe = lock(&self.0);
        pipe.to_server.extend_from_slice(bytes);
        wake(pipe);
    }

    /// Closes the client's sending half.
    pub(crate) fn finish(&self) {
        let mut pipe = lock(&self.0);
        pipe.is_finished = true;
        wake(pipe);
    }

    /// Closes both halves. The server sees only the first, until it sends something.
    pub(crate) fn leave(&self) {
        lock(&self.0).is_gone = true;
        self.finish();
    }

    /// Reads everything that has arrived.
    pub(crate) fn take(&self) -> String {
        String::from_utf8_lossy(&self.take_bytes()).into_owned()
    }

    /// As [`take`](Self::take), for what is no text.
    pub(crate) fn take_bytes(&self) -> Vec<u8> {
        let mut pipe = lock(&self.0);
        let bytes = std::mem::take(&mut pipe.to_client);
        wake(pipe);
        bytes
    }

    /// Makes these bytes the next to be read.
    pub(crate) fn put_back(&self, bytes: &[u8]) {
        drop(lock(&self.0).to_client.splice(..0, bytes.iter().copied()));
    }

    /// How many of the bytes sent the server has not read.
    pub(crate) fn unread_by_server(&self) -> usize {
        lock(&self.0).to_server.len()
    }

    /// How the server closed its half, if it has.
    pub(crate) fn end(&self) -> Option<End> {
        lock(&self.0).end
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let mut pipe = lock(&self.0);
        if pipe.resets_on_close {
            pipe.end = Some(End::Reset);
        }
        pipe.end.get_or_insert(End::Close);
    }
}

impl Read for MemoryStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.0);
        if pipe.is_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.to_server.is_empty() && !pipe.is_finished {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = buf.remaining().min(pipe.to_server.len());
        let read: Vec<u8> = pipe.to_server.drain(..bytes).collect();
        buf.put_slice(&read);
        Poll::Ready(Ok(()))
    }
}

impl Write for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.0);
        if pipe.is_reset || pipe.end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if pipe.is_gone {
            // The system takes the bytes, and gets a reset in return.
            pipe.is_reset = true;
            return Poll::Ready(Ok(buf.len()));
        }
        let bytes = pipe.room.saturating_sub(pipe.to_client.len()).min(buf.len());
        if bytes == 0 && !buf.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.to_client.extend(buf.iter().take(bytes));
        pipe.taken += bytes as u64;
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).end.get_or_insert(End::Close);
        Poll::Ready(Ok(()))
    }
}

impl Socket for MemoryStream {
    fn reset_on_close(&self, reset: bool) {
        lock(&self.0).resets_on_close = reset;
    }

    fn has_input(&self) -> bool {
        !lock(&self.0).to_server.is_empty()
    }

    fn acknowledged(&self) -> Option<u64> {
        Some(lock(&self.0).taken)
    }

    fn tcp_state(&self) -> Option<TcpState> {
        let pipe = lock(&self.0);
        Some(match (pipe.is_reset, pipe.is_finished) {
            (true, _) => TcpState::Closed,
            (false, true) => TcpState::HalfClosed,
            (false, false) => TcpState::Open,
        })
    }
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the waiting task, after releasing the lock.
fn wake(mut pipe: MutexGuard<'_, Pipe>) {
    let waiting = [pipe.reader.take(), pipe.writer.take()];
    drop(pipe);
    waiting.into_iter().flatten().for_each(Waker::wake);
}
