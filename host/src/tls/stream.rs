//! One TLS connection over any socket.

use std::io::{self, BufRead as _, ErrorKind, IoSlice, Write as _};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustls::ServerConnection;

use super::HandshakeError;
use crate::socket::{Socket, TcpState};

/// Most bytes that a client may send in its handshake. It is not asked for a certificate, so it needs less than 4 KiB.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// Longest record, in bytes (RFC 8446, section 5.2).
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 256;

/// Most times that a read receives something before other tasks get a turn. What a client sends may be of no use to the
/// reader: a byte of a long record, or a record without content.
const RECEIVES_MAX: usize = 16;

/// The server's end of a TLS connection.
///
/// It has three buffers, all within rustls: a record that has not arrived completely, a record that was decrypted and
/// not read yet, and encrypted bytes that the socket has not taken. Nothing more is encrypted until the socket has
/// taken all of them. So a write may succeed and leave bytes behind, which a flush or the next write hands to the
/// socket.
#[derive(Debug)]
pub(crate) struct TlsStream<S: Socket> {
    socket: S,
    session: ServerConnection,
    /// The first byte that arrived. A client that speaks HTTP without TLS begins with a letter.
    first: Option<u8>,
    /// Bytes that have arrived since the last ones that could be read.
    undecrypted: usize,
    /// The connection would end in a reset now.
    resets: AtomicBool,
    /// The alert that announces the end was encrypted.
    has_closed: bool,
}

impl<S: Socket> TlsStream<S> {
    pub(super) fn new(socket: S, session: ServerConnection) -> Self {
        Self { socket, session, first: None, undecrypted: 0, resets: AtomicBool::new(false), has_closed: false }
    }

    /// Ready once the client and the server have agreed on keys.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        loop {
            ready!(self.poll_send(cx)).map_err(|_| HandshakeError::Gone)?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_receive(cx)) {
                Ok(0) => return Poll::Ready(Err(HandshakeError::Gone)),
                Ok(_) if self.undecrypted > HANDSHAKE_BYTES_MAX => {
                    return Poll::Ready(Err(HandshakeError::TooLong));
                }
                Ok(_) => {}
                Err(_) if self.first.is_some_and(|byte| byte.is_ascii_uppercase()) => {
                    return Poll::Ready(Err(HandshakeError::PlainHttp));
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    // The alert says why. Whether it arrives makes no difference here.
                    let _ = self.poll_send(cx);
                    return Poll::Ready(Err(HandshakeError::Failed(error.into())));
                }
                Err(_) => return Poll::Ready(Err(HandshakeError::Gone)),
            }
        }
    }

    /// The socket below, for an answer to a client that does not speak TLS.
    pub(super) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Hands all encrypted bytes to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Blocking { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once, and decrypts what is complete. Returns the number of bytes read; 0 at the end. The
    /// error is [`ErrorKind::InvalidData`] if they are not TLS.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut incoming = Incoming { socket: Blocking { socket: &mut self.socket, cx }, first: &mut self.first };
        match self.session.read_tls(&mut incoming) {
            Ok(bytes) => {
                self.undecrypted = self.undecrypted.saturating_add(bytes);
                match self.session.process_new_packets() {
                    Ok(state) => {
                        if state.plaintext_bytes_to_read() > 0 {
                            self.undecrypted = 0;
                        }
                        Poll::Ready(Ok(bytes))
                    }
                    Err(error) => Poll::Ready(Err(io::Error::new(ErrorKind::InvalidData, error))),
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Encrypts the alert that announces the end, unless the end is a reset.
    fn close(&mut self) {
        let is_open = !self.session.is_handshaking() && !self.resets.load(Ordering::Relaxed);
        if is_open && !self.has_closed {
            self.session.send_close_notify();
        }
        self.has_closed = true;
    }

    /// What remains to be done by a write that has encrypted something: to hand it to the socket, as far as it takes
    /// it. The rest is for the next call.
    fn poll_written(&mut self, cx: &mut Context<'_>, written: io::Result<usize>) -> Poll<io::Result<usize>> {
        let written = written?;
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(written)),
        }
    }
}

impl<S: Socket> Read for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        for _ in 0..RECEIVES_MAX {
            let mut reader = this.session.reader();
            match reader.fill_buf() {
                // The client has announced the end.
                Ok([]) => return Poll::Ready(Ok(())),
                Ok(bytes) => {
                    let piece = bytes.get(..buf.remaining()).unwrap_or(bytes);
                    let taken = piece.len();
                    buf.put_slice(piece);
                    reader.consume(taken);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Among them: the end was not announced, so input may be missing.
                Err(error) => return Poll::Ready(Err(error)),
            }
            // An answer to a message of TLS itself may be due, for which nobody else would call.
            if let Poll::Ready(Err(error)) = this.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(this.poll_receive(cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Socket> Write for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let written = this.session.writer().write(buf);
        this.poll_written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let written = this.session.writer().write_vectored(bufs);
        this.poll_written(cx, written)
    }

    /// True: the pieces are joined by encrypting them.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl<S: Socket> Socket for TlsStream<S> {
    fn reset_on_close(&self, reset: bool) {
        self.resets.store(reset, Ordering::Relaxed);
        self.socket.reset_on_close(reset);
    }

    /// What was decrypted is always read at once.
    fn has_input(&self) -> bool {
        self.socket.has_input()
    }

    fn acknowledged(&self) -> Option<u64> {
        self.socket.acknowledged()
    }

    fn tcp_state(&self) -> Option<TcpState> {
        self.socket.tcp_state()
    }

    /// At most the length of one record: a client that sends empty records must not count as one whose body arrives.
    fn undecrypted(&self) -> usize {
        self.undecrypted.min(RECORD_BYTES_MAX)
    }

    fn poll_read_raw(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

/// A connection that is closed while idle is closed in order, as far as the socket takes the alert at once.
impl<S: Socket> Drop for TlsStream<S> {
    fn drop(&mut self) {
        if !self.has_closed {
            self.close();
            let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// The socket in the form that rustls takes. An operation that would have to wait fails with
/// [`ErrorKind::WouldBlock`], after the task was registered to be woken.
struct Blocking<'a, 'c, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'c>,
}

fn ready_or_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(done) => done,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl<S: Socket> io::Read for Blocking<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut read = ReadBuf::new(buf);
        ready_or_block(Pin::new(&mut *self.socket).poll_read(self.cx, read.unfilled()))?;
        Ok(read.filled().len())
    }
}

impl<S: Socket> io::Write for Blocking<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        ready_or_block(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        ready_or_block(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What arrives, of which the first byte is noted.
struct Incoming<'a, 'c, S> {
    socket: Blocking<'a, 'c, S>,
    first: &'a mut Option<u8>,
}

impl<S: Socket> io::Read for Incoming<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.socket.read(buf)?;
        if self.first.is_none() {
            *self.first = buf.get(..bytes).and_then(<[u8]>::first).copied();
        }
        Ok(bytes)
    }
}
