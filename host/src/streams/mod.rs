//! Live streams: what a request for one becomes, and the thread that hands out new events.
//!
//! The core decides who gets what; this module waits and wakes. A [`StreamReader`] is one reader, whatever its events
//! are sent over. The thread `argus-streams` looks at each newly published snapshot as long as there are live readers,
//! and wakes those that it has something for. The committer only notifies it, which costs next to nothing while nobody
//! listens.

mod body;
mod reader;

pub(crate) use body::server_sent_events;
pub use reader::{StreamItem, StreamReader};

use std::sync::Arc;
use std::time::Duration;
use std::{io, mem};

use argus_core::repository::Reader;
use argus_core::subscribe::Feed;
use event_listener::Listener as _;

use crate::node::Node;
use crate::stream_hub::{Looked, StreamHub};
use crate::warnings::Warnings;
use crate::watch;

/// After a pass that woke readers, the next one waits this long for each of them, so that many readers take many events
/// at a time instead of being woken for each.
const PAUSE_PER_READER: Duration = Duration::from_micros(10);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How often the thread looks whether the server drains, and whether a repository that could not be read can be read
/// again, if nothing else happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often it looks for events that other processes have stored, if the repository is shared.
const SHARED_INTERVAL: Duration = Duration::from_millis(50);

/// What the thread remembers from one look to the next.
#[derive(Debug, Default)]
struct Watching {
    feed: Feed,
    /// The last look has failed, and that was logged.
    is_failing: bool,
}

/// What the thread does before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Nothing.
    Now,
    /// It waits for a commit, or for this time.
    Commit(Duration),
    /// It waits for this time, whatever is committed.
    Later(Duration),
}

impl Watching {
    /// Hands out what is new since the last look. `reader` gives the reader that was published last.
    fn look(&mut self, streams: &StreamHub, warnings: &Warnings, reader: impl FnOnce() -> Reader) -> Until {
        let mut patience = LOOK_INTERVAL;
        let looked = streams.look(&mut self.feed, || {
            let reader = reader();
            patience = match &reader {
                Reader::Current(_) => LOOK_INTERVAL,
                Reader::Shared(_) => SHARED_INTERVAL,
            };
            reader
        });
        let had_failed = mem::replace(&mut self.is_failing, looked.is_err());
        match looked {
            // One reader gets everything at once.
            Ok(Looked::NoReaders | Looked::Woke(0 | 1)) => Until::Now,
            Ok(Looked::UpToDate) => Until::Commit(patience),
            Ok(Looked::Woke(readers)) => {
                let readers = u32::try_from(readers).unwrap_or(u32::MAX);
                Until::Later(PAUSE_PER_READER.saturating_mul(readers).min(PAUSE_MAX))
            }
            // If stored events cannot be read, the readers meet the same in history, report it, and end there. If a
            // shared repository cannot be reached, they wait: nothing is lost, and no other connection would get more.
            // The thread goes on, and logs only that it has begun to fail.
            Err(error) => {
                if !had_failed {
                    warnings.unreadable(&error);
                }
                Until::Commit(LOOK_INTERVAL)
            }
        }
    }
}

/// Hands new events to readers until the server drains.
fn serve(node: &Node) {
    let mut watching = Watching::default();
    while !node.lifecycle.is_draining() {
        // Listens before it looks, so that nothing in between is missed.
        let joined = node.streams.joined();
        if node.streams.live_readers() == 0 {
            // Without the filters of those that have left.
            watching = Watching::default();
            joined.wait_timeout(LOOK_INTERVAL);
            continue;
        }
        drop(joined);
        let published = node.committer.published();
        match watching.look(&node.streams, &node.warnings, || node.committer.reader()) {
            Until::Now => {}
            Until::Commit(time) => drop(published.wait_timeout(time)),
            Until::Later(time) => drop(node.lifecycle.drains_within(time)),
        }
    }
}

/// Starts the thread that hands new events to readers, until the drain begins.
///
/// # Errors
///
/// When the system refuses to start a thread.
pub(crate) fn start(node: &Arc<Node>) -> io::Result<()> {
    let serving = Arc::clone(node);
    let [ending, failing] = [(); 2].map(|()| Arc::clone(&node.lifecycle));
    watch::spawn(
        "argus-streams",
        move || serve(&serving),
        move || ending.is_draining(),
        move |reason| failing.fail(reason),
    )
    .map(drop)
}

#[cfg(test)]
mod tests;
