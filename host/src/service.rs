//! What a request asks for, done: the core is asked, the body read, the batch committed, the query run.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use argus_core::api::{
    Action, Api, Condition, Head, Lookup, Metrics as MetricsAction, Refusal, Reply, Route, Search, SearchRun,
    SearchStep, Submission, Submitted,
};
use argus_core::cause::Cause;
use argus_core::repository::{CommitError, Latch};
use argus_core::room::Room;
use async_lock::Semaphore;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;

use crate::body::Reading;
use crate::budget::Reservation;
use crate::committer::SubmitError;
use crate::connection_state::{ConnectionState, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HeadFault};
use crate::logging;
use crate::metrics::{Gauges, InFlight};
use crate::node::Node;
use crate::pace::Pace;
use crate::raw_head::RawHead;
use crate::reply_body::{Advance, Advanced, BrokenOff, ReplyBody};
use crate::runtime::Runtime;
use crate::timer::Timer;
use crate::warnings::Warnings;
use crate::watch::panic_message;
use crate::working_memory::{WorkingMemory, WorkingReservation};

/// Bodies up to this size are read where they arrive: handing one to another thread and back takes longer than parsing
/// it.
const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;

/// How many times a body the memory is at a guess that is taken to read it; more is asked for as it is needed. Its
/// batch has its payloads, and most of it is payloads.
const PLAIN_WORK_GROWTH: usize = 2;

/// The same for a body that is decompressed before.
const COMPRESSED_WORK_GROWTH: usize = 16;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a search computes on a thread that may block before it lets others have it.
const SEARCH_SLICE: Duration = Duration::from_millis(10);

/// Answers requests. Shared by all connections of a server.
#[derive(Debug)]
pub(crate) struct Service<R> {
    node: Arc<Node>,
    runtime: R,
    /// Bodies read at once on threads that may block: more of them than processors would only take memory.
    readers: Arc<Semaphore>,
    /// The memory that they have.
    working_memory: Arc<WorkingMemory>,
}

/// One connection's share of the service.
#[derive(Debug)]
pub(crate) struct Session<R> {
    service: Arc<Service<R>>,
    peer: SocketAddr,
    /// Locked only to be polled; HTTP/1.1 has one request at a time on a connection.
    timer: Mutex<Timer<R>>,
    connection: Arc<ConnectionState>,
}

/// An answer on its way out.
struct Answer {
    reply: Reply,
    /// What follows the head, if it is not whole.
    rest: Option<Box<SearchRun>>,
}

/// The time was up.
struct Elapsed;

impl<R: Runtime> Service<R> {
    pub(crate) fn new(node: Arc<Node>, runtime: R) -> Arc<Self> {
        let threads = node.settings.worker_threads().get();
        let working_memory = WorkingMemory::new(node.settings.working_bytes());
        Arc::new(Self { node, runtime, readers: Arc::new(Semaphore::new(threads)), working_memory })
    }

    pub(crate) fn session(self: &Arc<Self>, peer: SocketAddr, connection: Arc<ConnectionState>) -> Arc<Session<R>> {
        Arc::new(Session {
            service: Arc::clone(self),
            peer,
            timer: Mutex::new(Timer::new(self.runtime.clone())),
            connection,
        })
    }
}

