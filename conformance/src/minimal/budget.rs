//! The memory budget of arriving bodies, and the pace at which they must arrive.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_core::api::Refusal;

/// Bodies up to this size have a part of the budget that larger ones cannot use.
const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;
/// One part in this many of the budget is reserved for small bodies.
const SMALL_SHARE: usize = 8;
/// A body that has stalled this long gives its memory to others that need it.
const STALLED: Duration = Duration::from_millis(500);
/// How long to wait for that memory. The stalled body's thread checks often.
const RECLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// The memory that all bodies may use together.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: usize,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    next: u64,
    bodies: Vec<Arriving>,
}

#[derive(Debug)]
struct Arriving {
    number: u64,
    pace: Pace,
    reclaimed: bool,
}

/// A body's share of a [`Budget`], returned when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    number: u64,
    bytes: usize,
}

/// The deadline of a body: each byte extends it by the time that it takes at the minimum rate, up to a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    patience: Duration,
    bytes_per_second: usize,
    deadline: Instant,
}

impl Pace {
    pub(crate) fn new(patience: Duration, bytes_per_second: usize) -> Self {
        Self { patience, bytes_per_second, deadline: Instant::now() + patience }
    }

    pub(crate) fn advance(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64).min(self.patience);
        self.deadline = (self.deadline + earned).min(Instant::now() + self.patience);
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    fn behind(&self) -> Duration {
        (Instant::now() + self.patience).saturating_duration_since(self.deadline)
    }
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, state: Mutex::default(), given_back: Condvar::new() })
    }

    /// An empty share for a body that starts to arrive.
    pub(crate) fn share(self: &Arc<Self>, pace: Pace) -> Share {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.bodies.push(Arriving { number, pace, reclaimed: false });
        drop(state);
        Share { budget: Arc::clone(self), number, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes more bytes, if necessary from a stalled body.
    pub(crate) fn grow(&mut self, more: usize, pace: Pace) -> Result<(), Refusal> {
        let bytes = self.bytes + more;
        let budget = &self.budget;
        let large = bytes > SMALL_BODY_BYTES_MAX;
        let limit = if large { budget.bytes_max - budget.bytes_max / SMALL_SHARE } else { budget.bytes_max };
        let mut state = budget.lock();
        if let Some(own) = state.bodies.iter_mut().find(|body| body.number == self.number) {
            own.pace = pace;
        }
        while state.bytes + more > limit {
            let stalled = state.bodies.iter_mut().filter(|body| body.reclaimed || body.pace.behind() >= STALLED);
            let slowest = stalled.max_by_key(|body| (body.reclaimed, body.pace.behind()));
            slowest.ok_or(Refusal::Overloaded)?.reclaimed = true;
            let (next, waited) =
                budget.given_back.wait_timeout(state, RECLAIM_TIMEOUT).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() {
                return Err(Refusal::Overloaded);
            }
        }
        state.bytes += more;
        self.bytes = bytes;
        Ok(())
    }

    /// Whether this body must return its bytes to others.
    pub(crate) fn is_reclaimed(&self) -> bool {
        self.budget.lock().bodies.iter().any(|body| body.number == self.number && body.reclaimed)
    }

    /// The body is complete, and keeps its bytes.
    pub(crate) fn keep(&self) {
        self.budget.lock().bodies.retain(|body| body.number != self.number);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep();
        self.budget.lock().bytes -= self.bytes;
        self.budget.given_back.notify_all();
    }
}
