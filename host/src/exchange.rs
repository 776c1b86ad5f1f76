//! One request on its way through a framework, and back.

use http::{Method, Response, Uri};

use crate::runtime::Runtime;
use crate::service::ReplyBody;

/// A request that came over the wire, to be handed through the framework to its handler.
///
/// A framework routes by what it understands of a request; what a request means is for the core to say, which has to see
/// it as it was sent. So the request travels as a whole, in a handle that fits where frameworks have room for a
/// value of one's own (it is `Clone`, `Send`, `Sync` and `'static`), and the handler runs it.
#[derive(Debug)]
pub struct Exchange<R> {
    runtime: std::marker::PhantomData<fn() -> R>,
}

impl<R> Clone for Exchange<R> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<R: Runtime> Exchange<R> {
    /// The method, for the framework's routing.
    #[must_use]
    pub fn method(&self) -> &Method {
        todo!()
    }

    /// The target, for the framework's routing. Always has a path: targets that frameworks stumble over (`CONNECT`, `OPTIONS *`, an authority
    /// alone) were answered before.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        todo!()
    }

    /// Does what the request asks for and gives the complete answer: status, all header fields, body. To be called once, on any clone; a
    /// second call is answered with 500. Never panics: a panic within is caught, logged and answered with 500.
    pub async fn run(&self) -> Response<ReplyBody> {
        todo!()
    }
}
