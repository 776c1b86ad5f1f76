//! The answers in flight, and a budget for the memory of all of them.
//!
//! A running read holds a snapshot and the blocks that it reads. A client that does not read its answer would keep them
//! in memory. So a read that waits for its client for [`IDLE_MAX`] is suspended, and continues later in a new snapshot.
//! When the budget is exceeded, waiting reads are suspended at once, and new answers wait for room. Reads at work
//! are not suspended, so the budget may be exceeded until they wait for their clients.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_core::api::ReadRun;
use event_listener::{Event, Listener as _};

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::watch;

/// How long a run may wait for its client before it is suspended.
pub const IDLE_MAX: Duration = Duration::from_secs(1);

/// The bytes that an answer accounts for until its memory is known: two chunks of a body.
const FIRST_BYTES: usize = 128 * 1024;

/// The answers in flight. An answer that is not streamed is one of them until it is complete.
#[derive(Debug)]
pub struct Answers {
    bytes_max: usize,
    clock: Clock,
    state: Mutex<State>,
    /// Notified when there is room for one more answer.
    room: Event,
    /// Notified when there is no room left.
    full: Event,
}

/// One answer's share of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    answers: Arc<Answers>,
    number: u64,
}

#[derive(Debug, Default)]
struct State {
    next_number: u64,
    /// The memory of all answers, in bytes.
    bytes: usize,
    answers: BTreeMap<u64, Entry>,
    /// The answers whose read waits for its client and has not been suspended: since when, and their number.
    idle: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry {
    bytes: usize,
    /// Of these, the chunk of the body that the client has to read next.
    piece_bytes: usize,
    since: Instant,
    /// The read, while it waits for the client.
    run: Option<ReadRun>,
}

impl Answers {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self { bytes_max, clock, state: Mutex::default(), room: Event::new(), full: Event::new() })
    }

    /// The memory of all answers in bytes, and the number of answers.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.bytes, state.answers.len())
    }

    /// Waits until there is room for one more answer.
    pub(crate) async fn admit(self: &Arc<Self>) -> Admitted {
        loop {
            if let Some(admitted) = self.try_admit() {
                return admitted;
            }
            let listener = self.room.listen();
            if let Some(admitted) = self.try_admit() {
                return admitted;
            }
            listener.await;
        }
    }

    /// Suspends reads, the longest wait first: those that have waited for [`IDLE_MAX`], and more while the budget is
    /// exceeded. Returns how long nothing is due, unless the budget is exceeded before.
    pub fn sweep(&self, now: Instant) -> Duration {
        loop {
            let mut state = self.lock();
            let Some(&(since, number)) = state.idle.first() else { return IDLE_MAX };
            let left = (since + IDLE_MAX).saturating_duration_since(now);
            if !left.is_zero() && state.bytes < self.bytes_max {
                return left;
            }
            state.idle.remove(&(since, number));
            let entry = state.answers.get_mut(&number).expect("an answer that waits is not over");
            let run = entry.run.as_mut().expect("a run that waits for its client is here");
            let scan = run.suspend();
            let bytes = run.held_bytes() + entry.piece_bytes;
            state.set_bytes(number, bytes);
            self.unlock(state);
            // It may have the last reference to a deleted file, and closing that may take time.
            drop(scan);
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Admitted> {
        let mut state = self.lock();
        if state.bytes >= self.bytes_max {
            drop(state);
            self.full.notify(1);
            return None;
        }
        let number = state.next_number;
        state.next_number += 1;
        let entry = Entry { bytes: 0, piece_bytes: 0, since: self.clock.now(), run: None };
        state.answers.insert(number, entry);
        state.set_bytes(number, FIRST_BYTES);
        self.unlock(state);
        Some(Admitted { answers: Arc::clone(self), number })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks the state and wakes whoever waits for room, or the sweep if there is none.
    fn unlock(&self, state: MutexGuard<'_, State>) {
        let has_room = state.bytes < self.bytes_max;
        drop(state);
        if has_room {
            self.room.notify(1);
        } else {
            self.full.notify(1);
        }
    }
}

impl Admitted {
    /// Sets the memory of a read that is being computed.
    pub(crate) fn set_held(&self, bytes: usize) {
        let mut state = self.answers.lock();
        state.set_bytes(self.number, bytes);
        self.answers.unlock(state);
    }

    /// Hands the read over until the client has read a chunk of so many bytes.
    pub(crate) fn rest(&self, run: ReadRun, piece_bytes: usize) {
        let since = self.answers.clock.now();
        let bytes = run.held_bytes() + piece_bytes;
        let mut state = self.answers.lock();
        if let Some(entry) = state.answers.get_mut(&self.number) {
            (entry.run, entry.piece_bytes, entry.since) = (Some(run), piece_bytes, since);
            state.idle.insert((since, self.number));
        }
        state.set_bytes(self.number, bytes);
        self.answers.unlock(state);
    }

    /// Takes the read back to continue it; `None` if it was taken already.
    pub(crate) fn take(&self) -> Option<ReadRun> {
        let mut state = self.answers.lock();
        let entry = state.answers.get_mut(&self.number)?;
        let since = entry.since;
        let run = entry.run.take();
        state.idle.remove(&(since, self.number));
        run
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut state = self.answers.lock();
        state.set_bytes(self.number, 0);
        let entry = state.answers.remove(&self.number);
        if let Some(entry) = &entry {
            state.idle.remove(&(entry.since, self.number));
        }
        self.answers.unlock(state);
        drop(entry);
    }
}

impl State {
    fn set_bytes(&mut self, number: u64, bytes: usize) {
        if let Some(entry) = self.answers.get_mut(&number) {
            self.bytes = self.bytes - entry.bytes + bytes;
            entry.bytes = bytes;
        }
    }
}

/// Starts the thread that [sweeps](Answers::sweep) until the drain begins.
///
/// # Errors
///
/// The system gives no thread.
pub(crate) fn start(answers: &Arc<Answers>, lifecycle: &Arc<Lifecycle>) -> io::Result<()> {
    let answers = Arc::clone(answers);
    let [serving, ending, failing] = [(); 3].map(|()| Arc::clone(lifecycle));
    let sweep = move || {
        while !serving.is_draining() {
            let full = answers.full.listen();
            let next = answers.sweep(answers.clock.now());
            full.wait_timeout(next);
        }
    };
    watch::spawn("argus-answers", sweep, move || ending.is_draining(), move |reason| failing.fail(reason)).map(drop)
}

#[cfg(test)]
mod tests;
