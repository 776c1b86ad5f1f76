//! HTTP/1.1 over any byte stream: one connection from start to end, driven by hyper under our limits and timeouts.

mod close_watch;
mod handshake;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Write as _;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;

use close_watch::CloseWatch;

use crate::connection::{CloseReason, Connection, HeadError};
use crate::eviction::Registration;
use crate::exchange::Exchange;
use crate::lifecycle::{ConnectionPermit, DrainWatch};
use crate::memory::LARGE_CONNECTIONS;
use crate::metrics::Incident;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::service::{Service, Session};
use crate::socket::Socket;
use crate::timer::Timer;
use crate::tls::{HandshakeError, Secured};
use crate::websocket::{Driver, Ended};
use crate::wire_body::{AnswerBody, BoxError, WireBody};
use crate::wire_io::{WireIo, lock};

/// What hyper holds for a connection that is not large. Its head has at most 12 KiB.
const SMALL_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// Drives connections. Cheap to clone.
#[derive(Debug)]
pub struct Wire<R> {
    node: Arc<Node>,
    runtime: R,
    service: Arc<Service<R>>,
}

impl<R: Runtime> Clone for Wire<R> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), runtime: self.runtime.clone(), service: Arc::clone(&self.service) }
    }
}

impl<R: Runtime> Wire<R> {
    /// Drives connections of this node on this executor.
    #[must_use]
    pub fn new(node: Arc<Node>, runtime: R) -> Self {
        let service = Service::new(Arc::clone(&node), runtime.clone());
        Self { node, runtime, service }
    }

    /// Counts and logs that an accepted connection is closed, because the system does not let this worker serve it.
    pub fn cannot_serve(&self, peer: SocketAddr, error: &io::Error) {
        self.node.cannot_serve(peer, error);
    }

