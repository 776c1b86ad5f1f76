//! HTTP/1.1 over any byte stream: one connection from its first byte to its last, by hyper, with our limits and timeouts.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body::Body;

use crate::exchange::Exchange;
use crate::lifecycle::ConnectionPermit;
use crate::node::Node;
use crate::runtime::Runtime;

/// Drives connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wire<R> {
    node: Arc<Node>,
    runtime: R,
}

impl<R: Runtime> Wire<R> {
    /// Connections of this node, on this executor.
    #[must_use]
    pub fn new(node: Arc<Node>, runtime: R) -> Self {
        Self { node, runtime }
    }

    /// Serves one connection until it is closed by either side, by a timeout, or by the drain, and closes it in such a way that the
    /// last answer arrives. `route` takes each exchange through the framework. Errors of a single connection are logged and counted here.
    pub async fn drive<I, F, A, B>(&self, io: I, peer: SocketAddr, permit: ConnectionPermit, route: F)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send,
        F: Fn(Exchange<R>) -> A + Send + Sync,
        A: Future<Output = Response<B>> + Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let _ = (&self.node, &self.runtime, io, peer, permit, route);
        todo!()
    }
}
