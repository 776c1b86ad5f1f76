//! The warp application.
//!
//! warp gets a request with only the method and the target, to route by. The original request travels as an
//! [`Exchange`] in the extensions of warp's request, so that nothing is lost or copied. The answer comes back as an
//! answer of warp.

use std::convert::Infallible;

use argus_host::exchange::Exchange;
use argus_host::reply_body::ReplyBody;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyDataStream, Empty};
use tower_service::Service;
use warp::Filter;
use warp::reply::Reply;

use crate::runtime::Tokio;

/// The application. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App<S> {
    service: S,
}

/// The service that warp makes of a filter: it takes requests without a body and answers them.
pub trait Routes:
    Service<Request<Empty<Bytes>>, Response = warp::reply::Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Routes for S where
    S: Service<Request<Empty<Bytes>>, Response = warp::reply::Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The application, with one filter for everything: the core decides which paths and methods exist.
#[must_use]
pub fn app() -> App<impl Routes> {
    let everything = warp::ext::get::<Exchange<Tokio>>()
        .then(|exchange: Exchange<Tokio>| async move { into_warp(exchange.run().await) });
    App { service: warp::service(everything) }
}

impl<S: Routes> App<S> {
    /// Passes an exchange through the application.
    pub fn respond(&self, exchange: Exchange<Tokio>) -> impl Future<Output = warp::reply::Response> + Send + use<S> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = exchange.method().clone();
        *request.uri_mut() = exchange.uri().clone();
        request.extensions_mut().insert(exchange);
        let responding = self.service.clone().call(request);
        async move {
            // A filter never fails: warp turns a rejection into an answer.
            let Ok(response) = responding.await;
            response
        }
    }
}

/// The answer as a warp reply. The connection still pulls a streamed body.
fn into_warp(response: Response<ReplyBody>) -> warp::reply::Response {
    let (parts, body) = response.into_parts();
    match body.into_whole() {
        Ok(bytes) => Response::from_parts(parts, bytes.into()),
        Err(streamed) => {
            let mut response = warp::reply::stream(BodyDataStream::new(streamed)).into_response();
            *response.status_mut() = parts.status;
            *response.headers_mut() = parts.headers;
            response
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::FutureExt as _;
    use http::{Method, StatusCode};

    use super::*;

    /// Without an exchange the filter rejects with 500. warp itself would answer 404 or 405, and panics on a missing
    /// path.
    #[test]
    fn every_method_and_path_reaches_the_filter() {
        let app = app();
        let long = "/x".repeat(4096);
        let targets =
            ["/", "//", "*", "/events", "/events/", "/events/a%2Fb", "/../..", "/%", "/%ff", "/a?b", "host:443", &long];
        for method in ["GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "get", "BREW", "M-SEARCH", "!"] {
            for target in targets {
                let mut request = Request::new(Empty::new());
                *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
                *request.uri_mut() = target.parse().unwrap();
                let Ok(response) = app.service.clone().call(request).now_or_never().unwrap();
                assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method} {target}");
            }
        }
    }
}