    /// Serves one connection until either side, a timeout or the drain closes it. A complete answer arrives before the
    /// connection closes; an incomplete one ends in a reset, so that it is not mistaken for a complete one. `route`
    /// takes each exchange through the framework. Incidents on the connection are logged and counted here.
    ///
    /// The permit is held to the end.
    pub async fn drive<I, F, A, B>(self, socket: I, peer: SocketAddr, permit: ConnectionPermit, route: F)
    where
        I: Socket + Send,
        F: Fn(Exchange<R>) -> A + Send + Sync,
        A: Future<Output = Response<B>> + Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let _open = self.node.metrics.connection_opens();
        let connection = Arc::new(Connection::open(&self.node.settings, self.node.clock.clone()));
        let socket = match Secured::over(socket, self.node.tls.as_ref()) {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%peer, "a connection could not be encrypted: {error}"),
        };
        if socket.is_encrypted() {
            connection.state().handshake_begins(connection.now());
        }
        let session = self.service.session(peer, Arc::clone(&connection));
        let socket = Mutex::new(socket);
        let is_large = self.node.lifecycle.connections() <= LARGE_CONNECTIONS;
        let io = WireIo::new(&socket, Arc::clone(&connection), is_large, {
            let session = Arc::clone(&session);
            move |error| session.refuse_head(error)
        });
        let route = Arc::new(route);
        let service = service_fn({
            let (connection, session) = (Arc::clone(&connection), Arc::clone(&session));
            move |request: Request<Incoming>| {
                connection.state().request_begins();
                let chunked = request.version() == Version::HTTP_11;
                let (connection, session, route) = (Arc::clone(&connection), Arc::clone(&session), Arc::clone(&route));
                async move {
                    let answered = answer(Arc::clone(&session), request, route).await;
                    session.answered(answered.status());
                    let record = session.take_record();
                    Ok::<_, Infallible>(answered.map(|source| WireBody::new(source, connection, chunked, record)))
                }
            }
        });
        let http = self.protocol(is_large).serve_connection(io, service);
        let registration = permit.register(&connection);
        let outcome = self.run(&socket, http, &session, Arc::clone(&connection), registration).await;
        self.report(peer, &connection, outcome);
        // In this order: the permit counts the socket until it is closed.
        drop(socket);
        drop(permit);
    }

    async fn run<I, F, S, B>(
        &self,
        socket: &Mutex<Secured<I>>,
        mut http: http1::Connection<WireIo<'_, Secured<I>, F>, S>,
        session: &Session<R>,
        connection: Arc<Connection>,
        registration: Registration,
    ) -> Result<(), RunError>
    where
        I: Socket,
        F: Fn(HeadError) -> Bytes + Unpin,
        S: hyper::service::HttpService<Incoming, ResBody = B>,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let lifecycle = &self.node.lifecycle;
        let drain = DrainWatch::new(Arc::clone(lifecycle));
        let timer = Timer::new(self.runtime.clone(), self.node.clock.clone());
        let mut close_watch = CloseWatch { timer, connection: &connection, socket, registration, lifecycle, drain };
        if lock(socket).is_encrypted() {
            self.handshake(&mut close_watch).await?;
        }
        let mut is_draining = false;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(ended) = poll_http(&mut http, cx) {
                return Poll::Ready(ended);
            }
            // After the poll, so that a request which has already arrived is still answered.
            if !is_draining && close_watch.drain_begins(cx) {
                is_draining = true;
                Pin::new(&mut http).graceful_shutdown();
                if let Poll::Ready(ended) = poll_http(&mut http, cx) {
                    return Poll::Ready(ended);
                }
            }
            close_watch.poll_close(cx).map(|reason| Err(RunError::Closed(reason)))
        })
        .await;
        if outcome.is_ok()
            && let Some(upgrade) = session.take_upgrade()
        {
            let Parts { io, read_buf, .. } = http.into_parts();
            let timer = Timer::new(self.runtime.clone(), self.node.clock.clone());
            let heartbeat = self.node.settings.stream_heartbeat;
            let is_large = lifecycle.connections() <= LARGE_CONNECTIONS;
            let driver = Driver::new(io, read_buf, upgrade, Arc::clone(&connection), heartbeat, timer, is_large);
            // Boxed, so that connections of HTTP stay small.
            return Box::pin(run_websocket(driver, close_watch)).await;
        }
        match &outcome {
            // hyper does not answer an unfinished head, or one of HTTP/2. Below, a refusal with the reason is sent
            // before the connection closes.
            Err(RunError::Closed(CloseReason::SlowHead)) => {
                connection.state().set_head_error(HeadError::Late);
            }
            Err(RunError::Failed(error))
                if (error.is_incomplete_message() || error.is_parse()) && connection.state().in_head() =>
            {
                connection.state().set_head_error(HeadError::Malformed);
            }
            // With a reset: the answer may be incomplete, and the kernel must not keep it for a client that does not
            // read.
            Err(RunError::Closed(CloseReason::WriteStalled)) => {
                lock(socket).reset_on_close(true);
                return outcome;
            }
            // The body of the answer broke off, perhaps before hyper had written any of it.
            Err(RunError::Failed(error)) if error.is_user() => {
                lock(socket).reset_on_close(true);
                return outcome;
            }
            Ok(())
            | Err(
                RunError::Closed(
                    CloseReason::Idle | CloseReason::Lingered | CloseReason::Evicted | CloseReason::ClientGone,
                )
                | RunError::Failed(_)
                | RunError::Handshake(_)
                | RunError::WebSocket(_),
            ) => {
                return outcome;
            }
        }
        let mut io = http.into_parts().io;
        poll_fn(|cx| {
            if let Poll::Ready(closed) = Pin::new(&mut io).poll_shutdown(cx) {
                // An error means that the client is gone.
                drop(closed);
                return Poll::Ready(());
            }
            close_watch.drain_begins(cx);
            close_watch.poll_close(cx).map(drop)
        })
        .await;
        outcome
    }

    /// HTTP/1.1 under our limits.
    fn protocol(&self, is_large: bool) -> http1::Builder {
        let shell = &self.node.settings.shell;
        let mut http = http1::Builder::new();
        if !shell.has_few_fields() {
            http.max_headers(shell.max_head_fields.get());
        }
        // A client that has sent everything and closed its half still gets its answer.
        http.half_close(true)
            // The connection's state has all timeouts, in a single timer.
            .header_read_timeout(None)
            .max_header_size(shell.max_head_bytes)
            // Limits the input that was read and not processed yet; hyper's default is several times as much.
            // It also limits the output that waits for the client, as of a live stream.
            .max_buf_size(if is_large { shell.input_bytes() } else { SMALL_BUFFER_BYTES_MAX });
        http
    }

    /// Logs and counts how a connection ended, if either side left something unfinished.
    fn report(&self, peer: SocketAddr, connection: &Connection, outcome: Result<(), RunError>) {
        let state = connection.state();
        match (state.head_error(), outcome) {
            (Some(HeadError::Late), _) => self.incident(Incident::HeadTimeout, peer, "a head did not arrive in time"),
            (Some(HeadError::TooLarge | HeadError::Malformed), _) => {
                self.incident(Incident::Malformed, peer, "the head is not one of HTTP/1.1");
            }
            (None, Err(RunError::Closed(CloseReason::WriteStalled))) => {
                self.incident(Incident::WriteTimeout, peer, "the client took nothing of its answer");
            }
            (None, Err(RunError::Closed(CloseReason::Evicted))) => {
                self.incident(Incident::IdleClosed, peer, "it was idle, and another connection needed the room");
            }
            (None, Err(RunError::Closed(CloseReason::ClientGone))) => {
                self.incident(Incident::Broken, peer, "the client left before its answer was complete");
            }
            (None, Err(RunError::Closed(CloseReason::Idle))) => {
                self.incident(Incident::IdleTimeout, peer, "no request came in time");
            }
            (None, Err(RunError::Closed(CloseReason::SlowHead))) => {
                self.incident(Incident::HeadTimeout, peer, "the TLS handshake took too long");
            }
            (None, Err(RunError::Handshake(error))) => tracing::debug!(%peer, "a TLS handshake failed: {error}"),
            (None, Err(RunError::Failed(error))) if state.in_request() => self.incident(Incident::Broken, peer, &error),
            (None, Err(RunError::WebSocket(ended))) => tracing::debug!(%peer, "a WebSocket ended: {ended}"),
            (None, _) if state.is_body_broken() => self.incident(Incident::Broken, peer, "a body ended early"),
            // Nothing to report: neither side left anything unfinished.
            (None, Ok(()) | Err(RunError::Failed(_) | RunError::Closed(CloseReason::Lingered))) => {}
        }
    }

    fn incident(&self, incident: Incident, peer: SocketAddr, reason: impl std::fmt::Display) {
        self.node.metrics.connection_incident(incident);
        tracing::debug!(%peer, kind = incident.as_str(), "connection ended: {reason}");
    }
}

