//! The meaning of the HTTP interface, without HTTP.
//!
//! A host reads a request's head and asks [`Api::handle_request`] what to do; the [`Action`] says so, and each of its
//! variants leads by plain function calls to a [`Reply`]. The whole of the wire contract is here; a host adds bytes,
//! waiting and the clock.

mod acknowledged;
mod content;
mod criteria;
mod fields;
mod guard;
mod health;
mod lookup;
mod problem;
mod read;
mod read_step;
mod reply;
mod route;
mod search;
mod submit;
mod target;
mod text;

pub use acknowledged::Acknowledged;
pub use health::Metrics;
pub use problem::{Problem, ProblemKind};
pub use read::{READ_BUDGET, Read, ReadRun};
pub use read_step::ReadStep;
pub use reply::Reply;
pub use route::Route;
pub use submit::{Acknowledgement, Submission, Submitted};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use fields::values;
use guard::{Method, Sound};
use lookup::Lookup;
use problem::Refused;
use read::Question;
use route::Resource;
use search::Search;

use crate::hex;
use crate::repository::{Failure, ReadError};

/// The interface with its limits. Built once; shared by all requests.
#[derive(Clone, Debug)]
pub struct Api {
    limits: Limits,
}

/// Longest `X-Request-Id` that is taken over from a caller.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// What a host may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes after decompression.
    pub body_bytes_max: usize,
    /// Longest payload of an event, in bytes of compact JSON.
    pub payload_bytes_max: usize,
    /// Most different event types in one body: as many as the repository takes.
    pub types_max: usize,
    /// How long a request may take. A page that is not full when half of it has passed ends where it is.
    pub read_time: Duration,
}

/// A request's head, as it came over the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request target, as sent: not decoded, not normalised.
    pub target: &'a str,
    /// Header fields in their order, names in lower case, values as sent.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The message is of HTTP/1.0, which has neither `Host` nor transfer codings.
    pub http_10: bool,
}

/// How the service is doing, as far as answers depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition<'a> {
    /// Asked to stop: running requests finish, new ones are refused.
    pub draining: bool,
    /// Why the repository accepts nothing at present, if so.
    pub repository: Option<&'a Failure>,
    /// Why the service cannot go on and stops by itself, if so.
    pub failure: Option<&'a str>,
    /// What an operator should know, though requests are answered as ever. It goes to whoever asks, and names no path.
    pub warning: Option<&'a str>,
}

/// What a host does next.
#[derive(Debug)]
pub enum Action {
    /// Send this.
    Reply(Reply),
    /// Read the body, then ask [`Submission::handle_body`].
    Submit(Submission),
    /// Run this where it may block: [`Read::begin`].
    Read(Read),
    /// Render the metrics and send them with [`Metrics::reply`].
    Metrics(Metrics),
}

/// Why a host refuses a request by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head did not arrive in time. 408, and the connection closes.
    HeadTimeout,
    /// The head is longer than the host reads, or has too many fields. 431, and the connection closes.
    HeadTooLarge,
    /// What arrived is no head of HTTP/1.1. 400, and the connection closes.
    HeadBroken,
    /// The head is one of another version of HTTP than 1.0 and 1.1. 505, and the connection closes.
    HeadVersion,
    /// The body is longer than [`Submission::wire_bytes_max`]. 413, and the connection closes.
    BodyTooLarge,
    /// The body did not arrive in time. 408, and the connection closes.
    BodyTimeout,
    /// The body ended early or was malformed on the wire. 400, and the connection closes.
    BodyBroken,
    /// Bodies in flight use up the byte budget, or the commit queue is full. 503 with Retry-After.
    Overloaded,
    /// Answers under way use up the memory that there is for them. 503 with Retry-After.
    AnswersFull,
    /// A commit took longer than the host allows; what became of it is unknown. 503 with Retry-After.
    Timeout,
    /// A read took longer than the host allows. 503 with Retry-After.
    ReadTimeout,
    /// Stopping. 503 with Retry-After.
    Draining,
    /// What is stored could not be read: 500, or 503 with Retry-After if it may be readable later. The host logs the
    /// error: the answer says which events are concerned, and names no place.
    Unreadable(ReadError),
    /// A fault in Argus itself. 500.
    Internal,
}

impl Api {
    /// The interface under these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// What to do about a request, in the order of checks of the wire contract.
    #[must_use]
    pub fn handle_request(&self, head: &Head<'_>, condition: &Condition<'_>) -> Action {
        let head_only = head.method == "HEAD";
        let (route, decided) = match guard::check(head) {
            Ok(sound) => {
                let resource = Resource::of(&sound.target);
                (resource.route(), self.decide(head, &sound, resource, condition))
            }
            Err(refused) => (Route::Other, Err(refused)),
        };
        match decided {
            Ok(Action::Reply(reply)) => Action::Reply(reply.for_head(head_only)),
            Ok(action) => action,
            Err(refused) => Action::Reply(refused.reply(route).for_head(head_only)),
        }
    }

