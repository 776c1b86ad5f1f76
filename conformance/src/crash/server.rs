//! Signals and requests to a running server.

use std::net::SocketAddr;

use argus_conformance::client::{Connection, Request, Response, Transcript};
use argus_conformance::launcher::{Running, Signal};

/// Sends a signal to the server.
pub(crate) fn signal(server: &dyn Running, signal: Signal) -> Result<(), String> {
    server.signal(signal).map_err(|failure| failure.to_string())
}

/// Ends a server by SIGTERM; its exit code must be 0.
pub(crate) fn terminate(server: &mut dyn Running) -> Result<(), String> {
    signal(server, Signal::Terminate)?;
    let exit = server.wait().map_err(|failure| failure.to_string())?;
    if exit.code == Some(0) {
        return Ok(());
    }
    Err(format!("after SIGTERM the exit code was {:?}:\n{}", exit.code, exit.stderr))
}

/// Ends a server by SIGKILL.
pub(crate) fn kill(server: &mut dyn Running) -> Result<(), String> {
    let killed = server.signal(Signal::Kill).and_then(|()| server.wait().map(drop));
    killed.map_err(|failure| failure.to_string())
}

/// The answer to a `GET` on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> Result<Response, String> {
    open(address)?.request(&Request::get(target)).map_err(|failure| failure.to_string())
}

/// A new connection.
pub(crate) fn open(address: SocketAddr) -> Result<Connection, String> {
    Connection::open(address, Transcript::default()).map_err(|failure| failure.to_string())
}

/// A violation with the log of the server.
pub(crate) fn with_log(error: &str, server: &dyn Running) -> String {
    format!("{error}\nThe log of the server:\n{}", server.log())
}
