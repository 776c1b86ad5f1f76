//! Accepting connections, one thread each, until told to stop.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection;
use crate::server::Server;

/// The pause after the system refused a connection, most likely for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The exit codes of a drain that cut requests off, and of a server that failed.
const EXIT_CUT: u8 = 3;
const EXIT_FAILED: u8 = 4;

/// Serves until drained; returns the exit code.
pub(crate) fn run(server: &Arc<Server>) -> Result<u8, String> {
    let listener = server.take_listener().ok_or("the server runs already")?;
    // The server works without a reader of its standard output.
    let mut out = std::io::stdout();
    let _ = writeln!(out, "argus: listening on http://{}", server.ending.address).and_then(|()| out.flush());
    while !server.is_draining() {
        let Ok((socket, peer)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let socket = Arc::new(socket);
        if !server.slots.has_room_for(peer) {
            connection::turn_away(server, &socket);
            continue;
        }
        let Some(slot) = server.slots.take(&socket, peer, || !server.is_draining()) else { break };
        let serving = Arc::clone(server);
        let serve = move || {
            // An error here is the client's: it left, or it does not read.
            let _ = connection::serve(&serving, socket, &slot);
        };
        if thread::Builder::new().spawn(serve).is_err() {
            // The connection is closed; a thread may be free for the next one.
            thread::sleep(ACCEPT_PAUSE);
        }
    }
    drop(listener);
    let drained = server.slots.wait_until_free(Instant::now().checked_add(server.settings.drain_timeout));
    server.committer.close();
    Ok(match (server.ending.failure(), drained) {
        (Some(_), _) => EXIT_FAILED,
        (None, true) => 0,
        (None, false) => EXIT_CUT,
    })
}
