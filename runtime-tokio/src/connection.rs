//! One accepted connection.

use std::net::{SocketAddr, TcpStream};

use argus_host::lifecycle::ConnectionPermit;
use argus_host::wire::Wire;
use hyper_util::rt::TokioIo;

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
    // Here and not where it was accepted, so that it is this worker who hears of what comes in.
    let stream = match tokio::net::TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return tracing::error!(%peer, %error, "a connection cannot be waited for"),
    };
    // An answer is written at once, so there is nothing to gain from waiting for more. A socket that refuses the option is closed
    // already, and the first read says so.
    let _ = stream.set_nodelay(true);
    wire.drive(TokioIo::new(stream), peer, permit, move |exchange| app.respond(exchange)).await;
}
