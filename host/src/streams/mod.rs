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

use std::io;
use std::sync::Arc;
use std::time::Duration;

use argus_core::repository::Reader;
use argus_core::subscribe::Feed;
use event_listener::Listener as _;

use crate::node::Node;
use crate::stream_hub::Looked;
use crate::watch;

/// After a pass that woke readers, the next one waits this long for each of them, so that many readers take many events
/// at a time instead of being woken for each.
const PAUSE_PER_READER: Duration = Duration::from_micros(10);

/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How often the thread looks whether the server drains, if nothing else happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often it looks for events that other processes have stored, if the repository is shared.
const SHARED_INTERVAL: Duration = Duration::from_millis(50);

/// Hands new events to readers until the server drains.
fn serve(node: &Node) {
    let mut feed = Feed::default();
    while !node.lifecycle.is_draining() {
        // Listens before it looks, so that nothing in between is missed.
        let joined = node.streams.joined();
        if node.streams.live_readers() == 0 {
            // Without the filters of those that have left.
            feed = Feed::default();
            joined.wait_timeout(LOOK_INTERVAL);
            continue;
        }
        drop(joined);
        let published = node.committer.published();
        let reader = node.committer.reader();
        match node.streams.look(&mut feed, &reader) {
            Ok(Looked::NoReaders) => {}
            Ok(Looked::UpToDate) => {
                let patience = match reader {
                    Reader::Current(_) => LOOK_INTERVAL,
                    Reader::Shared(_) => SHARED_INTERVAL,
                };
                published.wait_timeout(patience);
            }
            // One reader gets everything at once.
            Ok(Looked::Woke(0 | 1)) => {}
            Ok(Looked::Woke(readers)) => {
                let readers = u32::try_from(readers).unwrap_or(u32::MAX);
                node.lifecycle.drains_within(PAUSE_PER_READER.saturating_mul(readers).min(PAUSE_MAX));
            }
            // If stored events cannot be read, the readers meet the same in history, and end there. If a shared
            // repository cannot be reached, they wait: nothing is lost, and no other connection would get more. The
            // thread goes on.
            Err(error) => {
                node.warnings.unreadable(&error);
                published.wait_timeout(SHARED_INTERVAL);
            }
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
