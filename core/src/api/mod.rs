//! The meaning of the HTTP interface, without HTTP.
//!
//! A host reads a request's head and asks [`Api::handle_request`] what to do; the [`Action`] says so, and each of its variants
//! leads by plain function calls to a [`Reply`]. The whole of the wire contract is here; a host adds bytes, waiting and
//! the clock.

mod problem;
mod reply;

pub use problem::{Problem, ProblemKind};
pub use reply::{Reply, Route};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::batch::Batch;
use crate::repository::{CommitError, ReadError, Receipt, Snapshot};

/// The interface with its limits. Built once; shared by all requests.
#[derive(Clone, Debug)]
pub struct Api {
    limits: Limits,
}

/// What a host may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body, in bytes after decompression.
    pub body_bytes_max: usize,
    /// Longest payload of an event, in bytes of compact JSON.
    pub payload_bytes_max: usize,
}

/// A request's head, as it came over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request target, as sent: not decoded, not normalised.
    pub target: &'a str,
    /// Header fields in their order, names in lower case, values as sent.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// How the service is doing, as far as answers depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Condition<'a> {
    /// Asked to stop: running requests finish, new ones are refused.
    pub draining: bool,
    /// Why the repository accepts nothing more, if so.
    pub latched: Option<&'a str>,
}

/// What a host does next.
#[derive(Debug)]
pub enum Action {
    /// Send this.
    Reply(Reply),
    /// Read the body, then ask [`Submission::handle_body`].
    Submit(Submission),
    /// Run this query on a snapshot: [`Search::begin`].
    Search(Search),
    /// Look this event up: [`Lookup::reply`].
    Lookup(Lookup),
    /// Render the metrics and send them with [`Api::metrics`].
    Metrics(Metrics),
}

/// A `POST /events` whose head is in order.
#[derive(Debug)]
pub struct Submission {
    _private: (),
}

/// What a body asks for.
#[derive(Debug)]
pub enum Submitted {
    /// Send this: nothing is to be stored.
    Reply(Reply),
    /// Commit the batch, then ask [`Acknowledgement::reply`].
    Commit(Batch, Acknowledgement),
}

/// Knows how to report what became of a batch.
#[derive(Debug)]
pub struct Acknowledgement {
    _private: (),
}

/// A `GET` or `HEAD` of `/events` whose parameters are in order.
#[derive(Debug)]
pub struct Search {
    _private: (),
}

/// A search under way.
#[expect(missing_debug_implementations, reason = "holds a running query, which has no useful picture")]
pub struct SearchRun {
    find: Box<dyn crate::repository::Find>,
}

/// What a step of a search gave.
#[derive(Debug)]
pub enum SearchStep {
    /// Nothing yet; call again.
    Pending,
    /// The whole answer: it is small. The run is over.
    Whole(Reply),
    /// The head of a streamed answer (its body is empty); chunks follow.
    Start(Reply),
    /// The next piece of the body, at most about 64 KiB plus one event.
    Chunk(Bytes),
    /// The body is complete.
    Done,
}

/// A `GET` or `HEAD` of `/events/{id}`.
#[derive(Debug)]
pub struct Lookup {
    _private: (),
}

/// A `GET` or `HEAD` of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    _private: (),
}

/// Why a host refuses a request by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The body is longer than [`Submission::wire_bytes_max`]. 413, and the connection closes.
    BodyTooLarge,
    /// The body did not arrive in time. 408, and the connection closes.
    BodyTimeout,
    /// The body ended early or was malformed on the wire. 400, and the connection closes.
    BodyBroken,
    /// Bodies in flight use up the byte budget, or the commit queue is full. 503 with Retry-After.
    Overloaded,
    /// The request took longer than the host allows; what became of it is unknown. 503 with Retry-After.
    Timeout,
    /// Stopping. 503 with Retry-After.
    Draining,
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
        let _ = (head, condition, &self.limits);
        todo!()
    }

    /// The answer to a request that the host itself refuses. `route` as in the [`Submission`], or [`Route::Other`].
    #[must_use]
    pub fn refuse(&self, route: Route, refusal: &Refusal) -> Reply {
        let _ = (route, refusal);
        todo!()
    }

    /// The value for `X-Request-Id`: the caller's if it is sane (1 to 128 visible ASCII characters, once), else one made of `random`.
    #[must_use]
    pub fn request_id(head: &Head<'_>, random: u64) -> String {
        let _ = (head, random);
        todo!()
    }
}

impl Submission {
    /// Longest body to read from the wire, in bytes before decompression. A declared Content-Length above it was refused already.
    #[must_use]
    pub fn wire_bytes_max(&self) -> usize {
        todo!()
    }

    /// What the body (as it came over the wire, perhaps compressed) asks for. Takes time in proportion to the body: large ones are not
    /// for an executor's worker.
    #[must_use]
    pub fn handle_body(self, body: &[u8]) -> Submitted {
        let _ = body;
        todo!()
    }
}

impl Acknowledgement {
    /// The answer, once the batch is committed or was not.
    #[must_use]
    pub fn reply(self, outcome: &Result<Receipt, CommitError>) -> Reply {
        let _ = outcome;
        todo!()
    }
}

impl Search {
    /// Begins the query on a snapshot.
    #[must_use]
    pub fn begin(self, snapshot: Arc<dyn Snapshot>) -> SearchRun {
        SearchRun { find: snapshot.find(&crate::query::Query::default()) }
    }
}

impl SearchRun {
    /// Does a bounded amount of work (some 100 microseconds).
    ///
    /// # Errors
    ///
    /// [`ReadError`]: before [`SearchStep::Start`] the host sends [`Api::refuse`] with [`Refusal::Internal`]; after it, it cuts the
    /// connection, so that nobody takes a part for the whole.
    pub fn poll(&mut self) -> Result<SearchStep, ReadError> {
        let _ = &self.find;
        todo!()
    }
}

impl Lookup {
    /// The event, or 404. May read from storage.
    #[must_use]
    pub fn reply(self, snapshot: &dyn Snapshot) -> Reply {
        let _ = snapshot;
        todo!()
    }
}

impl Metrics {
    /// The answer with the rendered metrics (text format 0.0.4).
    #[must_use]
    pub fn reply(self, rendered: String) -> Reply {
        let _ = rendered;
        todo!()
    }
}
