//! The meaning of the HTTP interface, without HTTP.
//!
//! A host parses the head of a request and calls [`Api::handle_request`], which returns an [`Action`]. The
//! documentation of each action says which function to call next, until there is a [`Draft`], of which [`Finish`] makes
//! a [`Reply`]. This module has the whole wire contract; a host adds sockets, waiting and the clock.

mod acknowledgement;
mod acknowledgement_body;
mod allowed_hosts;
mod charset;
mod compress;
mod content;
mod cors;
mod fields;
mod finish;
mod format;
mod guard;
mod health;
mod lookup;
mod mapping;
mod params;
mod problem;
mod problem_reply;
mod read;
mod read_step;
mod refusal;
mod reply;
mod route;
mod search;
mod submission;
mod target;
mod text;
mod validator;

pub use acknowledgement::Acknowledgement;
pub use acknowledgement_body::Acknowledged;
pub use allowed_hosts::{AllowedHost, AllowedHostError, AllowedHosts};
pub use cors::{Cors, CorsOrigin, CorsOriginError};
pub use finish::{Draft, Finish};
pub use health::Metrics;
pub use problem::{Problem, ProblemKind};
pub use read::{READ_BUDGET, Read, ReadRun};
pub use read_step::ReadStep;
pub use refusal::Refusal;
pub use reply::Reply;
pub use route::Route;
pub use submission::{Submission, Submitted};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use compress::Negotiated;
use fields::values;
use guard::{CheckedHead, Method};
use lookup::Lookup;
use problem_reply::ProblemReply;
use read::Question;
use route::Resource;
use search::Search;
use text::Excerpt;

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
}

/// The head of a request, as received.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request target, neither decoded nor normalised.
    pub target: &'a str,
    /// Header fields in the order received: names in lower case, values unchanged.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// Whether the request uses HTTP/1.0, which needs no `Host` and has no transfer codings.
    pub http_10: bool,
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
}

/// What a host does next.
#[derive(Debug)]
pub enum Action {
    /// Send this reply.
    Reply(Draft),
    /// Read the body, then call [`Submission::handle_body`].
    Submit(Submission),
    /// Call [`Read::begin`] on a thread that may block.
    Read(Read),
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

    /// Decides what to do with a request. The order of its checks is part of the wire contract. [`Finish`] is for every
    /// reply to the request.
    #[must_use]
    pub fn handle_request(&self, head: &RequestHead<'_>, state: &ServiceState<'_>) -> (Action, Finish) {
        let finish = Finish::new(&self.cors, head);
        let checked = guard::check(head).and_then(|checked| self.hosts.check(head).map(|()| checked));
        let (route, decided) = match checked {
            Ok(checked) => {
                let resource = Resource::of(&checked.target);
                (resource.route(), self.decide(head, &checked, resource, state, finish.negotiated()))
            }
            Err(problem) => (Route::Other, Err(problem)),
        };
        (decided.unwrap_or_else(|problem| Action::Reply(problem.reply(route).into())), finish)
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
        negotiated: Negotiated,
    ) -> Result<Action, ProblemReply> {
        let route = resource.route();
        if state.draining && !route.is_served_while_draining() {
            return Err(refusal::draining());
        }
        // Also for paths that do not exist: the page then gets the 404 and can read it.
        if let Some(preflight) = self.cors.preflight(head, route) {
            return preflight.map(|reply| Action::Reply(reply.into()));
        }
        let head_only = match (checked.method, route) {
            (_, Route::Other) => {
                let detail = format!("there is nothing at this path; the routes are {}", Route::list());
                return Err(ProblemReply::new(ProblemKind::NotFound, detail));
            }
            (Method::Get, _) => false,
            (Method::Head, _) => true,
            (Method::Post, Route::Events) => return self.submit(head, checked, state).map(Action::Submit),
            (Method::Post | Method::Other, _) => {
                let detail = format!("{} takes {}, not {}", route.as_str(), route.allow(), Excerpt(head.method));
                return Err(
                    ProblemReply::new(ProblemKind::MethodNotAllowed, detail).with_header("allow", route.allow())
                );
            }
        };
        let target = &checked.target;
        match resource {
            Resource::Event(id) => Ok(self.read(Question::Lookup(Lookup::read(id, target)?), negotiated)),
            Resource::Fixed(Route::Events) => {
                Ok(self.read(Question::Search(Box::new(Search::read(head, target, head_only)?)), negotiated))
            }
            Resource::Fixed(Route::Metrics) => Ok(Action::Metrics(Metrics { negotiated })),
            Resource::Fixed(Route::Ready) => Ok(Action::Reply(health::ready(state).into())),
            Resource::Fixed(Route::OpenApi) => Ok(Action::Reply(health::openapi(head, negotiated).into())),
            Resource::Fixed(Route::Root) => Ok(Action::Reply(health::root().into())),
            Resource::Fixed(Route::Health | Route::Live | Route::Event | Route::Other) => {
                Ok(Action::Reply(health::live(route).into()))
            }
        }
    }

    fn read(&self, question: Question, negotiated: Negotiated) -> Action {
        Action::Read(Read::new(question, self.limits.read_time, negotiated))
    }

    fn submit(
        &self,
        head: &RequestHead<'_>,
        checked: &CheckedHead<'_>,
        state: &ServiceState<'_>,
    ) -> Result<Submission, ProblemReply> {
        match state.repository {
            Some(failure) => Err(acknowledgement::storage_problem(failure)),
            None => Submission::read(&self.limits, &self.cors, head, checked),
        }
    }
}

#[cfg(test)]
mod tests;
