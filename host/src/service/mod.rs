//! Answers requests: lets the core interpret a request, reads its body, commits its batch or runs its query.

mod erase;
mod logged;
mod read;
mod refused_head;
mod stream;
mod submit;
mod upgrade;

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use argus_core::api::{Action, Api, Draft, Refusal, Reply, RequestHead, Route, ServiceState, TraceContext};
use async_lock::Semaphore;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;

use crate::answers::Admitted;
use crate::clock;
use crate::connection::Connection;
use crate::gate::{Gate, Visitor};
use crate::logging::{self, Ids, Sender};
use crate::metrics::InFlight;
use crate::node::Node;
use crate::reply_body::{EventBody, ReplyBody};
use crate::request_log::Record;
use crate::runtime::Runtime;
use crate::timer::Timer;
use crate::watch::panic_message;
use crate::websocket::Upgrade;
use crate::working_memory::WorkingMemory;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the request log says in place of the status of a request that was dropped before it had an answer. nginx has
/// the same for a client that has closed its connection.
const NO_ANSWER: u16 = 499;

/// Answers requests. Shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Service<R> {
    node: Arc<Node>,
    runtime: R,
    /// Limits how many bodies are parsed at once on blocking threads; more of them than processors would only take
    /// memory.
    parsers: Arc<Semaphore>,
    /// The memory for parsing them.
    working_memory: Arc<WorkingMemory>,
}

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct Session<R> {
    service: Arc<Service<R>>,
    peer: SocketAddr,
    /// Locked only while polled; HTTP/1.1 has one request at a time on a connection.
    timer: Mutex<Timer<R>>,
    connection: Arc<Connection>,
    /// What runs on the connection after the answer 101.
    upgrade: Mutex<Option<Upgrade>>,
    /// What the request log says about the request under way.
    record: Mutex<Option<Box<Record>>>,
}

/// An answer before it is [finished](argus_core::api::Caller::finish).
struct Answer {
    draft: Draft,
    /// What produces the body, if that is streamed.
    streamed: Option<Streamed>,
}

/// A body that is made while it is sent.
enum Streamed {
    /// Has the read that produces it.
    Read(Arc<Admitted>),
    /// A live stream.
    Events(EventBody),
}

/// The deadline has passed.
struct Elapsed;

impl<R: Runtime> Service<R> {
    pub(crate) fn new(node: Arc<Node>, runtime: R) -> Arc<Self> {
        let working_memory = WorkingMemory::new(node.settings.working_bytes());
        let parsers = Arc::new(Semaphore::new(node.threads.get()));
        Arc::new(Self { node, runtime, parsers, working_memory })
    }

    pub(crate) fn session(self: &Arc<Self>, peer: SocketAddr, connection: Arc<Connection>) -> Arc<Session<R>> {
        Arc::new(Session {
            service: Arc::clone(self),
            peer,
            timer: Mutex::new(Timer::new(self.runtime.clone(), self.node.clock.clone())),
            connection,
            upgrade: Mutex::default(),
            record: Mutex::default(),
        })
    }
}

