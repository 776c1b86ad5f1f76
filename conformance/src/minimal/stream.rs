//! A socket with deadlines, and the received bytes that were not used yet.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// Bytes to read from the socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// After an early answer, how long at most a client's remaining bytes are read, and how long it may pause. Closing at
/// once would cause a reset, which could destroy the answer.
const LINGER: Duration = Duration::from_secs(120);
const LINGER_PAUSE: Duration = Duration::from_secs(5);
/// The most bytes that such a client may send beyond the longest body.
const LINGER_EXTRA_BYTES: usize = 1 << 20;

/// The start of every answer.
const ANSWER_START: &[u8] = b"HTTP/1.";

#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    /// The bytes that the client's system had acknowledged at the last write timeout.
    acknowledged: u64,
    /// Bytes of the next answer that were already sent.
    ahead: usize,
    unread: Vec<u8>,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TcpState {
    Open,
    /// The client has closed its half. It may still read, or be gone.
    HalfClosed,
    Closed,
}

/// The result of a read.
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

    /// The address of the client's end.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.socket.peer_addr().ok().map(|address| address.ip())
    }

    /// The received bytes that were not used yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Removes used bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.unread.drain(..count.min(self.unread.len()));
    }

    /// Removes and returns up to `count` of the received bytes.
    pub(crate) fn take(&mut self, count: usize) -> impl Iterator<Item = u8> + '_ {
        let count = count.min(self.unread.len());
        self.unread.drain(..count)
    }

    /// Waits until bytes can be read.
    pub(crate) fn wait(&self, deadline: Instant) -> io::Result<Received> {
        arrived(&self.socket, deadline, |socket| socket.peek(&mut [0]))
    }

    /// Reads more bytes.
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

    /// Writes all bytes. Fails if the client reads none for the time of a timeout.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let ahead = ANSWER_START.get(..std::mem::take(&mut self.ahead)).unwrap_or_default();
        let rest = bytes.strip_prefix(ahead);
        self.write_all(rest.ok_or_else(|| io::Error::other("an answer does not start like every answer"))?)
    }

    /// Writes the bytes that fit into the socket's buffer; returns the rest, which the caller must
    /// [write](Self::write).
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

    /// Sends the first byte of the next answer, or the one after those already sent.
    pub(crate) fn write_answer_ahead(&mut self) -> io::Result<()> {
        if let Some(byte) = ANSWER_START.get(self.ahead) {
            self.write_all(&[*byte])?;
            self.ahead += 1;
        }
        Ok(())
    }

    /// Reads the state of the connection from the system.
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
                    // A full buffer alone proves nothing: the kernel waits until a good part of a large buffer is free.
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

    /// Sets whether closing the socket, in whatever way, is a reset.
    pub(crate) fn set_reset_on_close(&self, reset: bool) -> io::Result<()> {
        SockRef::from(&*self.socket).set_linger(reset.then_some(Duration::ZERO))
    }

    /// Closes so that the last answer arrives, even at a client that is still sending a body of limited length. During
    /// a drain it does not wait long.
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

/// The result of a read by the deadline.
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

/// The state of a connection, from Linux.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::net::TcpStream;

    use nix::{getsockopt_impl, sockopt_impl};

    use super::TcpState;

    // `<net/tcp_states.h>`
    const TCP_CLOSE: u8 = 7;
    const TCP_CLOSE_WAIT: u8 = 8;

    /// The start of `struct tcp_info`.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    #[expect(
        unreachable_pub,
        reason = "the function that nix generates is `pub`, so the types of its signature must be"
    )]
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

    /// The number of bytes that the peer's system has acknowledged.
    pub(super) fn acknowledged(socket: &TcpStream) -> io::Result<u64> {
        Ok(nix::sys::socket::getsockopt(socket, TcpInfo)?.bytes_acked)
    }
}

/// Not available on this system.
#[cfg(not(target_os = "linux"))]
fn acknowledged(_: &TcpStream) -> io::Result<u64> {
    Ok(0)
}

/// Not available on this system.
#[cfg(not(target_os = "linux"))]
fn tcp_state(_: &TcpStream) -> io::Result<TcpState> {
    Ok(TcpState::Open)
}
