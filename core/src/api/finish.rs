//! What every reply to one request has in common.

use alloc::borrow::Cow;
use alloc::string::ToString as _;

use bytes::Bytes;

use super::compress::Negotiated;
use super::cors::{Cors, Sharing};
use super::{Reply, RequestHead, Route};

/// A reply that is not finished. [`Caller::finish`](super::Caller::finish) makes a [`Reply`] of it, which can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Draft(pub(super) Reply);

/// Finishes the replies to one request, whenever they are made: fields for browsers, the content coding that the
/// client accepts, and no body for `HEAD`. The default is for replies to requests whose head is unknown.
#[derive(Clone, Debug, Default)]
pub(super) struct Finish {
    sharing: Sharing,
    negotiated: Negotiated,
    /// `GET` and `HEAD`: caches keep the answers to these.
    is_read: bool,
    is_head: bool,
}

impl Draft {
    /// Whether it is an error.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        self.0.problem.is_some()
    }
}

impl From<Reply> for Draft {
    fn from(reply: Reply) -> Self {
        Self(reply)
    }
}

impl Finish {
    pub(super) fn new(cors: &Cors, head: &RequestHead<'_>) -> Self {
        let is_head = head.method == "HEAD";
        Self {
            sharing: cors.sharing(head),
            negotiated: Negotiated::of(head),
            is_read: is_head || head.method == "GET",
            is_head,
        }
    }

    /// The content coding of the answers.
    pub(super) fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// Finishes a reply. Compresses the body of an error if it is long. All other long bodies are compressed where they
    /// are made.
    pub(super) fn apply(&self, draft: Draft) -> Reply {
        let Draft(reply) = draft;
        // A live stream never has a coding: a client should see each event at once.
        let is_live = reply.route == Route::Stream && reply.problem.is_none();
        let is_long = reply.body.len() >= Negotiated::CODED_BYTES_MIN;
        let mut reply = self.negotiated.code(reply);
        // A short body has a coding if the client excludes `identity`.
        let is_coded = reply.header("content-encoding").is_some();
        let may_be_coded = !is_live && (self.is_read || is_long || is_coded);
        if self.is_head && !reply.body.is_empty() {
            reply.headers.push(("content-length", reply.body.len().to_string().into()));
            reply.body = Bytes::new();
        }
        // Otherwise a browser may take an answer for a page or a script, whatever its type says.
        reply.headers.push(("x-content-type-options", "nosniff".into()));
        self.sharing.add_to(&mut reply.headers);
        if may_be_coded {
            add_vary(&mut reply, "accept-encoding");
        }
        if self.sharing.depends_on_origin() {
            add_vary(&mut reply, "origin");
        }
        reply
    }
}

/// Adds the name of a request field to `Vary` (RFC 9110, section 12.5.5).
fn add_vary(reply: &mut Reply, name: &'static str) {
    match reply.headers.iter_mut().find(|(other, _)| *other == "vary") {
        Some((_, value)) => *value = Cow::Owned(alloc::format!("{value}, {name}")),
        None => reply.headers.push(("vary", name.into())),
    }
}