/// How a connection ended, unless both sides closed it.
enum RunError {
    Closed(CloseReason),
    Failed(hyper::Error),
    Handshake(HandshakeError),
    WebSocket(Ended),
}

/// Polls hyper's connection. Ready when it has ended, or when the answer 101 was written.
///
/// Once a request has had a field `Upgrade`, hyper takes the end of the connection as an upgrade, whatever the answer
/// was, and does not close the stream. If it is polled again, it does.
fn poll_http<I, F, S, B>(
    http: &mut http1::Connection<WireIo<'_, I, F>, S>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), RunError>>
where
    I: Socket,
    F: Fn(HeadError) -> Bytes + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    match ready!(http.poll_unpin(cx)) {
        Ok(()) => http.poll_unpin(cx).map_err(RunError::Failed),
        Err(error) => Poll::Ready(Err(RunError::Failed(error))),
    }
}

/// Runs a WebSocket to its end.
async fn run_websocket<R, I, F>(
    mut driver: Driver<'_, R, I, F>,
    mut close_watch: CloseWatch<'_, R, I>,
) -> Result<(), RunError>
where
    R: Runtime,
    I: Socket,
    F: Fn(HeadError) -> Bytes + Unpin,
{
    let outcome = poll_fn(|cx| {
        let is_draining = close_watch.drain_begins(cx);
        if let Poll::Ready(ended) = driver.poll(cx, is_draining) {
            return Poll::Ready(ended.map_err(RunError::WebSocket));
        }
        close_watch.poll_close(cx).map(|reason| Err(RunError::Closed(reason)))
    })
    .await;
    // With a reset, so that the kernel keeps nothing for a client that does not read.
    if let Err(RunError::WebSocket(Ended::Lost) | RunError::Closed(CloseReason::WriteStalled)) = outcome {
        lock(close_watch.socket).reset_on_close(true);
    }
    outcome
}

/// Takes a request through the framework, or past it if the framework could not route it.
async fn answer<R, F, A, B>(
    session: Arc<Session<R>>,
    request: Request<Incoming>,
    route: Arc<F>,
) -> Response<AnswerBody<B>>
where
    R: Runtime,
    F: Fn(Exchange<R>) -> A,
    A: Future<Output = Response<B>>,
    B: Body<Data = Bytes>,
{
    // `CONNECT host:443` and `OPTIONS *` have no path to route by; the core refuses them.
    let without_path = request.method() == Method::CONNECT || !request.uri().path().starts_with('/');
    let exchange = Exchange::new(Arc::clone(&session), request);
    if without_path {
        return exchange.run().await.map(AnswerBody::Service);
    }
    match AssertUnwindSafe(async move { route(exchange).await }).catch_unwind().await {
        Ok(response) => response.map(AnswerBody::Framework),
        Err(panic) => session.internal_error(crate::watch::panic_message(panic.as_ref())).map(AnswerBody::Service),
    }
}

#[cfg(test)]
mod tests;
