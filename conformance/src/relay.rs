//! An address that stays while servers behind it come and go.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::failure::Failure;

/// Passes connections on to a server that may be replaced by another. It ends with the process.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
}

impl Relay {
    /// Begins to pass on to this server.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no port.
    pub fn to(server: SocketAddr) -> Result<Self, Failure> {
        let unmet = |error: io::Error| Failure::unmet(format!("a port for a relay: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unmet)?;
        let address = listener.local_addr().map_err(unmet)?;
        let server = Arc::new(Mutex::new(server));
        let current = Arc::clone(&server);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = *current.lock().unwrap_or_else(PoisonError::into_inner);
                // Without a server the client's connection ends, as if it had been refused.
                if let Ok(server) = TcpStream::connect(server) {
                    // An error is the end of this connection.
                    let _ = pass_on(&client, &server);
                }
            }
        });
        Ok(Self { address, server })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes new connections on to this server.
    pub fn turn_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }
}

/// Copies in both directions, on threads of their own. The end of either direction is the end of both.
fn pass_on(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // It ends when either side does, and then both are told. That fails for a side that has left.
            let _ = io::copy(&mut from, &mut to);
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
        });
    }
    Ok(())
}
