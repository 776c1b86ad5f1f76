//! The state of a connection's socket, besides reading and writing.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;

/// A connection's byte stream, and the state of its TCP connection. Implemented for every stream with the file
/// descriptor of a TCP socket.
pub trait Socket: Read + Write + Unpin {
    /// Sets whether the connection ends in a reset or in an orderly close. This also holds if the process dies and the
    /// system closes the connection. A reset discards bytes that were written and have not arrived.
    fn reset_on_close(&self, reset: bool);

    /// Whether unread bytes have arrived. The socket must be non-blocking.
    fn has_input(&self) -> bool;

    /// How many bytes the peer's system has acknowledged since the connection began. `None` where the system does not
    /// report it.
    fn acknowledged(&self) -> Option<u64>;

    /// Whether the peer may send more, and whether the connection still exists. `None` where the system does not report
    /// it.
    fn tcp_state(&self) -> Option<TcpState>;

    /// How many bytes were read that no reader has got, because the rest of their record is missing. 0 for a socket
    /// that does not encrypt.
    fn undecrypted(&self) -> usize {
        0
    }

    /// Reads what is to be discarded: bytes as they arrive, encrypted or not.
    fn poll_read_raw(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.poll_read(cx, buf)
    }
}

/// The state of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// The client may send more.
    Open,
    /// The client sends no more. It may still read, or be gone.
    HalfClosed,
    /// The connection is gone.
    Closed,
}

impl<S: Read + Write + AsFd + Unpin> Socket for S {
    fn reset_on_close(&self, reset: bool) {
        // Fails if the connection is gone. Then no client can mistake a part of an answer for the whole.
        if let Err(error) = SockRef::from(self).set_linger(reset.then_some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot set how a connection closes");
        }
    }

    fn has_input(&self) -> bool {
        // An error is returned by the next read.
        SockRef::from(self).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
    }

    #[cfg(target_os = "linux")]
    fn acknowledged(&self) -> Option<u64> {
        linux::acknowledged(self)
    }

    #[cfg(not(target_os = "linux"))]
    fn acknowledged(&self) -> Option<u64> {
        None
    }

    #[cfg(target_os = "linux")]
    fn tcp_state(&self) -> Option<TcpState> {
        linux::tcp_state(self)
    }

    #[cfg(not(target_os = "linux"))]
    fn tcp_state(&self) -> Option<TcpState> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd;

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, sockopt_impl};

    use super::TcpState;

    // `<net/tcp_states.h>`
    const TCP_CLOSE: u8 = 7;
    const TCP_CLOSE_WAIT: u8 = 8;

    /// The beginning of `struct tcp_info` as in Linux since 4.1. Later fields are left out, so that every system knows
    /// all of these.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    #[expect(unreachable_pub, reason = "the macro of nix makes a `pub` item whose interface names this type")]
    pub struct TcpInfoStart {
        state: u8,
        _ca_state_to_total_retransmissions: [u8; 103],
        _pacing_rates: [u64; 2],
        bytes_acked: u64,
    }

    sockopt_impl!(TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, TcpInfoStart);

    pub(super) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
        Some(getsockopt(socket, TcpInfo).ok()?.bytes_acked)
    }

    pub(super) fn tcp_state(socket: &impl AsFd) -> Option<TcpState> {
        Some(match getsockopt(socket, TcpInfo).ok()?.state {
            TCP_CLOSE => TcpState::Closed,
            TCP_CLOSE_WAIT => TcpState::HalfClosed,
            _ => TcpState::Open,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::os::fd::BorrowedFd;

    use super::*;

    /// A socket whose state is queried. It is not read or written through hyper's traits.
    struct Queried(TcpStream);

    impl AsFd for Queried {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Read for Queried {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl Write for Queried {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn pair() -> (Queried, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Queried(listener.accept().unwrap().0), client)
    }

    #[test]
    fn bytes_that_have_arrived_are_acknowledged() {
        let (server, mut client) = pair();
        let before = server.acknowledged().unwrap();
        (&server.0).write_all(&[7; 1000]).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        // Once the client's byte has arrived, so has its acknowledgement.
        client.write_all(b"x").unwrap();
        (&server.0).read_exact(&mut [0]).unwrap();
        assert_eq!(server.acknowledged().unwrap() - before, 1000);
    }

    #[test]
    fn input_is_what_has_arrived_and_was_not_read() {
        let (server, mut client) = pair();
        server.0.set_nonblocking(true).unwrap();
        assert!(!server.has_input());
        client.write_all(b"x").unwrap();
        server.0.set_nonblocking(false).unwrap();
        // Waits for the byte.
        server.0.peek(&mut [0]).unwrap();
        server.0.set_nonblocking(true).unwrap();
        assert!(server.has_input() && server.has_input());
        (&server.0).read_exact(&mut [0]).unwrap();
        assert!(!server.has_input());
        drop(client);
        server.0.set_nonblocking(false).unwrap();
        assert_eq!(server.0.peek(&mut [0]).unwrap(), 0);
        server.0.set_nonblocking(true).unwrap();
        assert!(!server.has_input(), "the end of the input is not input");
    }

    /// Waits until the system reports the state, which may take a moment.
    fn wait_for(server: &Queried, state: TcpState) {
        while server.tcp_state() != Some(state) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_client_that_is_gone_is_detected_by_sending_to_it() {
        for is_gone in [false, true] {
            let (server, client) = pair();
            assert_eq!(server.tcp_state(), Some(TcpState::Open));
            let reader = if is_gone {
                drop(client);
                None
            } else {
                client.shutdown(Shutdown::Write).unwrap();
                Some(client)
            };
            wait_for(&server, TcpState::HalfClosed);
            (&server.0).write_all(b"H").unwrap();
            match reader {
                Some(mut reader) => {
                    reader.read_exact(&mut [0]).unwrap();
                    assert_eq!(server.tcp_state(), Some(TcpState::HalfClosed));
                }
                None => wait_for(&server, TcpState::Closed),
            }
        }
    }

    #[test]
    fn a_socket_closes_as_last_set() {
        let (server, mut client) = pair();
        server.reset_on_close(true);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (server, mut client) = pair();
        server.reset_on_close(true);
        server.reset_on_close(false);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}
