//! `argus-tokio` with a WebSocket at every path that sends each message back: what Autobahn's fuzzing client tests
//! (`cargo xtask autobahn`). It takes a host's settings.

use std::future::ready;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use argus_host::lifecycle::unless_draining;
use argus_host::node::Node;
use argus_host::websocket::Echo;
use argus_host::wire::Wire;
use argus_tokio::connection::Socket;
use argus_tokio::runtime::{Tokio, Workers};
use tokio::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    argus_host::process::run("tokio-echo", Workers::start, serve)
}

fn serve(workers: &Workers, node: Arc<Node>, listener: std::net::TcpListener) -> io::Result<()> {
    let listener = workers.enter(|| TcpListener::from_std(listener))?;
    workers.begin(accept_all(node, listener, workers.handle()));
    Ok(())
}

async fn accept_all(node: Arc<Node>, listener: TcpListener, runtime: Tokio) {
    let wire = Wire::new(Arc::clone(&node), runtime.clone());
    while let Some(accepted) = unless_draining(&node.lifecycle, listener.accept()).await {
        let Ok((stream, peer)) = accepted else { continue };
        // Not registered with a worker yet.
        let Ok(stream) = stream.into_std() else { continue };
        let Some(permit) = node.admit(&runtime, &stream, peer).await else { continue };
        let wire = wire.clone();
        runtime.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            wire.drive(Socket::from(stream), peer, permit, |exchange| ready(exchange.upgrade(Box::<Echo>::default())))
                .await;
        });
    }
}