impl<R: Runtime> Session<R> {
    /// Does what a request asks for. There is always an answer, even after an error or a panic.
    ///
    /// The future stays in memory as long as the request waits, and moves between threads. So the head is processed and
    /// freed before the future is made.
    pub(crate) fn handle<B>(
        self: Arc<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Response<ReplyBody>> + Send + use<R, B>
    where
        B: Body<Data = Bytes> + Send,
    {
        let begun = self.connection.now();
        let in_flight = self.service.node.metrics.request_begins();
        let (Parts { method, uri, version, headers, .. }, body) = request.into_parts();
        let (ids, interpreted) = self.interpret(&method, &uri, version, &headers);
        self.record_sender(&ids, interpreted.as_ref().ok().map(|(_, visitor)| visitor));
        async move {
            let mut visitor = Visitor::default();
            let answer = match interpreted {
                Ok((action, found)) => {
                    visitor = found;
                    AssertUnwindSafe(pin!(self.answer(action, &mut visitor, body, begun))).catch_unwind().await
                }
                Err(panic) => Err(panic),
            };
            let answer = answer.unwrap_or_else(|panic| {
                tracing::error!(request_id = ids.request_id, "a request panicked: {}", panic_message(panic.as_ref()));
                self.refusal(Route::Other, &Refusal::Internal)
            });
            let (target, http_10) = (target(&uri), version == Version::HTTP_10);
            let line = RequestHead { method: method.as_str(), target: &target, http_10, ..RequestHead::default() };
            let Answer { draft, streamed } = answer;
            let reply = visitor.caller().finish(draft);
            self.report(&method, &line, &visitor, &reply, &ids, self.connection.now() - begun);
            self.respond(reply, streamed, ids, in_flight)
        }
    }

    /// The ids of a request, and its action and sender, as the core decides. The action is boxed, because it is large
    /// and moved often.
    fn interpret(
        &self,
        method: &Method,
        uri: &Uri,
        version: Version,
        fields: &HeaderMap,
    ) -> (Ids, thread::Result<(Box<Action>, Visitor)>) {
        // hyper removes `Content-Length` if there is also `Transfer-Encoding`. The core wants to see both.
        let raw_head = fields.contains_key(TRANSFER_ENCODING).then(|| self.raw_head()).flatten();
        let removed = raw_head.as_ref().and_then(|head| head.field(CONTENT_LENGTH.as_str()));
        let headers: Vec<(&str, &[u8])> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .chain(removed.map(|value| (CONTENT_LENGTH.as_str(), value)))
            .collect();
        let target = target(uri);
        let http_10 = version == Version::HTTP_10;
        let peer = Some(self.peer.ip());
        let head = RequestHead { method: method.as_str(), target: &target, headers: &headers, http_10, peer };
        (self.ids(&head), catch_unwind(AssertUnwindSafe(|| self.decide(&head))))
    }

    /// What to do with a request, and who sent it.
    fn decide(&self, head: &RequestHead<'_>) -> (Box<Action>, Visitor) {
        let node = &*self.service.node;
        let warning = node.warnings.text();
        let repository = node.committer.failure();
        let pass = node.gate.as_ref().map(Gate::pass);
        let state = ServiceState {
            draining: node.lifecycle.is_draining(),
            repository: repository.as_deref(),
            failure: node.lifecycle.failure(),
            warning: warning.as_deref(),
            gate: pass.as_ref().map(|pass| pass.gate(clock::moment())),
        };
        let (action, caller) = node.api.handle_request(head, &state);
        (Box::new(action), Visitor::new(caller, pass))
    }

    /// The ids of a request with this head.
    fn ids(&self, head: &RequestHead<'_>) -> Ids {
        let generated = &self.service.node.request_ids;
        Ids {
            request_id: Api::request_id(head, generated.next()),
            trace: TraceContext::of(head).map(|trace| (trace, generated.next_span())),
        }
    }

    async fn answer<B>(&self, action: Box<Action>, visitor: &mut Visitor, body: B, begun: Instant) -> Answer
    where
        B: Body<Data = Bytes> + Send,
    {
        self.connection.state().set_body_unread(!body.is_end_stream());
        match &*action {
            // Only the client needs the result of a query: if the client is gone, the query is dropped.
            Action::Read(_) | Action::Stream(_) | Action::Metrics(_) => self.connection.state().watch_client(begun),
            // Events are stored or erased even if the client is gone.
            Action::Submit(_) | Action::Erase(_) | Action::Reply(_) => {}
        }
        let deadline = begun + self.service.node.settings.request_timeout;
        let (route, done) = match *action {
            Action::Reply(draft) => return draft.into(),
            Action::Submit(submission) => (Route::Events, self.submit(submission, visitor, body, begun).await),
            // Boxed, so that the futures of the many requests that store events stay small.
            Action::Erase(erasure) => (Route::Events, Box::pin(self.erase(deadline, erasure)).await),
            Action::Read(read) => {
                let route = read.route();
                (route, Box::pin(self.read_by(deadline, read)).await)
            }
            Action::Stream(stream) => (Route::Stream, Box::pin(self.stream(deadline, stream, visitor)).await),
            Action::Metrics(metrics) => {
                let done = self.within(deadline, Box::pin(self.render(metrics))).await;
                (Route::Metrics, done.unwrap_or(Err(Refusal::ReadTimeout)))
            }
        };
        done.unwrap_or_else(|refusal| self.refusal(route, &refusal))
    }

    fn report(
        &self,
        method: &Method,
        line: &RequestHead<'_>,
        visitor: &Visitor,
        reply: &Reply,
        ids: &Ids,
        latency: Duration,
    ) {
        self.service.node.metrics.request_answered(method, reply, latency);
        visitor.answered(reply);
        let sender = Sender { peer: self.peer, client: visitor.caller().client, key: visitor.key_name() };
        logging::log_request(line.method, line.target, reply, ids, &sender, latency);
    }

    fn refusal(&self, route: Route, refusal: &Refusal) -> Answer {
        self.service.node.api.refuse(route, refusal).into()
    }

    /// The response with a reply. `streamed` produces its body, if that is streamed.
    fn respond(&self, reply: Reply, streamed: Option<Streamed>, ids: Ids, in_flight: InFlight) -> Response<ReplyBody> {
        self.record_reply(&reply, &ids);
        let mut headers = HeaderMap::with_capacity(reply.headers.len() + 3);
        for (name, value) in reply.headers {
            append(&mut headers, field_name(name), value);
        }
        if let Some((trace, span_id)) = ids.trace {
            append(&mut headers, TRACEPARENT, trace.answer(span_id).into());
        }
        append(&mut headers, X_REQUEST_ID, ids.request_id.into());
        if reply.close || self.connection.state().is_unread() {
            // Beside `Upgrade`, which some refusals have there.
            headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = match streamed {
            None => ReplyBody::whole(reply.body, Some(in_flight)),
            Some(Streamed::Events(events)) => ReplyBody::events(events, in_flight),
            Some(Streamed::Read(admitted)) => {
                let advance = self.advancer(Some(Arc::clone(&admitted)));
                ReplyBody::streamed(admitted, advance, in_flight)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        response
    }

    /// Waits for `future` until `deadline`.
    fn within<F: Future + Unpin>(
        &self,
        deadline: Instant,
        mut future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> {
        poll_fn(move |cx| {
            if let Poll::Ready(output) = future.poll_unpin(cx) {
                return Poll::Ready(Ok(output));
            }
            let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
            timer.poll_deadline(cx, deadline).map(|()| Err(Elapsed))
        })
    }
}

impl From<Draft> for Answer {
    fn from(draft: Draft) -> Self {
        Self { draft, streamed: None }
    }
}

/// The target as it was sent.
fn target(uri: &Uri) -> Cow<'_, str> {
    match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        (None, None, Some(path_and_query)) => Cow::Borrowed(path_and_query.as_str()),
        (_, _, _) => Cow::Owned(uri.to_string()),
    }
}

/// The name of a field, without a lookup for the most common ones.
fn field_name(name: &'static str) -> HeaderName {
    match name {
        "content-type" => CONTENT_TYPE,
        "cache-control" => CACHE_CONTROL,
        "location" => LOCATION,
        other => HeaderName::from_static(other),
    }
}

/// The core only returns valid header values. If it ever did not, the answer would be sent without this field.
fn append(headers: &mut HeaderMap, name: HeaderName, value: Cow<'static, str>) {
    let value = match value {
        Cow::Borrowed(value) => Bytes::from_static(value.as_bytes()),
        Cow::Owned(value) => Bytes::from(value),
    };
    match HeaderValue::from_maybe_shared(value) {
        Ok(value) => drop(headers.append(name, value)),
        Err(error) => tracing::error!(%name, "not a header value: {error}"),
    }
}
