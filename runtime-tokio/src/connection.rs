//! One accepted connection.

use std::net::SocketAddr;

use argus_host::lifecycle::ConnectionPermit;
use argus_host::wire::Wire;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::app::{App, Routes};
use crate::runtime::Tokio;

/// Serves a connection from its first byte to its last.
pub async fn serve<S: Routes>(
    wire: Wire<Tokio>,
    app: App<S>,
    stream: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
) {
    // An answer is written at once, so there is nothing to gain from waiting for more. A socket that refuses the option is closed
    // already, and the first read says so.
    let _ = stream.set_nodelay(true);
    wire.drive(TokioIo::new(stream), peer, permit, move |exchange| app.respond(exchange)).await;
}
