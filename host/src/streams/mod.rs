//! Live streams: the readers of a server, and the thread that hands them new events.
//!
//! The core decides who gets what; this module waits and wakes. A [`StreamReader`] is one reader, whatever its events
//! are sent over. The thread `argus-streams` looks at each newly published snapshot as long as there are live readers,
//! and wakes those that it has something for. The committer only notifies it, and does not even do that while nobody
//! listens.

mod body;
mod reader;

pub(crate) use body::EventBody;
pub use reader::{StreamItem, StreamReader};

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use argus_core::api::READ_BUDGET;
use argus_core::repository::{ReadError, Reader};
use argus_core::subscribe::{Begun, Feed, Hub, Live, Message, ReaderId, StreamLimits, Subscription};
use event_listener::{Event, Listener as _};

use crate::clock;
use crate::node::Node;
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

/// The live readers of a server.
pub struct Streams {
    state: Mutex<State>,
    /// Notified when the first reader becomes live.
    joined: Event,
}

struct State {
    hub: Hub,
    /// The tasks of readers that wait.
    wakers: BTreeMap<ReaderId, Waker>,
}

/// What the thread has found to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// There are no live readers.
    NoReaders,
    /// The readers know all events.
    UpToDate,
    /// This many readers were woken.
    Woke(usize),
}

impl Streams {
    /// No readers yet.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self { state: Mutex::new(State { hub: Hub::new(limits), wakers: BTreeMap::new() }), joined: Event::new() }
    }

    /// The bytes of messages that readers share, and how many events up to `last_seq` no reader was told of yet.
    #[must_use]
    pub fn held(&self, last_seq: u64) -> (usize, u64) {
        let state = self.lock();
        (state.hub.buffer_bytes(), state.hub.lag(last_seq))
    }

    /// The number of a new reader.
    fn open(&self) -> ReaderId {
        self.lock().hub.open()
    }

    /// The reader has ended.
    fn close(&self, reader: ReaderId) {
        let mut state = self.lock();
        state.hub.close(reader);
        let waker = state.wakers.remove(&reader);
        drop(state);
        drop(waker);
    }

    /// Takes messages for a live reader. If there are none, the next one wakes the task.
    fn take(
        &self,
        subscription: &mut Subscription,
        cx: &mut Context<'_>,
        bytes_max: usize,
        batch: &mut Vec<Message>,
    ) -> Live {
        let now = clock::moment().uptime;
        let mut state = self.lock();
        let live_before = state.hub.live_readers();
        let live = subscription.poll_live(&mut state.hub, now, bytes_max, batch);
        let is_first = live_before == 0 && state.hub.live_readers() > 0;
        if live == Live::Wait {
            let reader = subscription.reader();
            match state.wakers.get_mut(&reader) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => drop(state.wakers.insert(reader, cx.waker().clone())),
            }
        }
        drop(state);
        if is_first {
            self.joined.notify(1);
        }
        live
    }

    /// Reads what was committed since the last time, up to the end of one pass, and wakes readers.
    fn look(&self, feed: &mut Feed, reader: &Reader) -> Result<Looked, ReadError> {
        if self.lock().hub.live_readers() == 0 {
            return Ok(Looked::NoReaders);
        }
        let snapshot = reader.take()?;
        let last_seq = snapshot.last_seq();
        let assignment = self.lock().hub.begin(last_seq);
        let Some(assignment) = assignment else { return Ok(Looked::UpToDate) };
        let passed = match feed.begin(assignment, &snapshot) {
            Ok(Begun::Pass) => self.pass(feed),
            Ok(Begun::Gap) => Ok(self.reset(last_seq)),
            Err(error) => Err(error),
        };
        if passed.is_err() {
            self.reset(last_seq);
        }
        passed.map(Looked::Woke)
    }

    /// Completes a pass. Returns how many readers were woken.
    fn pass(&self, feed: &mut Feed) -> Result<usize, ReadError> {
        let mut count = 0;
        while let Some(piece) = feed.poll(READ_BUDGET)? {
            let now = clock::moment().uptime;
            count += self.wake(|hub, woken| hub.apply(piece, now, woken));
        }
        Ok(count)
    }

    /// Sends all live readers to history. Returns how many were woken.
    fn reset(&self, last_seq: u64) -> usize {
        self.wake(|hub, woken| hub.reset(last_seq, woken))
    }

    /// Changes the hub, and wakes the readers that this concerns, without the lock. Returns their number.
    fn wake(&self, change: impl FnOnce(&mut Hub, &mut Vec<ReaderId>)) -> usize {
        let mut woken = Vec::new();
        let mut state = self.lock();
        change(&mut state.hub, &mut woken);
        let wakers: Vec<Waker> = woken.iter().filter_map(|reader| state.wakers.remove(reader)).collect();
        drop(state);
        let count = wakers.len();
        wakers.into_iter().for_each(Waker::wake);
        count
    }

    /// The body of the thread: until the server drains.
    fn serve(&self, node: &Node) {
        let mut feed = Feed::default();
        while !node.lifecycle.is_draining() {
            // Listens before it looks, so that nothing in between is missed.
            let joined = self.joined.listen();
            if self.lock().hub.live_readers() == 0 {
                joined.wait_timeout(LOOK_INTERVAL);
                continue;
            }
            drop(joined);
            let published = node.committer.published();
            let reader = node.committer.reader();
            match self.look(&mut feed, &reader) {
                Ok(Looked::NoReaders) => {}
                Ok(Looked::UpToDate) => {
                    let patience = match reader {
                        Reader::Current(_) => LOOK_INTERVAL,
                        Reader::Shared(_) => SHARED_INTERVAL,
                    };
                    published.wait_timeout(patience);
                }
                Ok(Looked::Woke(readers)) => {
                    let readers = u32::try_from(readers).unwrap_or(u32::MAX);
                    let pause = PAUSE_PER_READER.saturating_mul(readers).min(PAUSE_MAX);
                    // One reader gets everything at once.
                    if readers > 1 {
                        thread::sleep(pause);
                    }
                }
                // The readers meet the same in history, and end there. The thread goes on for others.
                Err(error) => {
                    node.warnings.unreadable(&error);
                    published.wait_timeout(SHARED_INTERVAL);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
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
    let serve = move || serving.streams.serve(&serving);
    watch::spawn("argus-streams", serve, move || ending.is_draining(), move |reason| failing.fail(reason)).map(drop)
}

#[cfg(test)]
mod tests;
