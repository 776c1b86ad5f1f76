//! The server: accepting connections until the drain begins, and waiting until the last of them has ended.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use argus_host::lifecycle::{ConnectionPermit, unless_draining};
use argus_host::node::Node;
use argus_host::runtime::Runtime;
use argus_host::watch;
use argus_host::wire::Wire;
use tokio::net::TcpListener;

use crate::app;
use crate::connection;
use crate::runtime::{Tokio, Workers};

/// How long accepting pauses when the system has no room for another connection. Without a pause the loop would spin, for the
/// connection that could not be accepted is still waiting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Begins to serve the node, which goes on until it drains.
///
/// # Errors
///
/// The endpoint could not be listened to; nothing is served.
pub fn serve(workers: &Workers, node: Arc<Node>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = workers.enter(|| TcpListener::from_std(listener))?;
    let accepting = accept_all(Arc::clone(&node), listener, workers.handle());
    workers.begin(async move {
        let lifecycle = &node.lifecycle;
        watch::task("accepting", accepting, || lifecycle.is_draining(), |reason| lifecycle.fail(reason)).await;
    });
    Ok(())
}

async fn accept_all(node: Arc<Node>, listener: TcpListener, runtime: Tokio) {
    let app = app::app();
    let wire = Wire::new(Arc::clone(&node), runtime.clone());
    while let Some((stream, peer, permit)) = unless_draining(&node.lifecycle, accept(&node, &runtime, &listener)).await
    {
        runtime.spawn(connection::serve(wire.clone(), app.clone(), stream, peer, permit));
    }
}

/// The next connection, and room for it: where there is none, it is what an idle one is closed for. An error of accepting is either of one connection, and the next may be better, or a
/// lack of something (file descriptors, memory) that may pass.
async fn accept(node: &Node, runtime: &Tokio, listener: &TcpListener) -> (TcpStream, SocketAddr, ConnectionPermit) {
    loop {
        // As a socket that no worker waits for yet.
        let accepted = listener.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        match accepted {
            Ok((stream, peer)) => return (stream, peer, node.admit().await),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                node.accept_failed(&error);
                runtime.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an error of accepting concerns the connection that was to be accepted, and not the ability to accept.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
