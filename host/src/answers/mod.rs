//! The answers under way, and the memory that they may hold all together.
//!
//! A run that reads holds a snapshot and what it has read of it. A client that does not take what it is sent would keep
//! that in memory. So a run that waits for its client for [`IDLE_MAX`] is suspended: it goes on later in a new
//! snapshot. Beyond the budget, the runs that wait are suspended at once, and new answers wait until there is room.

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

/// What an answer counts for until it is known what it holds, in bytes: two pieces of a body.
const FIRST_BYTES: usize = 128 * 1024;

/// The answers under way. Those that are whole at once take part until they are.
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

/// One answer's part, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    answers: Arc<Answers>,
    number: u64,
}

#[derive(Debug, Default)]
struct State {
    next_number: u64,
    /// Bytes that all answers hold.
    bytes: usize,
    answers: BTreeMap<u64, Entry>,
    /// The answers whose run waits for its client and holds a snapshot: since when, and their number.
    idle: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry {
    bytes: usize,
    /// Of these, the piece of the body that the client is to take next.
    piece_bytes: usize,
    since: Instant,
    /// The run, while it waits for the client.
    run: Option<ReadRun>,
}

impl Answers {
    /// No answers, which may hold so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize, clock: Clock) -> Arc<Self> {
        Arc::new(Self { bytes_max, clock, state: Mutex::default(), room: Event::new(), full: Event::new() })
    }

    /// Bytes that all answers hold, and how many answers there are.
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

    /// Suspends the runs that have waited for their clients too long, or for as long as the budget is used up, the
    /// longest wait first. How long it takes until there is something to do again, unless the budget is used up before.
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
            // It may be the last to hold a file.
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

    /// Unlocks the state, and tells whoever waits for what has become of it.
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
    /// The run is at work and holds so much.
    pub(crate) fn set_held(&self, bytes: usize) {
        let mut state = self.answers.lock();
        state.set_bytes(self.number, bytes);
        self.answers.unlock(state);
    }

    /// The run waits until the client has taken a piece of so many bytes.
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

    /// Takes the run, so that it goes on; `None` if it is at work already.
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
