//! The answers in flight, and a budget for the memory of all of them.
//!
//! A running read holds a snapshot and the blocks that it reads. While its client is busy with a chunk, the read is
//! parked. A client that does not read its answer would keep all of that in memory, so a read that has been parked for
//! [`PARKED_MAX`] is suspended, and continues later in a new snapshot.
//!
//! While the budget is exceeded, parked reads are suspended at once, every other read when it has computed for a while,
//! and new answers wait for room. So what the reads hold beyond the budget is held by those that are on a thread at
//! that moment, and their number is limited.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_core::api::ReadRun;
use argus_core::subscribe::Subscription;
use event_listener::{Event, Listener as _};

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::watch;

/// How long a read may be parked before it is suspended.
pub const PARKED_MAX: Duration = Duration::from_secs(1);

/// The bytes that an answer accounts for until it has computed for the first time: two chunks of a body.
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
    /// The answers whose read is parked and has not been suspended: since when, and their number.
    parked: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Entry {
    /// The memory of the read.
    run_bytes: usize,
    /// The last two chunks of the body: hyper asks for the next one while it still has a part of the previous one.
    chunk_bytes: [usize; 2],
    /// The read, while it is parked, and since when.
    parked: Option<(Instant, Parked)>,
}

/// A read that waits for its client.
#[derive(Debug)]
pub(crate) enum Parked {
    Read(ReadRun),
    /// The history of a live stream.
    Stream(Box<Subscription>),
}

/// A read that can give up its memory, and continue later.
pub(crate) trait Suspend {
    /// Releases the snapshot and everything read from it, and returns it.
    fn suspend(&mut self) -> Option<Box<dyn Send>>;

    /// The memory of the read in bytes.
    fn held_bytes(&self) -> usize;

    /// Whether to suspend it now would lose all of its work.
    fn is_starting(&self) -> bool;
}

/// What is left of a read's memory while the budget is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is room, or the read holds no more than any other that waits.
    Fine,
    /// The budget is exceeded, also because of this read, which could not release its memory.
    Excessive,
}

impl Suspend for ReadRun {
    fn suspend(&mut self) -> Option<Box<dyn Send>> {
        self.suspend()
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes()
    }

    fn is_starting(&self) -> bool {
        self.is_starting()
    }
}

impl Suspend for Subscription {
    fn suspend(&mut self) -> Option<Box<dyn Send>> {
        self.suspend()
    }

    fn held_bytes(&self) -> usize {
        self.held_bytes()
    }

    fn is_starting(&self) -> bool {
        self.is_starting()
    }
}

impl Parked {
    fn run(&mut self) -> &mut dyn Suspend {
        match self {
            Self::Read(run) => run,
            Self::Stream(subscription) => &mut **subscription,
        }
    }
}

impl From<ReadRun> for Parked {
    fn from(run: ReadRun) -> Self {
        Self::Read(run)
    }
}

impl From<Box<Subscription>> for Parked {
    fn from(subscription: Box<Subscription>) -> Self {
        Self::Stream(subscription)
    }
}

impl Answers {
    /// A budget of `bytes_max` bytes.
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

    /// Suspends parked reads, the longest parked first: those that have been for [`PARKED_MAX`], and more while the
    /// budget is exceeded. Returns how long nothing is due, unless the budget is exceeded before.
    pub fn sweep(&self, now: Instant) -> Duration {
        loop {
            let mut state = self.lock();
            let Some(&(since, number)) = state.parked.first() else { return PARKED_MAX };
            let left = (since + PARKED_MAX).saturating_duration_since(now);
            if !left.is_zero() && state.bytes < self.bytes_max {
                return left;
            }
            state.parked.remove(&(since, number));
            let scan = state.change(number, |entry| {
                let run = entry.parked.as_mut()?.1.run();
                let scan = run.suspend();
                entry.run_bytes = run.held_bytes();
                scan
            });
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
        state.answers.insert(number, Entry { run_bytes: FIRST_BYTES, chunk_bytes: [0; 2], parked: None });
        state.bytes += FIRST_BYTES;
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
    /// Accounts for a read that has computed for a while, and for the chunk that it made, if it did. Suspends the read
    /// if the budget is exceeded, and says whether that was enough. For the thread that computed it, because dropping a
    /// scan may take time.
    pub(crate) fn account(&self, run: &mut dyn Suspend, chunk_bytes: usize) -> Standing {
        let mut state = self.answers.lock();
        state.change(self.number, |entry| {
            entry.run_bytes = run.held_bytes();
            if chunk_bytes > 0 {
                entry.chunk_bytes = [entry.chunk_bytes[1], chunk_bytes];
            }
        });
        let is_exceeded = state.bytes >= self.answers.bytes_max;
        let scan = if is_exceeded && !run.is_starting() { run.suspend() } else { None };
        if scan.is_some() {
            state.change(self.number, |entry| entry.run_bytes = run.held_bytes());
        }
        let is_excessive = state.bytes >= self.answers.bytes_max && run.held_bytes() > FIRST_BYTES;
        self.answers.unlock(state);
        drop(scan);
        if is_excessive { Standing::Excessive } else { Standing::Fine }
    }

    /// Parks the read until the client has read the chunk.
    pub(crate) fn park(&self, run: impl Into<Parked>) {
        let since = self.answers.clock.now();
        let mut state = self.answers.lock();
        state.entry(self.number).parked = Some((since, run.into()));
        state.parked.insert((since, self.number));
        self.answers.unlock(state);
    }

    /// Takes the parked read back to continue it; `None` if there is none.
    pub(crate) fn take(&self) -> Option<ReadRun> {
        match self.take_parked()? {
            Parked::Read(run) => Some(run),
            Parked::Stream(_) => None,
        }
    }

    /// Takes the parked history of a stream back to continue it; `None` if there is none.
    pub(crate) fn take_stream(&self) -> Option<Box<Subscription>> {
        match self.take_parked()? {
            Parked::Read(_) => None,
            Parked::Stream(subscription) => Some(subscription),
        }
    }

    fn take_parked(&self) -> Option<Parked> {
        let mut state = self.answers.lock();
        let (since, run) = state.entry(self.number).parked.take()?;
        state.parked.remove(&(since, self.number));
        Some(run)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let run = self.take_parked();
        let mut state = self.answers.lock();
        if let Some(entry) = state.answers.remove(&self.number) {
            state.bytes -= entry.bytes();
        }
        self.answers.unlock(state);
        drop(run);
    }
}

impl State {
    /// An answer in flight.
    fn entry(&mut self, number: u64) -> &mut Entry {
        self.answers.get_mut(&number).expect("an answer has an entry until its `Admitted` is dropped")
    }

    /// Changes an answer in flight, and the sum.
    fn change<T>(&mut self, number: u64, change: impl FnOnce(&mut Entry) -> T) -> T {
        let entry = self.entry(number);
        let before = entry.bytes();
        let result = change(entry);
        let after = entry.bytes();
        self.bytes = self.bytes - before + after;
        result
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.run_bytes + self.chunk_bytes.iter().sum::<usize>()
    }
}

/// Starts the thread that [sweeps](Answers::sweep) until the drain begins.
///
/// # Errors
///
/// When the system refuses to start a thread.
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
mod slow_clients_tests;
#[cfg(test)]
mod tests;
