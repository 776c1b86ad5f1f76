//! The endpoint: bound before the repository is opened, served after.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

/// Completed connections that the kernel queues before they are accepted. The kernel caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Most bytes of an answer that the kernel holds unsent, per connection.
///
/// By default it holds as much as its buffer allows, some megabytes, and reports room again when a third of that is
/// free. A slow reader would appear to take nothing for minutes, and the write timeout would cut it off. With this
/// limit the kernel reports progress after each half of it. A lower one would slow down large downloads.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Binds the first address of the endpoint that is free. Clients cannot connect yet.
///
/// # Errors
///
/// The error of the last address.
pub fn bind(endpoint: &str) -> io::Result<Socket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in endpoint.to_socket_addrs()? {
        let bound = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            // Otherwise a restart would have to wait until the kernel has forgotten old connections.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            // Accepted sockets inherit this.
            #[cfg(target_os = "linux")]
            socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
            socket.bind(&address.into())?;
            Ok(socket)
        });
        match bound {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Lets clients connect. The listener is non-blocking.
///
/// # Errors
///
/// If another process has bound the address at the same time.
pub fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Prints the server's URL, for scripts and tests that chose port 0. A closed standard output is not an error.
pub fn announce(program: &str, scheme: &'static str, address: SocketAddr) {
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), "listening on {scheme}://{address}");
    let line = move || {
        let mut out = io::stdout().lock();
        drop(writeln!(out, "argus: listening on {scheme}://{address}").and_then(|()| out.flush()));
    };
    // On a thread of its own, since a stalled reader would block it.
    if thread::Builder::new().name("argus-announce".to_owned()).spawn(line).is_err() {
        line();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_endpoint_is_bound_and_listened_to_in_two_steps() {
        let socket = bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err(), "the socket does not listen yet");
        let listener = listen(socket).unwrap();
        std::net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(bind("no port").is_err());
        assert!(bind(&address.to_string()).is_err(), "the port is taken");
    }
}