    /// The answer to a request that the host itself refuses. `route` as in the [`Submission`], or [`Route::Other`].
    #[must_use]
    pub fn refuse(&self, route: Route, refusal: &Refusal) -> Reply {
        let refused = match refusal {
            Refusal::HeadTimeout => {
                Refused::new(ProblemKind::RequestTimeout, "the head did not arrive in time").closing()
            }
            Refusal::HeadTooLarge => {
                Refused::new(ProblemKind::HeadTooLarge, "the request line and header fields are too long or too many")
                    .closing()
            }
            Refusal::HeadBroken => {
                Refused::new(ProblemKind::BadRequest, "this is not the head of an HTTP/1.1 request").closing()
            }
            Refusal::HeadVersion => {
                let detail = "the versions of HTTP that are spoken here are 1.1 and 1.0";
                Refused::new(ProblemKind::VersionNotSupported, detail).closing()
            }
            Refusal::BodyTooLarge => submit::too_large(self.limits.body_bytes_max),
            Refusal::BodyTimeout => {
                Refused::new(ProblemKind::RequestTimeout, "the body did not arrive in time; nothing was stored")
                    .closing()
            }
            Refusal::BodyBroken => {
                Refused::new(ProblemKind::BadRequest, "the body ended early or was malformed; nothing was stored")
                    .closing()
            }
            Refusal::Overloaded => Refused::new(
                ProblemKind::Overloaded,
                "there is no room for this request at the moment; nothing was stored",
            ),
            Refusal::AnswersFull => Refused::new(
                ProblemKind::Overloaded,
                "the answers under way to others take all memory that there is for them",
            ),
            Refusal::Timeout => {
                Refused::new(ProblemKind::Timeout, "the request took too long; what became of it is unknown")
            }
            Refusal::ReadTimeout => {
                let detail =
                    "the request took too long; with more conditions, or a shorter range of time, it takes less";
                Refused::new(ProblemKind::Timeout, detail)
            }
            Refusal::Draining => draining(),
            Refusal::Unreadable(ReadError::Damaged(damage)) => {
                let detail = format!("part of what is stored is damaged; {}", damage.concerned);
                Refused::new(ProblemKind::Damaged, detail)
            }
            Refusal::Unreadable(ReadError::Unavailable(cause)) => {
                let detail = format!("the storage cannot be read at the moment: {}", cause.told());
                Refused::new(ProblemKind::StorageUnavailable, detail)
            }
            Refusal::Unreadable(ReadError::Failed(_)) => {
                Refused::new(ProblemKind::Internal, "the storage could not be read; the log of Argus says why")
            }
            Refusal::Internal => Refused::new(ProblemKind::Internal, "a fault in Argus, which its log describes"),
        };
        refused.reply(route)
    }

    /// The value for `X-Request-Id`: the caller's if it is sane (1 to 128 visible ASCII characters, once), else one
    /// made of `random`.
    #[must_use]
    pub fn request_id(head: &Head<'_>, random: u64) -> String {
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

    /// What to do about a sound request.
    fn decide(
        &self,
        head: &Head<'_>,
        sound: &Sound<'_>,
        resource: Resource,
        condition: &Condition<'_>,
    ) -> Result<Action, Refused> {
        let route = resource.route();
        if condition.draining && !route.answers_while_draining() {
            return Err(draining());
        }
        let head_only = match (sound.method, route) {
            (_, Route::Other) => return Err(Refused::new(ProblemKind::NotFound, "there is nothing at this path")),
            (Method::Get, _) => false,
            (Method::Head, _) => true,
            (Method::Post, Route::Events) => return self.submit(head, sound, condition).map(Action::Submit),
            (Method::Post | Method::Other, _) => {
                let detail = format!("{} has {}", route.as_str(), route.allow());
                return Err(Refused::new(ProblemKind::MethodNotAllowed, detail).with_header("allow", route.allow()));
            }
        };
        let target = &sound.target;
        match resource {
            Resource::Event(id) => Ok(self.read(Question::Lookup(Lookup::read(id, target, head_only)?))),
            Resource::Fixed(Route::Events) => {
                Ok(self.read(Question::Search(Box::new(Search::read(head, target, head_only)?))))
            }
            Resource::Fixed(Route::Metrics) => Ok(Action::Metrics(Metrics { head_only })),
            Resource::Fixed(Route::Ready) => Ok(Action::Reply(health::ready(condition))),
            Resource::Fixed(Route::OpenApi) => Ok(Action::Reply(health::openapi())),
            Resource::Fixed(Route::Health | Route::Live | Route::Event | Route::Other) => {
                Ok(Action::Reply(health::live(route)))
            }
        }
    }

    fn read(&self, question: Question) -> Action {
        Action::Read(Read::new(question, self.limits.read_time))
    }

    fn submit(&self, head: &Head<'_>, sound: &Sound<'_>, condition: &Condition<'_>) -> Result<Submission, Refused> {
        match condition.repository {
            Some(failure) => Err(submit::accepts_nothing(failure)),
            None => Submission::read(&self.limits, head, sound),
        }
    }
}

/// The connection closes, so that the next request finds a server that stays.
fn draining() -> Refused {
    Refused::new(ProblemKind::Draining, "the server is stopping; nothing was stored").closing()
}

#[cfg(test)]
mod tests;
