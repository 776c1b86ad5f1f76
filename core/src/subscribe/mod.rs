//! Live streams: first the stored events after a sequence number, then each new one, without a gap and without a
//! repeat.
//!
//! A [`Subscription`] is one reader. It begins in *history*: it scans what is stored, in pieces, as fast as its client
//! takes them. When it has caught up, it joins the [`Hub`] and is *live*.
//!
//! The hub has one buffer of the newest messages for all readers. Readers with equal filters form a *group*, and the
//! buffer knows which messages each group wants. So a filter is evaluated once an event however many readers share it,
//! a message is in memory once however many readers wait for it, and a reader is a number that says how far it is. A
//! reader that loses its place, because the messages of others have pushed its own out of the buffer, goes back to
//! history.
//!
//! The [`Feed`] fills the hub: it scans the events that were committed since its last pass. It runs on a thread of its
//! own, beside the writer, which only has to say that there is something new. A pass needs the hub at its beginning and
//! at its end, and does its work in between, so readers hardly wait for each other.
//!
//! # The order of calls
//!
//! A host keeps the hub behind a lock.
//!
//! 1. For each reader: [`Hub::open`], [`Subscription::new`]; at its end [`Hub::close`].
//! 2. While [`Subscription::is_in_history`]: [`Subscription::poll_history`], on a thread that may block.
//! 3. Otherwise [`Hub::see_erasures`] and [`Subscription::poll_live`], on any thread, with the hub. If the latter says
//!    [`Live::Wait`], the reader's number is among those that a later [`Hub::apply`] or [`Hub::reset`] returns.
//! 4. After commits, on a thread that may block: read [`Hub::position`], then take a snapshot. If its last sequence
//!    number is lower, the repository was replaced: [`Hub::reset`]. Otherwise [`Hub::begin`], and if there is something
//!    to do, [`Feed::begin`], then [`Feed::poll`] and [`Hub::apply`] until the pass is complete. After an error, and
//!    after [`Begun::Gap`] or [`Polled::Gap`], [`Hub::reset`].
//! 5. After [`Hub::close`], [`Subscription::poll_live`] and [`Hub::reset`]: drop the result of
//!    [`Hub::take_discarded`] without the lock, because there may be many messages.

mod feed;
mod group;
mod history;
mod hub;
mod matcher;
mod ring;
mod subscription;

pub use feed::{Assignment, Begun, Feed, Piece, Polled};
pub use history::Found;
pub use hub::{Discarded, Hub};
pub use subscription::{Live, Subscription};

use core::fmt;
use core::time::Duration;

use bytes::Bytes;

/// An event on its way to readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its sequence number.
    pub seq: u64,
    /// The event in the form on the wire, without a line end.
    pub json: Bytes,
}

/// How much the hub holds, and how far a reader may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Most events that a live reader may be behind.
    pub queue_events: u64,
    /// Most bytes that a live reader may be behind, as JSON. One event is never too much.
    pub queue_bytes: u64,
    /// Memory of the shared buffer in bytes, with what it costs to keep track of its messages.
    pub buffer_bytes: usize,
}

/// How long a reader may be further behind than its [limits](StreamLimits) allow. Many events at once, as of one large
/// request, do not make a reader slow: it has this long to take them.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The number of a reader. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId(u64);

/// The number of a group. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct GroupId(u64);

impl fmt::Display for ReaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests;
