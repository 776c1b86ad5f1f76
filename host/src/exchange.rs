//! One request on its way through a framework and back.

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;

use crate::reply_body::ReplyBody;
use crate::runtime::Runtime;
use crate::service::Session;
use crate::websocket::Application;

/// A request handed through the framework to its handler.
///
/// The framework only routes the request. The core decides what it means, and has to see it as it was sent. So the
/// request travels whole, in a handle that frameworks can carry as a value (`Clone`, `Send`, `Sync` and `'static`), and
/// the handler runs it.
pub struct Exchange<R> {
    shared: Arc<Shared<R>>,
}

struct Shared<R> {
    session: Arc<Session<R>>,
    method: Method,
    uri: Uri,
    request: Mutex<Option<Request<Incoming>>>,
}

impl<R: Runtime> Exchange<R> {
    pub(crate) fn new(session: Arc<Session<R>>, request: Request<Incoming>) -> Self {
        session.record_request(&request);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { shared: Arc::new(Shared { session, method, uri, request: Mutex::new(Some(request)) }) }
    }

    /// The method, for the framework's routing.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.shared.method
    }

    /// The target, for the framework's routing. It always has a path: targets that confuse frameworks (`CONNECT`,
    /// `OPTIONS *`, an authority alone) are answered before.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.shared.uri
    }

    /// Does what the request asks for and returns the complete answer: status, header fields and body. Call it once, on
    /// any clone; a second call is answered with 500. Never panics: a panic inside is caught, logged and answered with
    /// 500.
    ///
    /// The future is boxed because it is large, and frameworks move it often.
    pub fn run(&self) -> BoxFuture<'static, Response<ReplyBody>> {
        let Shared { session, request, .. } = &*self.shared;
        let request = request.lock().unwrap_or_else(PoisonError::into_inner).take();
        match request {
            Some(request) => Box::pin(Arc::clone(session).handle(request)),
            None => Box::pin(ready(session.internal_error("an exchange was run twice"))),
        }
    }

    /// Answers a request for a WebSocket with 101, whatever its path, and runs `application` on it. Another request is
    /// answered as the core says, or with 404. In place of [`run`](Self::run), for programs that test the protocol.
    pub fn upgrade(&self, application: Box<dyn Application>) -> Response<ReplyBody> {
        let Shared { session, request, .. } = &*self.shared;
        match request.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(request) => session.upgrade(&request, application),
            None => session.internal_error("an exchange was run twice"),
        }
    }
}

impl<R> Clone for Exchange<R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<R> fmt::Debug for Exchange<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.shared.method)
            .field("uri", &self.shared.uri)
            .finish_non_exhaustive()
    }
}
