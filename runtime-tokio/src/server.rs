//! The server: accepts connections until the drain starts.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use argus_host::lifecycle::{ConnectionPermit, Lifecycle, unless_draining};
use argus_host::node::Node;
use argus_host::runtime::Runtime;
use argus_host::watch;
use argus_host::wire::Wire;
use tokio::net::TcpListener;

use crate::app;
use crate::connection;
use crate::runtime::{Tokio, Workers};

/// The pause after the system had no resources for another connection. Without it the loop would spin, since the
/// connection is still waiting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Starts to serve the node, until it drains.
///
/// # Errors
///
/// The socket could not be registered with the executor; nothing is served.
pub fn serve(workers: &Workers, node: Arc<Node>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = workers.enter(|| TcpListener::from_std(listener))?;
    let lifecycle = Arc::clone(&node.lifecycle);
    begin(workers, lifecycle, accept_all(node, listener, workers.handle()));
    Ok(())
}

/// Starts the accepting task. If it panics or ends before the drain, the server [fails](Lifecycle::fail).
fn begin(workers: &Workers, lifecycle: Arc<Lifecycle>, accepting: impl Future<Output = ()> + Send + 'static) {
    workers.begin(async move {
        watch::task("accepting", accepting, || lifecycle.is_draining(), |reason| lifecycle.fail(reason)).await;
    });
}

async fn accept_all(node: Arc<Node>, listener: TcpListener, runtime: Tokio) {
    let app = app::app();
    let wire = Wire::new(Arc::clone(&node), runtime.clone());
    while let Some((stream, peer, permit)) = unless_draining(&node.lifecycle, accept(&node, &runtime, &listener)).await
    {
        runtime.spawn(connection::serve(wire.clone(), app.clone(), stream, peer, permit));
    }
}

/// Accepts the next connection and waits for its permit; at the limit of connections, an idle one is closed for it.
/// Never fails: after an error of a single connection, it accepts the next at once; when file descriptors or memory are
/// short, it accepts again after a pause.
async fn accept(node: &Node, runtime: &Tokio, listener: &TcpListener) -> (TcpStream, SocketAddr, ConnectionPermit) {
    loop {
        // Not registered with a worker yet.
        let accepted = listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        match accepted {
            Ok((stream, peer)) => {
                if let Some(permit) = node.admit(runtime, &stream, peer).await {
                    return (stream, peer, permit);
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                node.accept_failed(&error);
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an error concerns only the connection to accept, and not the ability to accept.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::num::NonZeroUsize;

    use super::*;

    /// The reason for which the server fails when the accepting task runs `accepting`.
    fn failure(accepting: impl Future<Output = ()> + Send + 'static) -> String {
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        let workers = Workers::start(NonZeroUsize::MIN, &lifecycle).unwrap();
        begin(&workers, Arc::clone(&lifecycle), accepting);
        lifecycle.drained();
        lifecycle.failure().unwrap().to_owned()
    }

    #[test]
    fn the_server_fails_if_accepting_ends() {
        assert_eq!(failure(async { panic!("as told") }), "accepting has panicked: as told");
        assert_eq!(failure(async {}), "accepting has ended unexpectedly");
    }
}
