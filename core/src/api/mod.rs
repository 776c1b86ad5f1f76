//! The meaning of the HTTP interface, without HTTP.
//!
//! A host parses the head of a request and calls [`Api::handle_request`], which returns an [`Action`]. The
//! documentation of each action says which function to call next, until there is a [`Draft`], of which
//! [`Caller::finish`] makes a [`Reply`]. This module has the whole wire contract; a host adds sockets, waiting and the
//! clock.

mod acknowledgement;
mod acknowledgement_body;
mod allowed_hosts;
mod charset;
mod compress;
mod content;
mod cors;
mod csv_columns;
mod erased_count;
mod erasure;
mod fields;
mod finish;
mod format;
mod forwarded;
mod gate;
mod guard;
mod head_size;
mod health;
mod held_snapshot;
mod inquiry;
mod inquiry_run;
mod lookup;
mod mapping;
mod openapi;
mod params;
mod problem;
mod problem_reply;
mod question_params;
mod rate_limit_fields;
mod read;
mod read_step;
mod redaction;
mod refusal;
mod reply;
mod request_entry;
mod route;
mod search;
mod search_format;
mod search_run;
mod sse;
mod stream;
mod submission;
mod target;
mod text;
mod trace;
mod validator;
mod websocket;

pub use acknowledgement::Acknowledgement;
pub use acknowledgement_body::Acknowledged;
pub use allowed_hosts::{AllowedHost, AllowedHostError, AllowedHosts};
pub use cors::{Cors, CorsOrigin, CorsOriginError};
pub use erasure::{AfterErasure, Erasure};
pub use finish::Draft;
pub use forwarded::Proxies;
pub use gate::{Caller, Gate, Meters};
pub use health::Metrics;
pub use params::read_filter;
pub use problem::{Problem, ProblemKind};
pub use read::{READ_BUDGET, Read, ReadPart, ReadRun};
pub use read_step::ReadStep;
pub use redaction::redacted;
pub use refusal::Refusal;
pub use reply::Reply;
pub use request_entry::RequestEntry;
pub use route::Route;
pub use sse::{Notice, SSE_HEARTBEAT, SSE_OPENING, write_sse_messages, write_sse_notice};
pub use stream::{Stream, Transport};
pub use submission::{Submission, Submitted};
pub use trace::TraceContext;
pub use websocket::{Handshake, SocketClose, socket_gap};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use compress::Negotiated;
use fields::values;
use guard::{CheckedHead, Method};
use inquiry::{Inquiry, InquiryKind};
use lookup::Lookup;
use problem_reply::ProblemReply;
use read::Question;
use route::Resource;
use search::Search;
use text::Excerpt;

use crate::analysis::AnalysisLimits;
use crate::auth::Access;
use crate::hex;
use crate::repository::Failure;

/// The HTTP interface and its limits. A host builds one and shares it among all requests.
#[derive(Clone, Debug)]
pub struct Api {
    limits: Limits,
    cors: Cors,
    hosts: AllowedHosts,
}

/// Longest `X-Request-Id` of a caller that is used, in characters.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Limits that a host sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes after decompression.
    pub body_bytes_max: usize,
    /// Longest payload of an event, in bytes of compact JSON.
    pub payload_bytes_max: usize,
    /// Deepest payload of an event: how many arrays and objects it may have within each other.
    pub depth_max: usize,
    /// Most event types in one body: the limit of the repository.
    pub types_max: usize,
    /// How long a request may take. A page that is not full after half of this time ends early.
    pub read_time: Duration,
    /// Longest request target, in bytes.
    pub uri_bytes_max: usize,
    /// Most header fields.
    pub head_fields_max: usize,
    /// How long one query may compute, without the time that it waits for its client; `None` for any time. A page that
    /// is not full after half of this time ends early.
    pub query_time: Option<Duration>,
    /// Most bytes of stored events that one query may read; `None` for any number. A page that is not full after half
    /// of them ends early.
    pub scan_bytes_max: Option<u64>,
    /// What one question about many events may take.
    pub analysis: AnalysisLimits,
}

