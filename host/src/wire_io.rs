//! The byte stream below hyper, which reports to the connection's state.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use crate::connection::{Connection, HeadError, Writing};
use crate::socket::Socket;

/// How many bytes of a head are read at a time.
const HEAD_READ_BYTES: usize = 4096;

/// Longest head on a connection that should take little memory, in bytes. A head may exceed it by one read.
const SMALL_HEAD_BYTES_MAX: usize = 8 * 1024;

/// Pieces of up to this many bytes together are copied into one before writing: a system call with many pieces costs
/// more than copying a small answer.
const GATHERED_BYTES_MAX: usize = 1024;

/// Most bytes of unwanted input that are discarded in one read.
const DISCARD_BYTES: usize = 16 * 1024;

/// Most such reads before other tasks get a turn.
const DISCARDS_MAX: usize = 16;

/// Reports reads and writes to the [`Connection`], and closes the stream so that a complete answer arrives and an
/// incomplete one is not mistaken for a complete one.
///
/// hyper answers a malformed head with a bare status. `refuse` returns the answer that replaces it.
pub(crate) struct WireIo<'s, I, F> {
    /// Also used by the connection's timer. Never contended: both run in the same task.
    socket: &'s Mutex<I>,
    connection: Arc<Connection>,
    refuse: F,
    closing: Closing,
    /// Whether the connection would end in a reset now.
    resets: bool,
    /// Whether reads may be large. hyper's buffer grows only when a read fills it.
    is_large: bool,
    /// Bytes that have arrived and wait to be decrypted, as the connection's state knows them.
    undecrypted: usize,
}

#[derive(Debug)]
enum Closing {
    Open,
    /// A refusal is written as the last answer.
    Refusing(Bytes),
    /// Everything was handed to the socket.
    Answered,
    /// The server's half is closed; this many bytes of the client's input were discarded.
    Lingering(usize),
    Closed,
}

impl<'s, I, F> WireIo<'s, I, F> {
    /// `refuse` returns a complete answer, from the status line on. Unless the connection `is_large`, it takes little
    /// memory, and only heads of [`SMALL_HEAD_BYTES_MAX`].
    pub(crate) fn new(socket: &'s Mutex<I>, connection: Arc<Connection>, is_large: bool, refuse: F) -> Self {
        Self { socket, connection, refuse, closing: Closing::Open, resets: false, is_large, undecrypted: 0 }
    }
}

/// Locks the socket.
pub(crate) fn lock<I>(socket: &Mutex<I>) -> MutexGuard<'_, I> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<I: Socket, F> WireIo<'_, I, F> {
    /// [`Socket::acknowledged`].
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        lock(self.socket).acknowledged()
    }

    /// Hands to the system what the socket has taken so far. Only an encrypted socket keeps anything back.
    fn poll_flush_socket(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *lock(self.socket)).poll_flush(cx);
        self.note_flushed(flushed)
    }

    /// Reads from the socket, and reports what has arrived and cannot be read yet.
    fn poll_read_socket(&mut self, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut socket = lock(self.socket);
        let read = Pin::new(&mut *socket).poll_read(cx, buf);
        let undecrypted = socket.undecrypted();
        drop(socket);
        if undecrypted != self.undecrypted {
            self.undecrypted = undecrypted;
            self.connection.state().set_undecrypted(undecrypted);
        }
        read
    }

    /// A flush that has to wait is a write that stalls: the client takes nothing.
    fn note_flushed<T>(&self, flushed: Poll<T>) -> Poll<T> {
        match flushed {
            Poll::Ready(_) => self.connection.state().flush_progresses(),
            Poll::Pending => {
                let now = self.connection.now();
                self.connection.state().write_stalls(now, || lock(self.socket).acknowledged());
            }
        }
        flushed
    }

    /// Makes the connection end in a reset while an answer is under way that could be mistaken for complete. Set in
    /// advance, because the process may die at any time.
    fn set_resets(&mut self, resets: bool) {
        if self.resets != resets {
            self.resets = resets;
            lock(self.socket).reset_on_close(resets);
        }
    }
}

