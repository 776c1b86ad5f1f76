//! A socket with deadlines, and the bytes that have come but were not used.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// How long a client is listened to at most that was answered before it had sent everything, and how long it may pause.
/// Closing at once would make the kernel reset the connection, and the answer might be lost with it.
const LINGER: Duration = Duration::from_secs(120);
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// What such a client may send beyond the longest body, in bytes.
const LINGER_EXTRA_BYTES: usize = 1 << 20;

/// What every answer begins with.
const ANSWER_START: &[u8] = b"HTTP/1.";

#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    /// What the client's system had acknowledged when it last took too long.
    acknowledged: u64,
    /// Bytes of the next answer that were sent already.
    ahead: usize,
    unread: Vec<u8>,
}

/// What the system says about a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TcpState {
    Open,
    /// The client sends no more. It may still read, or be gone.
    HalfClosed,
    Closed,
}

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Bytes,
    End,
    TimedOut,
}

impl Stream {
    pub(crate) fn new(socket: Arc<TcpStream>, write_timeout: Duration) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(write_timeout))?;
        Ok(Self { socket, acknowledged: 0, ahead: 0, unread: Vec::new() })
    }

    /// What has come and was not used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes bytes away that were used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.unread.drain(..count.min(self.unread.len()));
    }

    /// Takes up to `count` of the bytes that have come.
    pub(crate) fn take(&mut self, count: usize) -> impl Iterator<Item = u8> + '_ {
        let count = count.min(self.unread.len());
        self.unread.drain(..count)
    }

    /// Waits until there are more bytes.
    pub(crate) fn wait(&self, deadline: Instant) -> io::Result<Received> {
        arrived(&self.socket, deadline, |socket| socket.peek(&mut [0]))
    }

    /// Waits for more bytes.
    pub(crate) fn receive(&mut self, deadline: Instant) -> io::Result<Received> {
        let length = self.unread.len();
        self.unread.resize(length + READ_BYTES, 0);
        let mut count = 0;
        let room = self.unread.get_mut(length..).unwrap_or_default();
        let received = arrived(&self.socket, deadline, |mut socket| {
            count = socket.read(room)?;
            Ok(count)
        });
        self.unread.truncate(length + count);
        received
    }

    /// Writes all of it. A client that takes nothing for the time of a timeout gets no more.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let ahead = ANSWER_START.get(..std::mem::take(&mut self.ahead)).unwrap_or_default();
        let rest = bytes.strip_prefix(ahead);
        self.write_all(rest.ok_or_else(|| io::Error::other("an answer does not begin as every answer does"))?)
    }

    /// Writes what the system takes at once; the rest is the caller's to [write](Self::write).
    pub(crate) fn write_at_once<'b>(&self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        self.socket.set_nonblocking(true)?;
        let written = (&*self.socket).write(bytes);
        self.socket.set_nonblocking(false)?;
        match written {
            Ok(count) => Ok(bytes.get(count..).unwrap_or_default()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(bytes),
            Err(error) => Err(error),
        }
    }

    /// Writes the first byte of the next answer, or the one behind those that were written so.
    pub(crate) fn write_answer_ahead(&mut self) -> io::Result<()> {
        if let Some(byte) = ANSWER_START.get(self.ahead) {
            self.write_all(&[*byte])?;
            self.ahead += 1;
        }
        Ok(())
    }

    /// What the system says about the connection.
    pub(crate) fn tcp_state(&self) -> io::Result<TcpState> {
        tcp_state(&self.socket)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&*self.socket).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    // There may be no room because the kernel waits for a good part of a large buffer.
                    let acknowledged = acknowledged(&self.socket)?;
                    if acknowledged <= self.acknowledged {
                        self.set_reset_on_close(true)?;
                        return Err(error);
                    }
                    self.acknowledged = acknowledged;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sets whether the end of the socket, however it comes, is a reset.
    pub(crate) fn set_reset_on_close(&self, reset: bool) -> io::Result<()> {
        SockRef::from(&*self.socket).set_linger(reset.then_some(Duration::ZERO))
    }

    /// Closes so that the last answer arrives, also to a client that is still sending a body of some length. While the
    /// server drains, it does not wait for long.
    pub(crate) fn close(mut self, body_bytes_max: usize, is_draining: impl Fn() -> bool) {
        let mut end = Instant::now() + LINGER;
        let mut draining = false;
        let mut room = body_bytes_max.saturating_add(LINGER_EXTRA_BYTES);
        if self.socket.shutdown(Shutdown::Write).is_ok() {
            self.unread.clear();
            while matches!(self.receive(end.min(Instant::now() + LINGER_PAUSE)), Ok(Received::Bytes)) {
                match room.checked_sub(self.unread.len()) {
                    Some(less) => room = less,
                    None => break,
                }
                self.unread.clear();
                if !draining && is_draining() {
                    draining = true;
                    end = end.min(Instant::now() + LINGER_PAUSE);
                }
            }
        }
    }
}

/// What one way to read has brought by the deadline.
fn arrived(
    socket: &TcpStream,
    deadline: Instant,
    read: impl FnOnce(&TcpStream) -> io::Result<usize>,
) -> io::Result<Received> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Ok(Received::TimedOut);
    }
    socket.set_read_timeout(Some(left))?;
    match read(socket) {
        Ok(0) => Ok(Received::End),
        Ok(_) => Ok(Received::Bytes),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(Received::TimedOut),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::Bytes),
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
use linux::{acknowledged, tcp_state};

/// What the system tells of a connection.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::TcpStream;

    use nix::{getsockopt_impl, sockopt_impl};

    use super::TcpState;

    // `<net/tcp_states.h>`
    const TCP_CLOSE: u8 = 7;
    const TCP_CLOSE_WAIT: u8 = 8;

    /// The beginning of `struct tcp_info`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    #[expect(unreachable_pub, reason = "what nix makes of it is `pub`, and a type of its interface has to be")]
    pub struct TcpInfoStart {
        state: u8,
        _ca_state_to_total_retransmissions: [u8; 103],
        _pacing_rates: [u64; 2],
        bytes_acked: u64,
    }

    sockopt_impl!(
        /// Counters of a connection.
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        TcpInfoStart
    );

    pub(super) fn tcp_state(socket: &TcpStream) -> io::Result<TcpState> {
        Ok(match nix::sys::socket::getsockopt(socket, TcpInfo)?.state {
            TCP_CLOSE => TcpState::Closed,
            TCP_CLOSE_WAIT => TcpState::HalfClosed,
            _ => TcpState::Open,
        })
    }

    /// How many bytes the peer's system has acknowledged.
    pub(super) fn acknowledged(socket: &TcpStream) -> io::Result<u64> {
        Ok(nix::sys::socket::getsockopt(socket, TcpInfo)?.bytes_acked)
    }
}

/// Nothing is known of it here.
#[cfg(not(target_os = "linux"))]
fn acknowledged(_: &TcpStream) -> io::Result<u64> {
    Ok(0)
}

/// Nor this.
#[cfg(not(target_os = "linux"))]
fn tcp_state(_: &TcpStream) -> io::Result<TcpState> {
    Ok(TcpState::Open)
}
