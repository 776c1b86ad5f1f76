//! Clients that burden a server: they stay idle, never finish a request, or read slowly.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::wait::wait;

/// How often each client visits its connections.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait for a connection before the next attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The receive buffer of a slow reader. Linux permits smaller ones.
const RECEIVE_BUFFER_BYTES: usize = 4096;

/// A kind of burdensome client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burden {
    /// The number of connections that it holds.
    connections: usize,
    /// The bytes that it sends on each.
    sends: &'static str,
    /// The bytes that it reads at each [`TICK`].
    reads: usize,
}

/// Stays idle before its first request.
const IDLE: Burden = Burden { connections: 150, sends: "", reads: 64 };
/// Stays idle after a request.
const KEPT_ALIVE: Burden = Burden { connections: 50, sends: "GET /health HTTP/1.1\r\nhost: a\r\n\r\n", reads: 4096 };
/// Never finishes the head of a request.
const HALF_HEAD: Burden =
    Burden { connections: 50, sends: "POST /events HTTP/1.1\r\nhost: a\r\ncontent-", reads: 4096 };
/// Declares a long body and sends one byte of it.
const HALF_BODY: Burden = Burden {
    connections: 30,
    sends: "POST /events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 8388608\r\n\r\n[",
    reads: 4096,
};
/// Requests everything and reads slowly.
const SLOW_READER: Burden = Burden { connections: 10, sends: "GET /events HTTP/1.0\r\n\r\n", reads: 512 };

/// All kinds. Together they want more connections than [the server allows](CONNECTIONS_MAX).
pub(crate) const BURDENS: [Burden; 5] = [IDLE, KEPT_ALIVE, HALF_HEAD, HALF_BODY, SLOW_READER];

/// The most connections of a server in a soak, for `--max-connections`.
pub(crate) const CONNECTIONS_MAX: &str = "200";

impl Burden {
    /// Holds its connections until `stop` is set, and opens a new one if the server closes one. Returns the number of
    /// connections opened.
    ///
    /// The server may treat these clients as it likes; only other clients must not suffer.
    pub(crate) fn hold(self, address: SocketAddr, stop: &AtomicBool) -> u64 {
        let mut held: Vec<Option<TcpStream>> = (0..self.connections).map(|_| None).collect();
        let mut opened = 0;
        while !stop.load(Ordering::Relaxed) {
            for slot in &mut held {
                if !slot.as_mut().is_some_and(|stream| self.is_open(stream)) {
                    *slot = self.open(address).ok();
                    opened += u64::from(slot.is_some());
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            wait(TICK);
        }
        opened
    }

    fn open(self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
        socket.connect_timeout(&address.into(), CONNECT_TIMEOUT)?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(self.sends.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Reads its share; returns whether the connection is still open.
    fn is_open(self, stream: &mut TcpStream) -> bool {
        let mut buffer = vec![0; self.reads];
        match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}