impl<R: Runtime> Session<R> {
    /// Does what a request asks for. Whatever goes wrong, there is an answer.
    ///
    /// What the future holds is held by all requests that wait at a time, and given back by whichever thread goes on
    /// with them. So the head is done with before there is a future.
    pub(crate) fn handle<B>(
        self: Arc<Self>,
        request: Request<B>,
    ) -> impl Future<Output = Response<ReplyBody>> + Send + use<R, B>
    where
        B: Body<Data = Bytes> + Send,
    {
        let begun = Instant::now();
        let in_flight = self.service.node.metrics.request_begins();
        let (Parts { method, uri, version, headers, .. }, body) = request.into_parts();
        let (request_id, action) = self.judge(&method, &uri, version, &headers);
        async move {
            let answer = match action {
                Ok(action) => AssertUnwindSafe(pin!(self.answer(action, body, begun))).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let answer = answer.unwrap_or_else(|panic| {
                tracing::error!(request_id, "a request panicked: {}", panic_message(panic.as_ref()));
                self.refusal(Route::Other, &Refusal::Internal)
            });
            let line = Head { method: method.as_str(), target: &target(&uri), ..Head::default() };
            self.report(&method, &line, &answer, &request_id, begun.elapsed());
            self.respond(answer, request_id, in_flight)
        }
    }

    /// A request's id, and what is to be done about it; boxed, because it is large and goes from hand to hand.
    fn judge(
        &self,
        method: &Method,
        uri: &Uri,
        version: Version,
        fields: &HeaderMap,
    ) -> (String, thread::Result<Box<Action>>) {
        let node = &*self.service.node;
        // hyper takes `Content-Length` away where there is `Transfer-Encoding` too. The core wants to see both.
        let raw_head = fields.contains_key(TRANSFER_ENCODING).then(|| self.raw_head()).flatten();
        let removed = raw_head.as_ref().and_then(|head| head.field(CONTENT_LENGTH.as_str()));
        let headers: Vec<(&str, &[u8])> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .chain(removed.map(|value| (CONTENT_LENGTH.as_str(), value)))
            .collect();
        let target = target(uri);
        let http_10 = version == Version::HTTP_10;
        let head = Head { method: method.as_str(), target: &target, headers: &headers, http_10 };
        let warning = node.warnings.text();
        let condition = Condition {
            draining: node.lifecycle.is_draining(),
            latched: node.committer.latched().map(Cause::told),
            failure: node.lifecycle.failure(),
            warning: warning.as_deref(),
        };
        let request_id = Api::request_id(&head, node.request_ids.next());
        (request_id, catch_unwind(AssertUnwindSafe(|| Box::new(node.api.handle_request(&head, &condition)))))
    }

    /// The answer to a fault in this house, found outside of a request's own course.
    pub(crate) fn broken(&self, what: &str) -> Response<ReplyBody> {
        tracing::error!("{what}");
        self.refuse_unread(&Refusal::Internal)
    }

    /// The answer to what hyper takes for no request, as it goes over the wire, from the status line on.
    pub(crate) fn refuse_head(&self, fault: HeadFault) -> Bytes {
        let response = match fault {
            HeadFault::Late => self.refuse_unread(&Refusal::HeadTimeout),
            HeadFault::TooLarge | HeadFault::Malformed => self.judge_head(fault),
        };
        let (parts, body) = response.into_parts();
        let body = body.into_whole().unwrap_or_default();
        let date = httpdate::fmt_http_date(SystemTime::now());
        let mut wire =
            format!("HTTP/1.1 {}\r\ncontent-length: {}\r\ndate: {date}\r\n", parts.status, body.len()).into_bytes();
        for (name, value) in &parts.headers {
            wire.extend_from_slice(name.as_str().as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&body);
        wire.into()
    }

    /// Lets the core say what is wrong with a head that hyper refuses, if it finds anything.
    fn judge_head(&self, fault: HeadFault) -> Response<ReplyBody> {
        let bytes = self.connection.take_raw_head().unwrap_or_default();
        let raw_head = match RawHead::parse(&bytes) {
            Some(head) if head.length <= HEAD_BYTES_MAX && head.fields.len() <= HEAD_FIELDS_MAX => head,
            Some(_) => return self.refuse_unread(&Refusal::HeadTooLarge),
            None if fault == HeadFault::TooLarge => return self.refuse_unread(&Refusal::HeadTooLarge),
            None if RawHead::is_of_other_version(&bytes) => return self.refuse_unread(&Refusal::HeadVersion),
            None => return self.refuse_unread(&Refusal::HeadBroken),
        };
        let headers: Vec<(&str, &[u8])> =
            raw_head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let RawHead { method, target, http_10, .. } = &raw_head;
        let head = Head { method, target, headers: &headers, http_10: *http_10 };
        match self.service.node.api.handle_request(&head, &Condition::default()) {
            Action::Reply(reply) if reply.problem.is_some() => self.answer_unread(reply.into(), &head),
            // hyper and the core are of two minds; the one that would have to read what follows has the last word. Of a
            // head that is not too large it says so where it cannot count the body.
            Action::Reply(_) | Action::Submit(_) | Action::Search(_) | Action::Lookup(_) | Action::Metrics(_) => {
                let too_large = fault == HeadFault::TooLarge;
                self.refuse_unread(if too_large { &Refusal::BodyTooLarge } else { &Refusal::HeadBroken })
            }
        }
    }

    fn raw_head(&self) -> Option<RawHead> {
        RawHead::parse(&self.connection.take_raw_head()?)
    }

    fn refuse_unread(&self, refusal: &Refusal) -> Response<ReplyBody> {
        self.answer_unread(self.refusal(Route::Other, refusal), &Head::default())
    }

    /// Answers, counts and logs what never became a request.
    fn answer_unread(&self, answer: Answer, head: &Head<'_>) -> Response<ReplyBody> {
        let node = &*self.service.node;
        let request_id = Api::request_id(head, node.request_ids.next());
        let in_flight = node.metrics.request_begins();
        let method = Method::from_bytes(head.method.as_bytes()).unwrap_or_default();
        self.report(&method, head, &answer, &request_id, Duration::ZERO);
        self.respond(answer, request_id, in_flight)
    }

    async fn answer<B>(&self, action: Box<Action>, body: B, begun: Instant) -> Answer
    where
        B: Body<Data = Bytes> + Send,
    {
        self.connection.set_body_unread(!body.is_end_stream());
        let deadline = begun + self.service.node.settings.request_timeout;
        let (route, done) = match *action {
            Action::Reply(reply) => return reply.into(),
            Action::Metrics(metrics) => return self.render(metrics),
            Action::Submit(submission) => (Route::Events, self.submit(submission, body, begun).await),
            // Boxed, so that the many requests that only store something hold no room for these.
            Action::Search(search) => (
                Route::Events,
                self.within(deadline, Box::pin(self.search(search))).await.unwrap_or(Err(Refusal::Timeout)),
            ),
            Action::Lookup(lookup) => (
                Route::Event,
                self.within(deadline, Box::pin(self.look_up(lookup))).await.unwrap_or(Err(Refusal::Timeout)),
            ),
        };
        done.unwrap_or_else(|refusal| self.refusal(route, &refusal))
    }

    async fn submit<B>(&self, submission: Submission, body: B, begun: Instant) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Send,
    {
        let node = &*self.service.node;
        let (bytes, reservation) = self.read(&submission, body, begun).await?;
        node.metrics.body_arrived(bytes.len());
        // Not before: how long the body takes is up to the client.
        let deadline = Instant::now() + node.settings.request_timeout;
        let (submitted, work) = if bytes.len() <= INLINE_BODY_BYTES_MAX && !submission.is_compressed() {
            let submitted = submission.handle_body(&bytes);
            drop((bytes, reservation));
            (submitted, None)
        } else {
            let reading = Box::pin(self.read_elsewhere(submission, bytes, reservation));
            let (submitted, work) = self.within(deadline, reading).await.map_err(|Elapsed| Refusal::Timeout)?;
            (submitted, Some(work))
        };
        let (batch, acknowledgement) = match submitted {
            Submitted::Reply(reply) => return Ok(reply.into()),
            Submitted::Commit(batch, acknowledgement) => (batch, acknowledgement),
        };
        let pending = node.committer.submit(batch);
        // From here on the batch is among those that wait to be committed, or gone.
        drop(work);
        let outcome = match pending {
            Ok(pending) => self.within(deadline, pending).await.map_err(|Elapsed| Refusal::Timeout)?,
            Err(SubmitError::QueueFull) => return Err(Refusal::Overloaded),
            Err(SubmitError::Stopped) => return Err(Refusal::Draining),
            Err(SubmitError::Latched(cause)) => Err(CommitError::Latched(Latch::refusal(cause))),
        };
        Ok(acknowledgement.reply(&outcome).into())
    }

    /// Reads a submission's body to its end, as long as it goes on.
    async fn read<B>(&self, submission: &Submission, body: B, begun: Instant) -> Result<(Bytes, Reservation), Refusal>
    where
        B: Body<Data = Bytes> + Send,
    {
        let node = &*self.service.node;
        let pace = Pace::new(node.settings.body_timeout, node.settings.min_body_rate, begun);
        let mut body = pin!(body);
        let mut reading = Reading::new(body.as_mut(), submission.wire_bytes_max(), pace, &node.budget)?;
        let read = poll_fn(|cx| self.poll_reading(cx, &mut reading)).await;
        // A chunked body does not know that it has ended until it is asked once more; that it was read is proof enough.
        self.connection.set_body_unread(read.is_err());
        if let Err(Refusal::BodyBroken) = read {
            self.connection.body_breaks();
        }
        read
    }

    fn poll_reading<B: Body<Data = Bytes>>(
        &self,
        cx: &mut Context<'_>,
        reading: &mut Reading<'_, B>,
    ) -> Poll<Result<(Bytes, Reservation), Refusal>> {
        if let Poll::Ready(read) = reading.poll(cx) {
            return Poll::Ready(read);
        }
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.poll_deadline(cx, reading.deadline()).map(|()| Err(Refusal::BodyTimeout))
    }

    /// Reads a body that is large, or that may become so, on a thread that may take its time. Gives the memory along
    /// that was taken for it.
    async fn read_elsewhere(
        &self,
        submission: Submission,
        bytes: Bytes,
        reservation: Reservation,
    ) -> (Submitted, WorkingReservation) {
        let service = &self.service;
        let slot = service.readers.acquire_arc().await;
        let growth = if submission.is_compressed() { COMPRESSED_WORK_GROWTH } else { PLAIN_WORK_GROWTH };
        let mut work = service.working_memory.reserve(bytes.len().saturating_mul(growth)).await;
        // What holds memory goes along: the work is not stopped when nobody waits for it any more.
        let held = (slot, reservation);
        let submitted = service.runtime.unblock(move || {
            let submitted = {
                let mut ask = |bytes| work.grow_to(bytes);
                submission.handle_body_within(&bytes, Room::new(&mut ask))
            };
            drop((bytes, held));
            (submitted, work)
        });
        submitted.await
    }

    async fn search(&self, search: Search) -> Result<Answer, Refusal> {
        let snapshot = self.service.node.committer.snapshot();
        let advance = self.advancer();
        let warnings = self.warnings();
        let begin = move || advance_slice(search.begin(snapshot), &warnings);
        let mut step = self.service.runtime.unblock(begin).await;
        loop {
            let (run, outcome) = step;
            match outcome {
                Ok(SearchStep::Pending) => step = advance(run).await,
                Ok(SearchStep::Whole(reply)) => return Ok(reply.into()),
                Ok(SearchStep::Start(reply)) => return Ok(Answer { reply, rest: Some(Box::new(run)) }),
                Ok(SearchStep::Chunk(_) | SearchStep::Done) => {
                    tracing::error!("a search gave a body before its head");
                    return Err(Refusal::Internal);
                }
                Err(BrokenOff { refusal, .. }) => return Err(refusal),
            }
        }
    }

    async fn look_up(&self, lookup: Lookup) -> Result<Answer, Refusal> {
        let snapshot = self.service.node.committer.snapshot();
        let found = self.service.runtime.unblock(move || lookup.reply(&*snapshot)).await;
        found.map(Answer::from).map_err(|error| {
            self.service.node.warnings.unreadable(&error);
            Refusal::Unreadable(error)
        })
    }

    fn render(&self, metrics: MetricsAction) -> Answer {
        let node = &*self.service.node;
        let (queue_batches, queue_bytes) = node.committer.queued();
        let stored = node.committer.snapshot().stats();
        let gauges = Gauges { stored, queue_batches, queue_bytes, body_bytes_reserved: node.budget.reserved() };
        match node.metrics.render(&gauges) {
            Ok(text) => metrics.reply(text).into(),
            Err(error) => {
                tracing::error!("the metrics could not be rendered: {error}");
                self.refusal(Route::Metrics, &Refusal::Internal)
            }
        }
    }

    fn report(&self, method: &Method, line: &Head<'_>, answer: &Answer, request_id: &str, latency: Duration) {
        self.service.node.metrics.request_answered(method, &answer.reply, latency);
        logging::log_request(line.method, line.target, &answer.reply, request_id, self.peer, latency);
    }

    fn refusal(&self, route: Route, refusal: &Refusal) -> Answer {
        self.service.node.api.refuse(route, refusal).into()
    }

    fn respond(&self, answer: Answer, request_id: String, in_flight: InFlight) -> Response<ReplyBody> {
        let Answer { reply, rest } = answer;
        let mut headers = HeaderMap::with_capacity(reply.headers.len() + 2);
        for (name, value) in reply.headers {
            append(&mut headers, field_name(name), value);
        }
        append(&mut headers, X_REQUEST_ID, request_id.into());
        if reply.close || self.connection.unread() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = match rest {
            None => ReplyBody::whole(reply.body, Some(in_flight)),
            Some(run) => ReplyBody::streamed(*run, self.advancer(), in_flight),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = headers;
        response
    }

    fn advancer(&self) -> Advance {
        let runtime = self.service.runtime.clone();
        let warnings = self.warnings();
        Box::new(move |run| {
            let warnings = Arc::clone(&warnings);
            Box::pin(runtime.unblock(move || advance_slice(run, &warnings)))
        })
    }

    fn warnings(&self) -> Arc<Warnings> {
        Arc::clone(&self.service.node.warnings)
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

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, rest: None }
    }
}

/// Computes until there is something to send, or until the time slice is over. What goes wrong is logged, whether or
/// not anything was sent yet.
fn advance_slice(mut run: SearchRun, warnings: &Warnings) -> Advanced {
    let begun = Instant::now();
    loop {
        let step = match catch_unwind(AssertUnwindSafe(|| run.poll())) {
            Ok(Ok(SearchStep::Pending)) if begun.elapsed() < SEARCH_SLICE => continue,
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => {
                warnings.unreadable(&error);
                Err(BrokenOff { reason: error.to_string(), refusal: Refusal::Unreadable(error) })
            }
            Err(panic) => {
                let reason = format!("panic: {}", panic_message(panic.as_ref()));
                tracing::error!(reason, "a search failed");
                Err(BrokenOff { reason, refusal: Refusal::Internal })
            }
        };
        return (run, step);
    }
}

/// The target as it was sent.
fn target(uri: &Uri) -> Cow<'_, str> {
    match (uri.scheme(), uri.authority(), uri.path_and_query()) {
        (None, None, Some(path_and_query)) => Cow::Borrowed(path_and_query.as_str()),
        (_, _, _) => Cow::Owned(uri.to_string()),
    }
}

/// The name of a field; those of most answers need not be looked up.
fn field_name(name: &'static str) -> HeaderName {
    match name {
        "content-type" => CONTENT_TYPE,
        "cache-control" => CACHE_CONTROL,
        "location" => LOCATION,
        other => HeaderName::from_static(other),
    }
}

/// The core gives nothing that is no header value; were it so, the answer would be sent without it.
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
