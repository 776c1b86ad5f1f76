//! The floor for measuring `argus-smol`: the same executor, wire and framework with an empty handler, which reads the
//! body and answers 201 with a constant. It takes a host's settings, but uses only the endpoint and the number of
//! threads.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use argus_host::process::{announce, bind, listen};
use argus_host::settings::Settings;
use argus_smol::connection::Socket;
use argus_smol::runtime;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use smol::Async;
use tide::Endpoint;
use tide::http::{Method, Url};

/// As long as the answer to a single event.
const ANSWER: &str = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","seq":1234567,"duplicate":false,"durable":false}"#;

fn main() -> ExitCode {
    let settings = match Settings::read("floor", std::env::args_os()) {
        Ok(settings) => settings,
        Err(error) => error.exit(),
    };
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: &Settings) -> io::Result<()> {
    let listener = listen(bind(&settings.endpoint)?)?;
    announce("floor", "http", listener.local_addr()?);
    runtime::block_on(settings.worker_threads(), |runtime| async move {
        let listener = Async::new(listener)?;
        let app = app();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.get_ref().set_nodelay(true)?;
            let app = app.clone();
            runtime.spawn(async move {
                let service = service_fn(|request| respond(&app, request));
                let connection = http1::Builder::new()
                    .half_close(true)
                    .pipeline_flush(true)
                    .serve_connection(Socket::from(stream), service);
                // An error here is a client that left.
                let _ = connection.await;
            });
        }
    })?
}

/// The application of `argus-smol` with another endpoint.
fn app() -> App {
    let mut server = tide::new();
    server.at("/").all(Floor);
    server.at("/*").all(Floor);
    App { server, base: Url::parse("http://argus/").expect("the constant is a URL") }
}

#[derive(Clone)]
struct App {
    server: tide::Server<()>,
    base: Url,
}

async fn respond(app: &App, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut url = app.base.clone();
    url.set_path(request.uri().path());
    let method = request.method().as_str().parse().unwrap_or(Method::Get);
    let mut routed = tide::http::Request::new(method, url);
    routed.ext_mut().insert(Stash(Mutex::new(Some(request))));
    let answer = match app.server.respond::<_, tide::http::Response>(routed).await {
        Ok(mut response) => response.ext_mut().remove(),
        Err(_) => None,
    };
    Ok(answer.map_or_else(failure, |Answer(response)| response))
}

/// The request on its way through tide.
struct Stash(Mutex<Option<Request<Incoming>>>);

/// The answer on its way back.
struct Answer(Response<Full<Bytes>>);

struct Floor;

#[tide::utils::async_trait]
impl Endpoint<()> for Floor {
    async fn call(&self, mut request: tide::Request<()>) -> tide::Result {
        let mut response = tide::Response::new(tide::StatusCode::Ok);
        let request: &mut tide::http::Request = request.as_mut();
        let stashed = request
            .ext_mut()
            .remove()
            .and_then(|Stash(request)| request.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Some(request) = stashed {
            response.insert_ext(Answer(answer(request).await));
        }
        Ok(response)
    }
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.into_body().collect().await {
        Ok(_) => {
            let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        Err(_) => failure(),
    }
}

fn failure() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
