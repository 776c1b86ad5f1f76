//! What the wire asks of a connection's socket, beside reading and writing.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

/// Sets whether the end of the socket is a reset or an orderly close, however it comes to its end: closed by us, or by
/// the system because the process has died. A reset drops what was written and has not arrived.
pub(crate) fn reset_on_close(socket: &impl AsFd, reset: bool) {
    // Refused for a socket that has no connection any more. There is nobody left then who could take a part for the
    // whole.
    if let Err(error) = SockRef::from(socket).set_linger(reset.then_some(Duration::ZERO)) {
        tracing::debug!(%error, "how a connection closes could not be set");
    }
}

/// Whether bytes have come that were not read. Of a socket that does not block.
pub(crate) fn has_input(socket: &impl AsFd) -> bool {
    // A failure is told to whoever reads.
    SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|bytes| bytes > 0)
}

/// How many bytes the peer's system has acknowledged since the connection began. `None` where the system does not tell.
pub(crate) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::acknowledged(socket);
    #[cfg(not(target_os = "linux"))]
    return None;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsFd;

    use nix::sys::socket::getsockopt;
    use nix::{getsockopt_impl, sockopt_impl};

    /// The beginning of `struct tcp_info` as Linux has had it since 4.1. Later fields are left out, so that the system
    /// knows all of these.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    #[expect(unreachable_pub, reason = "what nix makes of it is `pub`, and a type of its interface has to be")]
    pub struct TcpInfoStart {
        _state_to_total_retransmissions: [u64; 13],
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

    pub(super) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
        Some(getsockopt(socket, TcpInfo).ok()?.bytes_acked)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn what_has_arrived_is_acknowledged() {
        let (mut server, mut client) = pair();
        let before = acknowledged(&server).unwrap();
        server.write_all(&[7; 1000]).unwrap();
        client.read_exact(&mut [0; 1000]).unwrap();
        // The client's answer to it can only be read behind the acknowledgement of what it answers.
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        assert_eq!(acknowledged(&server).unwrap() - before, 1000);
    }

    #[test]
    fn input_is_what_has_come_and_was_not_read() {
        let (server, mut client) = pair();
        server.set_nonblocking(true).unwrap();
        assert!(!has_input(&server));
        client.write_all(b"x").unwrap();
        server.set_nonblocking(false).unwrap();
        // Waits for it.
        server.peek(&mut [0]).unwrap();
        server.set_nonblocking(true).unwrap();
        assert!(has_input(&server) && has_input(&server));
        (&server).read_exact(&mut [0]).unwrap();
        assert!(!has_input(&server));
        drop(client);
        server.set_nonblocking(false).unwrap();
        assert_eq!(server.peek(&mut [0]).unwrap(), 0);
        server.set_nonblocking(true).unwrap();
        assert!(!has_input(&server), "the end is nothing that came");
    }

    #[test]
    fn a_socket_closes_as_it_was_told_last() {
        let (server, mut client) = pair();
        reset_on_close(&server, true);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (server, mut client) = pair();
        reset_on_close(&server, true);
        reset_on_close(&server, false);
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}