/// The head of a request, as received.
#[derive(Clone, Copy, Default)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request target, neither decoded nor normalised.
    pub target: &'a str,
    /// Header fields in the order received: names in lower case, values unchanged.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Whether the request uses HTTP/1.0, which needs no `Host` and has no transfer codings.
    pub http_10: bool,
    /// The address at the other end of the connection; `None` if it has none.
    pub peer: Option<IpAddr>,
}

impl fmt::Debug for RequestHead<'_> {
    /// Without the values of header fields and the query, which may have keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, headers, http_10, peer } = self;
        f.debug_struct("RequestHead")
            .field("method", method)
            .field("target", &redacted(target))
            .field("headers", &headers.len())
            .field("http_10", http_10)
            .field("peer", peer)
            .finish()
    }
}

/// The state of the service, as far as replies depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceState<'a> {
    /// The service is stopping: running requests finish, new ones are refused.
    pub draining: bool,
    /// Why the repository accepts no commits; `None` if it accepts them.
    pub repository: Option<&'a Failure>,
    /// The internal failure that stops the service; `None` if there is none.
    pub failure: Option<&'a str>,
    /// A warning for operators that does not affect requests. Any caller can read it, so it must name no path.
    pub warning: Option<&'a str>,
    /// Keys, rate limits and trusted proxies; `None` if there are none of them.
    pub gate: Option<Gate<'a>>,
}

/// What a host does next.
#[derive(Debug)]
pub enum Action {
    /// Send this reply.
    Reply(Draft),
    /// Read the body, then call [`Submission::handle_body`].
    Submit(Submission),
    /// Erase the events of its [filter](Erasure::filter), and then call [`Erasure::after`].
    Erase(Erasure),
    /// Call [`Read::begin`] on a thread that may block.
    Read(Read),
    /// Send the [head](Stream::head), and then the events, as long as the client reads them.
    Stream(Stream),
    /// Render the metrics and send them with [`Metrics::reply`].
    Metrics(Metrics),
}

