//! `argus-smol` with a WebSocket at every path that sends each message back: what Autobahn's fuzzing client tests
//! (`cargo xtask autobahn`). It takes a host's settings.

use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use argus_host::lifecycle::unless_draining;
use argus_host::node::Node;
use argus_host::websocket::Echo;
use argus_host::wire::Wire;
use argus_smol::connection::Socket;
use argus_smol::runtime::{Smol, Workers};
use smol::Async;

fn main() -> ExitCode {
    argus_host::process::run("smol-echo", Workers::start, serve)
}

fn serve(workers: &Workers, node: Arc<Node>, listener: TcpListener) -> io::Result<()> {
    let listener = Async::new(listener)?;
    workers.begin(accept_all(node, listener, workers.handle()));
    Ok(())
}

async fn accept_all(node: Arc<Node>, listener: Async<TcpListener>, runtime: Smol) {
    let wire = Wire::new(Arc::clone(&node), runtime.clone());
    while let Some(accepted) = unless_draining(&node.lifecycle, listener.accept()).await {
        let Ok((stream, peer)) = accepted else { continue };
        let Some(permit) = node.admit(&runtime, &stream, peer).await else { continue };
        let wire = wire.clone();
        runtime.spawn(async move {
            wire.drive(Socket::from(stream), peer, permit, |exchange| ready(exchange.upgrade(Box::<Echo>::default())))
                .await;
        });
    }
}
