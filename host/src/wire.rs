//! HTTP/1.1 over any byte stream: one connection from its first byte to its last, by hyper, with our limits and
//! timeouts.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::rt::Write as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::connection_state::{ConnectionState, HEAD_BYTES_MAX, HeadFault, Lapse};
use crate::eviction::Registration;
use crate::exchange::Exchange;
use crate::lifecycle::{ConnectionPermit, DrainWatch, Lifecycle};
use crate::memory::LARGE_CONNECTIONS;
use crate::metrics::Incident;
use crate::node::Node;
use crate::runtime::Runtime;
use crate::service::{Service, Session};
use crate::socket;
use crate::timer::Timer;
use crate::wire_body::{BoxError, Source, WireBody};
use crate::wire_io::{WireIo, lock};

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
    /// Connections of this node, on this executor.
    #[must_use]
    pub fn new(node: Arc<Node>, runtime: R) -> Self {
        let service = Service::new(Arc::clone(&node), runtime.clone());
        Self { node, runtime, service }
    }

    /// Serves one connection until it is closed by either side, by a timeout, or by the drain, and closes it in such a
    /// way that the last answer arrives; one that breaks off ends in a reset, so that nobody takes a part for the
    /// whole. `route` takes each exchange through the framework. What befalls a single connection is logged and counted
    /// here.
    ///
    /// The permit is held to the end.
    pub async fn drive<I, F, A, B>(self, socket: I, peer: SocketAddr, permit: ConnectionPermit, route: F)
    where
        I: hyper::rt::Read + hyper::rt::Write + AsFd + Unpin + Send,
        F: Fn(Exchange<R>) -> A + Send + Sync,
        A: Future<Output = Response<B>> + Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let _open = self.node.metrics.connection_opens();
        let state = Arc::new(ConnectionState::new(&self.node.settings));
        let session = self.service.session(peer, Arc::clone(&state));
        let socket = Mutex::new(socket);
        let is_large = self.node.lifecycle.connections() <= LARGE_CONNECTIONS;
        let io = WireIo::new(&socket, Arc::clone(&state), is_large, {
            let session = Arc::clone(&session);
            move |fault| session.refuse_head(fault)
        });
        let route = Arc::new(route);
        let service = service_fn({
            let state = Arc::clone(&state);
            move |request| {
                state.request_begins();
                let (state, session, route) = (Arc::clone(&state), Arc::clone(&session), Arc::clone(&route));
                async move {
                    let answered = answer(session, request, route).await;
                    Ok::<_, Infallible>(answered.map(|source| WireBody::new(source, state)))
                }
            }
        });
        let connection = http1::Builder::new()
            // A client that has sent all it had to say and closed its half still gets its answer.
            .half_close(true)
            // Timeouts are kept by `ConnectionState`, in one timer for all of them.
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES_MAX)
            // What a connection has read and nobody has taken; hyper would take several times as much.
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        let outcome = self.clone().run(&socket, connection, Arc::clone(&state), permit.register(&state)).await;
        match (state.fault(), outcome) {
            (Some(HeadFault::Late), _) => self.incident(Incident::HeadTimeout, peer, "a head did not arrive in time"),
            (Some(HeadFault::TooLarge | HeadFault::Malformed), _) => {
                self.incident(Incident::Malformed, peer, "what came is no head of HTTP/1.1");
            }
            (None, Err(Ending::Lapsed(Lapse::Write))) => {
                self.incident(Incident::WriteTimeout, peer, "the client took nothing of its answer");
            }
            (None, Err(Ending::Lapsed(Lapse::Evicted))) => {
                self.incident(Incident::IdleClosed, peer, "it was idle, and another connection needed its place");
            }
            (None, Err(Ending::Failed(error))) if state.in_request() => self.incident(Incident::Broken, peer, &error),
            (None, _) if state.is_body_broken() => self.incident(Incident::Broken, peer, "a body ended early"),
            // Nothing to report: both sides had their say. How a client goes away in between is its own affair.
            (None, Ok(()) | Err(Ending::Failed(_) | Ending::Lapsed(Lapse::Idle | Lapse::Head | Lapse::Linger))) => {}
        }
        // In this order: the permit stands for the socket.
        drop(socket);
        drop(permit);
    }

    async fn run<I, F, S, B>(
        self,
        socket: &Mutex<I>,
        mut connection: http1::Connection<WireIo<'_, I, F>, S>,
        state: Arc<ConnectionState>,
        registration: Registration,
    ) -> Result<(), Ending>
    where
        I: hyper::rt::Read + hyper::rt::Write + AsFd + Unpin,
        F: Fn(HeadFault) -> Bytes + Unpin,
        S: hyper::service::HttpService<Incoming, ResBody = B>,
        S::Error: Into<BoxError>,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let lifecycle = &self.node.lifecycle;
        let drain = DrainWatch::new(Arc::clone(lifecycle));
        let timer = Timer::new(self.runtime.clone());
        let mut limits = Limits { timer, state: &state, socket, registration, lifecycle, drain };
        let mut told = false;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.poll_unpin(cx) {
                return Poll::Ready(ended.map_err(Ending::Failed));
            }
            // Behind the poll, so that a request which has arrived already is still read and answered.
            if !told && limits.drain_begins(cx) {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
                if let Poll::Ready(ended) = connection.poll_unpin(cx) {
                    return Poll::Ready(ended.map_err(Ending::Failed));
                }
            }
            limits.poll_lapse(cx).map(|lapse| Err(Ending::Lapsed(lapse)))
        })
        .await;
        match &outcome {
            // hyper says nothing about a head that does not end, or that is one of HTTP/2; the client hears why before
            // the connection closes.
            Err(Ending::Lapsed(Lapse::Head)) => state.set_fault(HeadFault::Late),
            Err(Ending::Failed(error)) if (error.is_incomplete_message() || error.is_parse()) && state.in_head() => {
                state.set_fault(HeadFault::Malformed);
            }
            // Not in good order, for what was written may be a part only, and is not to be kept for somebody who does
            // not take it.
            Err(Ending::Lapsed(Lapse::Write)) => {
                socket::reset_on_close(&*lock(socket), true);
                return outcome;
            }
            Ok(()) | Err(Ending::Lapsed(Lapse::Idle | Lapse::Linger | Lapse::Evicted) | Ending::Failed(_)) => {
                return outcome;
            }
        }
        let mut io = connection.into_parts().io;
        poll_fn(|cx| {
            if let Poll::Ready(closed) = Pin::new(&mut io).poll_shutdown(cx) {
                // The client may have gone away; it was told what there was to tell.
                drop(closed);
                return Poll::Ready(());
            }
            limits.drain_begins(cx);
            limits.poll_lapse(cx).map(drop)
        })
        .await;
        outcome
    }

    fn incident(&self, incident: Incident, peer: SocketAddr, reason: impl std::fmt::Display) {
        self.node.metrics.connection_incident(incident);
        tracing::debug!(%peer, kind = incident.as_str(), "connection ended: {reason}");
    }
}

