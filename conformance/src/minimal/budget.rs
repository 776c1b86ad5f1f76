//! The memory of bodies that arrive, and how fast they have to.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argus_core::api::Refusal;

/// Bodies up to this size have a share of the budget that larger ones cannot take.
const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;
/// One part in so many of the budget is kept for small bodies.
const SMALL_SHARE: usize = 8;
/// A body that has stood still for so long gives its bytes back when others need them.
const STALLED: Duration = Duration::from_millis(500);
/// How long to wait until it has; its thread looks often.
const GIVING_BACK: Duration = Duration::from_secs(2);

/// The memory that all bodies may take together.
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
    given_up: bool,
}

/// A body's share of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    number: u64,
    bytes: usize,
}

/// By when a body has to go on: each byte gives it as much time as it takes at the least rate, up to a limit.
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

    /// A share of no bytes, to be grown, for a body that begins to arrive.
    pub(crate) fn share(self: &Arc<Self>, pace: Pace) -> Share {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.bodies.push(Arriving { number, pace, given_up: false });
        drop(state);
        Share { budget: Arc::clone(self), number, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes more bytes, if need be from a body that stands still.
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
            let stalled = state.bodies.iter_mut().filter(|body| body.given_up || body.pace.behind() >= STALLED);
            let slowest = stalled.max_by_key(|body| (body.given_up, body.pace.behind()));
            slowest.ok_or(Refusal::Overloaded)?.given_up = true;
            let (next, waited) =
                budget.given_back.wait_timeout(state, GIVING_BACK).unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() {
                return Err(Refusal::Overloaded);
            }
        }
        state.bytes += more;
        self.bytes = bytes;
        Ok(())
    }

    /// Whether others need the bytes, and are to have them.
    pub(crate) fn is_given_up(&self) -> bool {
        self.budget.lock().bodies.iter().any(|body| body.number == self.number && body.given_up)
    }

    /// The body is there, and nobody takes its bytes away any more.
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