impl Api {
    /// Creates the interface with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, cors: Cors::default(), hosts: AllowedHosts::default() }
    }

    /// Allows pages of other origins to use the interface.
    #[must_use]
    pub fn with_cors(self, cors: Cors) -> Self {
        Self { cors, ..self }
    }

    /// Refuses requests that address the server by another name.
    #[must_use]
    pub fn with_hosts(self, hosts: AllowedHosts) -> Self {
        Self { hosts, ..self }
    }

    /// Decides what to do with a request, and says who sent it. The order of its checks is part of the wire contract.
    /// [`Caller::finish`] makes every reply to the request.
    #[must_use]
    pub fn handle_request(&self, head: &RequestHead<'_>, state: &ServiceState<'_>) -> (Action, Caller) {
        let mut caller = Caller::of(head, state.gate.as_ref(), &self.cors);
        let checked = head_size::check(head, &self.limits).and_then(|()| guard::check(head));
        let checked = checked.and_then(|checked| self.hosts.check(head).map(|()| checked));
        let (route, decided) = match checked {
            Ok(checked) => {
                let resource = Resource::of(&checked.target);
                (resource.route(), self.decide(head, &checked, resource, state, &mut caller))
            }
            Err(problem) => (Route::Other, Err(problem)),
        };
        (decided.unwrap_or_else(|problem| Action::Reply(problem.reply(route).into())), caller)
    }

    /// The reply to a request that the host refuses. `route` is [`Route::Other`] if the host does not know the route.
    pub fn refuse(&self, route: Route, refusal: &Refusal) -> Draft {
        refusal.problem(&self.limits).reply(route).into()
    }

    /// The value for `X-Request-Id`: the caller's, if there is one such field and it has 1 to 128 visible ASCII
    /// characters; otherwise the 16 hexadecimal digits of `random`.
    #[must_use]
    pub fn request_id(head: &RequestHead<'_>, random: u64) -> String {
        let mut given = values(head, "x-request-id");
        if let (Some(id), None) = (given.next(), given.next())
            && (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.iter().all(u8::is_ascii_graphic)
            && let Ok(id) = core::str::from_utf8(id)
        {
            return id.into();
        }
        hex::digits(random)
    }

    /// Decides what to do with a request whose head is valid.
    fn decide(
        &self,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        resource: Resource,
        state: &ServiceState<'_>,
        caller: &mut Caller,
    ) -> Result<Action, ProblemReply> {
        let route = resource.route();
        if state.draining && !route.is_served_while_draining() {
            return Err(refusal::draining());
        }
        if let Some(gate) = &state.gate {
            gate.check_address(head, checked, route, caller)?;
        }
        // Before the key, which browsers do not send with it. Also for paths that do not exist: the page then gets the
        // 404 and can read it.
        if let Some(preflight) = self.cors.preflight(head, route) {
            return preflight.map(|reply| Action::Reply(reply.into()));
        }
        let access = match &state.gate {
            Some(gate) => gate.check_key(head, checked, route, caller)?,
            None => Access::default(),
        };
        let negotiated = caller.negotiated();
        let head_only = match (checked.method, route) {
            (_, Route::Other) => {
                let detail = format!("there is nothing at this path; the routes are {}", Route::list());
                return Err(ProblemReply::new(ProblemKind::NotFound, detail));
            }
            (Method::Get, _) => false,
            (Method::Head, _) => true,
            (Method::Post, Route::Events) => return self.submit(head, checked, &access, state).map(Action::Submit),
            (Method::Delete, Route::Events) => {
                return match state.repository {
                    Some(failure) => Err(erasure::refused(failure)),
                    None => Erasure::read(&self.limits, &checked.target, &access, negotiated).map(Action::Erase),
                };
            }
            (Method::Post | Method::Delete | Method::Other, _) => {
                let detail = format!("{} takes {}, not {}", route.as_str(), route.allow(), Excerpt(head.method));
                return Err(
                    ProblemReply::new(ProblemKind::MethodNotAllowed, detail).with_header("allow", route.allow())
                );
            }
        };
        let target = &checked.target;
        let inquire = |kind| {
            let inquiry = Inquiry::read(kind, head, target, &access, self.limits.analysis, head_only)?;
            Ok(self.read(Question::Inquiry(Box::new(inquiry)), negotiated))
        };
        match resource {
            Resource::Event(id) => {
                let lookup = Lookup::read(id, target, access.clone())?;
                Ok(self.read(Question::Lookup(lookup), negotiated))
            }
            Resource::Fixed(Route::Events) => {
                let search = Search::read(head, target, &access, head_only)?;
                Ok(self.read(Question::Search(Box::new(search)), negotiated))
            }
            Resource::Fixed(Route::Aggregate) => inquire(InquiryKind::Aggregate),
            Resource::Fixed(Route::Funnel) => inquire(InquiryKind::Funnel),
            Resource::Fixed(Route::Retention) => inquire(InquiryKind::Retention),
            Resource::Fixed(Route::Types) => inquire(InquiryKind::Types),
            Resource::Fixed(Route::Fields) => inquire(InquiryKind::Fields),
            Resource::Fixed(Route::Stream) => {
                Stream::read(head, target, &access, &self.cors, head_only).map(Action::Stream)
            }
            Resource::Fixed(Route::Metrics) => Ok(Action::Metrics(Metrics { negotiated })),
            Resource::Fixed(Route::Ready) => Ok(Action::Reply(health::ready(state).into())),
            Resource::Fixed(Route::OpenApi) => Ok(Action::Reply(openapi::openapi(head, negotiated).into())),
            Resource::Fixed(Route::Root) => Ok(Action::Reply(health::root().into())),
            Resource::Fixed(Route::Health | Route::Live | Route::Event | Route::Other) => {
                Ok(Action::Reply(health::live(route).into()))
            }
        }
    }

    fn read(&self, question: Question, negotiated: Negotiated) -> Action {
        Action::Read(Read::new(question, &self.limits, negotiated))
    }

    fn submit(
        &self,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        access: &Access,
        state: &ServiceState<'_>,
    ) -> Result<Submission, ProblemReply> {
        match state.repository {
            Some(failure) => Err(acknowledgement::storage_problem(failure)),
            None => Submission::read(&self.limits, &self.cors, head, checked, access),
        }
    }
}

#[cfg(test)]
mod tests;
