//! The floor for measuring `argus-tokio`: the same executor, wire and framework with an empty handler, which reads the
//! body and answers 201 with a constant. It takes a host's settings, but uses only the endpoint and the number of
//! threads.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use argus_host::process::{announce, bind, listen};
use argus_host::settings::Settings;
use argus_tokio::app::Routes;
use argus_tokio::runtime;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use warp::Filter;
use warp::reply::{Reply, Response};

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
        let listener = TcpListener::from_std(listener)?;
        let app = app();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (stream, app) = (stream.into_std()?, app.clone());
            runtime.spawn(async move {
                let Ok(stream) = TcpStream::from_std(stream) else { return };
                let service = service_fn(|request| respond(app.clone(), request));
                let connection = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service);
                // An error here is a client that left.
                let _ = connection.await;
            });
        }
    })?
}

/// The application of `argus-tokio` with another handler.
fn app() -> impl Routes {
    let everything = warp::ext::get::<Stash>().then(|stash: Stash| async move {
        let request = stash.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match request {
            Some(request) => answer(request).await,
            None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    });
    warp::service(everything)
}

async fn respond(mut app: impl Routes, request: Request<Incoming>) -> Result<Response, Infallible> {
    let mut routed = Request::new(Empty::new());
    *routed.method_mut() = request.method().clone();
    *routed.uri_mut() = request.uri().clone();
    routed.extensions_mut().insert(Stash(Arc::new(Mutex::new(Some(request)))));
    app.call(routed).await
}

/// The request on its way through warp.
#[derive(Clone)]
struct Stash(Arc<Mutex<Option<Request<Incoming>>>>);

async fn answer(request: Request<Incoming>) -> Response {
    match request.into_body().collect().await {
        Ok(_) => {
            let mut response = Response::new(Bytes::from_static(ANSWER.as_bytes()).into());
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