impl<I: Socket, F: Unpin> Read for WireIo<'_, I, F> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut state = self.connection.state();
        let in_head = state.expects_head();
        let head_bytes_max = state.head_bytes_max();
        let head_bytes_max = if self.is_large { head_bytes_max } else { head_bytes_max.min(SMALL_HEAD_BYTES_MAX) };
        if in_head && state.head_bytes() > head_bytes_max {
            state.set_head_error(HeadError::TooLarge);
            // hyper sees the end of the input; the client gets the reason.
            return Poll::Ready(Ok(()));
        }
        drop(state);
        if !in_head && self.is_large {
            return self.poll_read_socket(cx, buf);
        }
        let mut bytes = [const { MaybeUninit::uninit() }; HEAD_READ_BYTES];
        let room = buf.remaining().min(HEAD_READ_BYTES);
        let mut read = ReadBuf::uninit(bytes.split_at_mut(room).0);
        ready!(self.poll_read_socket(cx, read.unfilled()))?;
        if !read.filled().is_empty() {
            if in_head {
                let now = self.connection.now();
                self.connection.state().head_bytes_arrived(now, read.filled());
            }
            buf.put_slice(read.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Socket, F: Fn(HeadError) -> Bytes + Unpin> Write for WireIo<'_, I, F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let writing = self.connection.state().writing();
        match writing {
            Writing::Whole => {}
            Writing::Streamed => self.set_resets(true),
            // hyper answers a malformed head without asking the service.
            Writing::HyperError => {
                let too_large = buf.starts_with(b"HTTP/1.1 431") || buf.starts_with(b"HTTP/1.1 414");
                let error = if too_large { HeadError::TooLarge } else { HeadError::Malformed };
                self.connection.state().set_head_error(error);
                return Poll::Ready(Ok(buf.len()));
            }
        }
        let ahead = self.connection.state().sent_ahead();
        let Some(rest) = buf.strip_prefix(ahead) else {
            return Poll::Ready(Err(io::Error::other("an answer does not begin with a status line of HTTP/1")));
        };
        let written = Pin::new(&mut *lock(self.socket)).poll_write(cx, rest);
        note_written(&self.connection, self.socket, written).map_ok(|bytes| bytes + ahead.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let writing = self.connection.state().writing();
        match writing {
            Writing::Whole => {}
            Writing::Streamed => self.set_resets(true),
            Writing::HyperError => return self.poll_write(cx, first(bufs)),
        }
        if !self.connection.state().sent_ahead().is_empty() {
            return self.poll_write(cx, first(bufs));
        }
        let mut room = [0; GATHERED_BYTES_MAX];
        let written = match gather(bufs, &mut room) {
            Some(gathered) => Pin::new(&mut *lock(self.socket)).poll_write(cx, gathered),
            None => Pin::new(&mut *lock(self.socket)).poll_write_vectored(cx, bufs),
        };
        note_written(&self.connection, self.socket, written)
    }

    fn is_write_vectored(&self) -> bool {
        lock(self.socket).is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush_socket(cx))?;
        let mut state = self.connection.state();
        if state.awaits_flush() {
            state.flushed(self.connection.now());
        }
        let writing = state.writing();
        drop(state);
        if writing != Writing::Streamed {
            self.set_resets(false);
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the server's half. If the client may still be sending, waits until it has stopped: closing a socket with
    /// unread input sends a reset, and the client's kernel then discards the answer if it was not read yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.closing {
                // The answer is written, and the stream is taken back from hyper.
                Closing::Open if this.connection.state().is_upgrading() => return Poll::Ready(Ok(())),
                Closing::Open => {
                    let head_error = this.connection.state().head_error();
                    this.closing = match head_error {
                        Some(error) => Closing::Refusing((this.refuse)(error)),
                        None => Closing::Answered,
                    };
                }
                Closing::Refusing(answer) if answer.is_empty() => this.closing = Closing::Answered,
                Closing::Refusing(answer) => {
                    let written = Pin::new(&mut *lock(this.socket)).poll_write(cx, answer);
                    let written = ready!(note_written(&this.connection, this.socket, written))?;
                    if written == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    drop(answer.split_to(written));
                }
                Closing::Answered => {
                    ready!(this.poll_flush_socket(cx))?;
                    let closed = Pin::new(&mut *lock(this.socket)).poll_shutdown(cx);
                    let gone = match ready!(this.note_flushed(closed)) {
                        // The client has reset the connection, so there is no half left to close. Some runtimes hide
                        // this error.
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => true,
                        closed => closed.map(|()| false)?,
                    };
                    let mut state = this.connection.state();
                    this.closing = if state.is_unread() && !gone {
                        state.linger_begins(this.connection.now());
                        Closing::Lingering(0)
                    } else {
                        Closing::Closed
                    };
                }
                Closing::Lingering(discarded) => {
                    ready!(poll_discard(this.socket, &this.connection, discarded, cx))?;
                    this.closing = Closing::Closed;
                }
                Closing::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// Discards what the client of a lingering connection still sends, as it arrives, and adds it to `discarded`. Ready
/// when the client has stopped, or has sent too much.
pub(crate) fn poll_discard<I: Socket>(
    socket: &Mutex<I>,
    connection: &Connection,
    discarded: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    for _ in 0..DISCARDS_MAX {
        let mut bytes = [const { MaybeUninit::uninit() }; DISCARD_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut *lock(socket)).poll_read_raw(cx, read.unfilled()))?;
        *discarded += read.filled().len();
        let mut state = connection.state();
        if read.filled().is_empty() || *discarded > state.linger_bytes_max() {
            return Poll::Ready(Ok(()));
        }
        state.linger_receives(connection.now());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn note_written<I: Socket, T>(connection: &Connection, socket: &Mutex<I>, written: Poll<T>) -> Poll<T> {
    match written {
        Poll::Ready(_) => connection.state().write_progresses(),
        Poll::Pending => connection.state().write_stalls(connection.now(), || lock(socket).acknowledged()),
    }
    written
}

/// The first piece that is not empty.
fn first<'a>(bufs: &'a [io::IoSlice<'_>]) -> &'a [u8] {
    bufs.iter().find(|buf| !buf.is_empty()).map_or(&[], |buf| buf)
}

/// All pieces as one, if they fit into `room`.
fn gather<'a>(bufs: &[io::IoSlice<'_>], room: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut end = 0;
    for buf in bufs {
        let next = end + buf.len();
        room.get_mut(end..next)?.copy_from_slice(buf);
        end = next;
    }
    room.get(..end)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::IoSlice;
    use std::task::Waker;

    use super::*;
    use crate::clock::Clock;
    use crate::settings::Settings;
    use crate::socket::TcpState;

    /// A client that sends the same letter forever, and reads nothing.
    struct Chatter;

    impl Read for Chatter {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            let letters = vec![b'x'; buf.remaining()];
            buf.put_slice(&letters);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Chatter {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Socket for Chatter {
        fn reset_on_close(&self, _: bool) {}

        fn has_input(&self) -> bool {
            true
        }

        fn acknowledged(&self) -> Option<u64> {
            None
        }

        fn tcp_state(&self) -> Option<TcpState> {
            None
        }
    }

    /// The sizes of hyper's reads with room for 64 KiB each, until there are `reads` of them or the end.
    fn reads<F: Unpin>(io: &mut WireIo<'_, Chatter, F>, reads: usize) -> Vec<usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut room = vec![0; 64 * 1024];
        let mut read = || {
            let mut buf = ReadBuf::new(&mut room);
            assert!(matches!(Pin::new(&mut *io).poll_read(&mut cx, buf.unfilled()), Poll::Ready(Ok(()))));
            buf.filled().len()
        };
        (0..reads).map(|_| read()).take_while(|&bytes| bytes > 0).collect()
    }

    #[test]
    fn a_small_connection_reads_little_and_refuses_long_heads() {
        let settings = Settings::read("test", ["test"]).unwrap();
        let chatter = Mutex::new(Chatter);
        let begin = |is_large| {
            let connection = Arc::new(Connection::open(&settings, Clock::default()));
            (Arc::clone(&connection), WireIo::new(&chatter, connection, is_large, ()))
        };
        let (large_connection, mut large) = begin(true);
        assert_eq!(reads(&mut large, 16), [HEAD_READ_BYTES; 16]);
        large_connection.state().request_begins();
        assert_eq!(reads(&mut large, 2), [64 * 1024; 2]);
        assert_eq!(large_connection.state().head_error(), None);

        let (connection, mut small) = begin(false);
        assert_eq!(reads(&mut small, 2), [HEAD_READ_BYTES; 2]);
        connection.state().request_begins();
        // This is not a head, so its length is not limited.
        assert_eq!(reads(&mut small, 16), [HEAD_READ_BYTES; 16]);
        connection.state().answer_ends(connection.now());
        assert_eq!(reads(&mut small, 16), [HEAD_READ_BYTES; 3]);
        assert_eq!(connection.state().head_error(), Some(HeadError::TooLarge));
    }

    #[test]
    fn pieces_are_gathered_if_there_is_room() {
        let bufs = [&b"HTTP"[..], b"", b"/1.1", b" 200"].map(IoSlice::new);
        assert_eq!(gather(&bufs, &mut [0; 13]), Some(&b"HTTP/1.1 200"[..]));
        assert_eq!(gather(&bufs, &mut [0; 12]), Some(&b"HTTP/1.1 200"[..]));
        assert_eq!(gather(&bufs, &mut [0; 11]), None);
        assert_eq!(gather(&[], &mut []), Some(&b""[..]));
    }
}
