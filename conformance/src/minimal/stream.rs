//! A socket with deadlines, and the bytes that have come but were not used.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 * 1024;
/// How long a client is listened to that was answered before it had sent everything. Closing at once would make the kernel
/// reset the connection, and the answer might be lost with it.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of an answer that the kernel holds before it has sent them.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<TcpStream>,
    unread: Vec<u8>,
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
        // The kernel wakes a writer when a third of what it holds for the client is gone. Unless it holds little, a client that reads
        // slowly would look as if it took nothing.
        #[cfg(target_os = "linux")]
        socket2::SockRef::from(&*socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        Ok(Self { socket, unread: Vec::new() })
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

    /// Waits for more bytes.
    pub(crate) fn receive(&mut self, deadline: Instant) -> io::Result<Received> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Received::TimedOut);
        }
        self.socket.set_read_timeout(Some(left))?;
        let length = self.unread.len();
        self.unread.resize(length + READ_BYTES, 0);
        let read = (&*self.socket).read(self.unread.get_mut(length..).unwrap_or_default());
        self.unread.truncate(length + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => Ok(Received::End),
            Ok(_) => Ok(Received::Bytes),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(Received::TimedOut),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::Bytes),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.socket).write_all(bytes)
    }

    /// Closes so that the last answer arrives.
    pub(crate) fn close(mut self) {
        let deadline = Instant::now() + LINGER;
        if self.socket.shutdown(Shutdown::Write).is_ok() {
            while matches!(self.receive(deadline), Ok(Received::Bytes)) {
                self.unread.clear();
            }
        }
    }
}
