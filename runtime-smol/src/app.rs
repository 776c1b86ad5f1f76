//! The tide application.
//!
//! tide's request carries only a method and a path, to route by: tide normalises paths, and panics on header values
//! that are not ASCII. The original request travels as an [`Exchange`] in the extensions of tide's request, and the
//! answer comes back in those of tide's response.

use std::pin::Pin;

use argus_host::exchange::Exchange;
use argus_host::reply_body::ReplyBody;
use http::Response;
use tide::http::{Method, Url};
use tide::{Endpoint, Request, Server};

use crate::runtime::Smol;

/// The application. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    server: Server<()>,
    base: Url,
}

/// The application, with one endpoint for everything: the core decides which paths and methods exist.
#[must_use]
pub fn app() -> App {
    let mut server = tide::new();
    // tide's wildcard needs at least one character.
    server.at("/").all(RunExchange);
    server.at("/*").all(RunExchange);
    let base = Url::parse("http://argus/").expect("the constant is a URL");
    App { server, base }
}

impl App {
    /// Passes an exchange through the application.
    pub fn respond(&self, exchange: Exchange<Smol>) -> impl Future<Output = Response<ReplyBody>> + Send + use<> {
        let mut request = self.request(exchange.method().as_str(), exchange.uri().path());
        request.ext_mut().insert(exchange.clone());
        let server = self.server.clone();
        async move {
            let answer = match server.respond::<_, tide::http::Response>(request).await {
                Ok(mut response) => response.ext_mut().remove(),
                Err(_) => None,
            };
            match answer {
                Some(Answer(response)) => response,
                // tide answered by itself, which its routes should prevent. Running the exchange here gives the right
                // answer even then.
                None => exchange.run().await,
            }
        }
    }

    /// A request for tide to route by. Setting the path of a URL cannot fail, since invalid characters are escaped. A
    /// method unknown to tide may be replaced: the endpoint accepts all.
    fn request(&self, method: &str, path: &str) -> tide::http::Request {
        let mut url = self.base.clone();
        url.set_path(path);
        tide::http::Request::new(method.parse().unwrap_or(Method::Get), url)
    }
}

/// The answer on its way back through tide.
struct Answer(Response<ReplyBody>);

/// The endpoint. tide would box a closure once more.
struct RunExchange;

impl Endpoint<()> for RunExchange {
    // Not an `async fn`, which would keep tide's request until the answer is complete. Many exchanges wait at a time,
    // and tide's requests and responses are large: neither exists while an exchange waits.
    fn call<'a, 'b>(&'a self, request: Request<()>) -> Pin<Box<dyn Future<Output = tide::Result> + Send + 'b>>
    where
        'a: 'b,
    {
        let running = request.ext::<Exchange<Smol>>().map(Exchange::run);
        Box::pin(async move {
            let answer = match running {
                Some(running) => Some(running.await),
                None => None,
            };
            let mut response = tide::Response::new(tide::StatusCode::Ok);
            if let Some(answer) = answer {
                response.insert_ext(Answer(answer));
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use smol::future;
    use tide::StatusCode;

    use super::*;

    /// The endpoint answers 200 to a request without an exchange; tide itself would answer 404 or 405.
    #[test]
    fn every_method_and_path_reaches_the_endpoint() {
        let app = app();
        let long = "/x".repeat(4096);
        let paths = [
            "",
            "/",
            "//",
            "*",
            "/events",
            "/events/",
            "/events/a%2Fb",
            "/../..",
            "/%",
            "/%ff",
            "/\u{e9}\u{7f}",
            "/a?b#c",
            &long,
        ];
        for method in ["GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "get", "BREW", "M-SEARCH", "!"] {
            for path in paths {
                let request = app.request(method, path);
                let response = future::block_on(app.server.respond::<_, tide::http::Response>(request)).unwrap();
                assert_eq!(response.status(), StatusCode::Ok, "{method} {path}");
            }
        }
    }
}
