//! How idle a connection is: the order in which connections are closed to make room for others.

use std::time::Instant;

/// How idle a connection is. The least value is evicted first: closing it loses least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Idleness {
    /// No request is under way, and every answer has been written.
    BetweenRequests,
    /// Part of a head has arrived.
    InHead,
    /// The request was answered; the client still sends a body, which is discarded.
    Lingering,
    /// The connection was opened or answered a moment ago; its next request may be on its way.
    Recent,
}

/// How idle a connection is, and since when. The least value is evicted first.
pub(crate) type IdleSince = (Idleness, Instant);
