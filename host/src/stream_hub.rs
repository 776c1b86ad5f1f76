//! What the live streams of a server share: the hub of the core, and the tasks that wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use argus_core::api::READ_BUDGET;
use argus_core::repository::{ReadError, Reader};
use argus_core::subscribe::{Begun, Feed, Hub, Live, Message, ReaderId, StreamLimits, Subscription};
use event_listener::{Event, EventListener};

use crate::clock;

/// The live readers of a server.
pub struct StreamHub {
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
pub(crate) enum Looked {
    /// There are no live readers.
    NoReaders,
    /// The readers know all events.
    UpToDate,
    /// This many readers were woken.
    Woke(usize),
}

impl StreamHub {
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

    /// The number of live readers.
    pub(crate) fn live_readers(&self) -> usize {
        self.lock().hub.live_readers()
    }

    /// Resolves when the first reader becomes live. Listen before you look.
    pub(crate) fn joined(&self) -> EventListener {
        self.joined.listen()
    }

    /// The number of a new reader.
    pub(crate) fn open(&self) -> ReaderId {
        self.lock().hub.open()
    }

    /// The reader has ended.
    pub(crate) fn close(&self, reader: ReaderId) {
        let mut state = self.lock();
        state.hub.close(reader);
        let waker = state.wakers.remove(&reader);
        drop(state);
        drop(waker);
    }

    /// Takes messages for a live reader. If there are none, the next one wakes the task.
    pub(crate) fn take(
        &self,
        subscription: &mut Subscription,
        cx: &mut Context<'_>,
        bytes_max: usize,
        batch: &mut Vec<Message>,
    ) -> Live {
        let now = clock::uptime();
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
    pub(crate) fn look(&self, feed: &mut Feed, reader: &Reader) -> Result<Looked, ReadError> {
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
            let now = clock::uptime();
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StreamHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamHub").finish_non_exhaustive()
    }
}