/// What ends a connection beside its two sides.
struct Limits<'a, R, I> {
    timer: Timer<R>,
    state: &'a ConnectionState,
    socket: &'a Mutex<I>,
    registration: Registration,
    lifecycle: &'a Lifecycle,
    drain: DrainWatch,
}

impl<R: Runtime, I: AsFd> Limits<'_, R, I> {
    /// Whether the server drains. The connection's state is told.
    fn drain_begins(&mut self, cx: &mut Context<'_>) -> bool {
        let begins = self.drain.has_begun(cx);
        if begins {
            self.state.drain_begins();
        }
        begins
    }

    /// Ready when the connection has done something for too long, or another one is to have its place. To be called
    /// behind what has arrived.
    fn poll_lapse(&mut self, cx: &mut Context<'_>) -> Poll<Lapse> {
        loop {
            self.registration.check(cx, self.lifecycle.room());
            let Some((deadline, lapse)) = self.state.deadline() else { return Poll::Pending };
            ready!(self.timer.poll_deadline(cx, deadline));
            match lapse {
                Lapse::Write => self.state.look_at_stall(socket::acknowledged(&*lock(self.socket))),
                Lapse::Evicted => self.state.look_at_input(socket::has_input(&*lock(self.socket))),
                Lapse::Idle | Lapse::Head | Lapse::Linger => {}
            }
            // The client may have moved between the two looks; it is cut off only for what is still so.
            if self.state.deadline() == Some((deadline, lapse)) {
                return Poll::Ready(lapse);
            }
        }
    }
}

/// How a connection ended, if not by mutual consent.
enum Ending {
    Lapsed(Lapse),
    Failed(hyper::Error),
}

/// Takes a request through the framework, or past it where the framework would stumble.
async fn answer<R, F, A, B>(session: Arc<Session<R>>, request: Request<Incoming>, route: Arc<F>) -> Response<Source<B>>
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
        return exchange.run().await.map(Source::Own);
    }
    match AssertUnwindSafe(async move { route(exchange).await }).catch_unwind().await {
        Ok(response) => response.map(Source::Framework),
        Err(panic) => session.broken(crate::watch::panic_message(panic.as_ref())).map(Source::Own),
    }
}
