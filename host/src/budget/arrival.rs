//! Bodies that arrive in pieces, and can be dropped when memory runs out.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use argus_core::api::Refusal;
use bytes::Bytes;

use super::{Budget, Reservation, Share};
use crate::pace::Pace;

/// A body that has stalled for this long may be dropped in favour of one that arrives. Long enough for TCP to send a
/// lost segment again.
const STALLED: Duration = Duration::from_millis(500);

/// Least capacity of a body's buffer, in bytes.
const FIRST_BYTES: usize = 1024;

/// A partly received body. Dropping it returns its memory.
#[derive(Debug)]
pub(crate) struct Arrival {
    number: u64,
    /// The declared length, or the most bytes allowed, in bytes.
    length_max: usize,
    budget: Arc<Budget>,
    held: Arc<Mutex<Held>>,
}

/// All partly received bodies.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    next: u64,
    held: BTreeMap<u64, Arc<Mutex<Held>>>,
}

/// The bytes of a body so far. Locked by the body's reader, and by a thread that drops the body to make room.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    /// `None` once the body was dropped to make room.
    reservation: Option<Reservation>,
    pace: Pace,
    waker: Option<Waker>,
}

impl Arrival {
    /// An empty body of at most `length_max` bytes.
    pub(crate) fn new(length_max: usize, pace: Pace, budget: &Arc<Budget>) -> Self {
        let held = Held { bytes: Vec::new(), reservation: Some(budget.reserve()), pace, waker: None };
        let held = Arc::new(Mutex::new(held));
        let mut arrivals = lock(&budget.arrivals.0);
        let number = arrivals.next;
        arrivals.next += 1;
        arrivals.held.insert(number, Arc::clone(&held));
        drop(arrivals);
        Self { number, length_max, budget: Arc::clone(budget), held }
    }

    /// Appends the next piece, which `pace` has already counted.
    ///
    /// # Errors
    ///
    /// [`Refusal::BodyTooLarge`] beyond the length; [`Refusal::Overloaded`] if the budget has no room for it, or the
    /// body was dropped to make room for others.
    pub(crate) fn push(&mut self, data: &Bytes, pace: Pace) -> Result<(), Refusal> {
        let mut held = lock(&self.held);
        held.pace = pace;
        let bytes = held.bytes.len().saturating_add(data.len());
        if bytes > self.length_max {
            return Err(Refusal::BodyTooLarge);
        }
        let before = held.bytes.capacity();
        if bytes > before {
            let capacity = self.capacity_for(bytes);
            let mut reservation = held.reservation.take().ok_or(Refusal::Overloaded)?;
            drop(held);
            // Both buffers exist while the bytes are copied.
            let grown = reservation.grow_to(before.saturating_add(capacity), Share::of(capacity));
            held = lock(&self.held);
            grown.map_err(|_| Refusal::Overloaded)?;
            let more = capacity - held.bytes.len();
            held.bytes.try_reserve_exact(more).map_err(|_| Refusal::Overloaded)?;
            reservation.shrink_to(held.bytes.capacity());
            held.reservation = Some(reservation);
        }
        if held.reservation.is_none() {
            return Err(Refusal::Overloaded);
        }
        held.bytes.extend_from_slice(data);
        Ok(())
    }

    /// More of the body is arriving, and cannot be read yet.
    pub(crate) fn keeps(&self, pace: Pace) {
        lock(&self.held).pace = pace;
    }

    /// Capacity for this many bytes and some that may follow, to grow in few steps: at most about four times the bytes
    /// that have arrived, and never more than the length. The last buffer but one has at most half of the length, so
    /// that both together stay within [`memory_bytes_max`].
    fn capacity_for(&self, bytes: usize) -> usize {
        let quarter = self.length_max / 4;
        if bytes >= quarter || FIRST_BYTES >= quarter { self.length_max } else { (2 * bytes).max(FIRST_BYTES) }
    }

    /// Registers `waker`, to be called if the body is dropped to make room.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overloaded`] if that has already happened.
    pub(crate) fn watch(&self, waker: &Waker) -> Result<(), Refusal> {
        let mut held = lock(&self.held);
        if held.reservation.is_none() {
            return Err(Refusal::Overloaded);
        }
        match &mut held.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Ok(())
    }

    /// The whole body. From now on it cannot be dropped to make room.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overloaded`] if that has already happened.
    pub(crate) fn finish(self) -> Result<(Bytes, Reservation), Refusal> {
        let (reservation, bytes) = {
            let mut held = lock(&self.held);
            (held.reservation.take(), mem::take(&mut held.bytes))
        };
        Ok((bytes.into(), reservation.ok_or(Refusal::Overloaded)?))
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        lock(&self.budget.arrivals.0).held.remove(&self.number);
    }
}

impl Arrivals {
    /// Drops the body that has stalled longest, if any has stalled for long enough. Returns whether there was one.
    pub(crate) fn drop_slowest(&self, now: Instant) -> bool {
        let arrivals = lock(&self.0);
        let stalled = |held: &&Arc<Mutex<Held>>| {
            // A locked body is being read, so it has not stalled.
            let held = held.try_lock().ok()?;
            let stalled_for = held.pace.used(now);
            (held.reservation.is_some() && stalled_for >= STALLED).then_some(stalled_for)
        };
        let slowest = arrivals.held.values().filter_map(|held| Some((stalled(&held)?, held)));
        let Some((_, slowest)) = slowest.max_by_key(|&(stalled_for, _)| stalled_for) else { return false };
        let mut held = lock(slowest);
        let mut waker = None;
        // More of it may have arrived since.
        if held.reservation.is_some() && held.pace.used(now) >= STALLED {
            // Free the memory before the reservation.
            held.bytes = Vec::new();
            held.reservation = None;
            waker = held.waker.take();
        }
        drop(held);
        drop(arrivals);
        // Without the locks: an executor may drop the task instead of waking it, and the body with it.
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

/// The most memory that a body of at most `body_bytes_max` takes while it arrives, in bytes.
pub(crate) fn memory_bytes_max(body_bytes_max: usize) -> usize {
    body_bytes_max.saturating_add(body_bytes_max / 2)
}

/// A panic leaves the data intact, so a poisoned lock is safe to use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn pace(now: Instant) -> Pace {
        Pace::new(Duration::from_secs(30), NonZeroUsize::new(1024).unwrap(), now)
    }

    fn zeros(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        let budget = Budget::new(1 << 20);
        let now = Instant::now();
        let mut arrivals: Vec<Arrival> = (0..100).map(|_| Arrival::new(1 << 19, pace(now), &budget)).collect();
        assert_eq!(budget.reserved(), 0);
        for arrival in &mut arrivals {
            arrival.push(&zeros(1), pace(now)).unwrap();
        }
        assert_eq!(budget.reserved(), 100 * FIRST_BYTES);
        drop(arrivals);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn memory_grows_with_what_has_arrived() {
        for length in [1, 1000, 5000, 100_000, 1 << 20] {
            for piece in [1, 7, 400, 9000] {
                let budget = Budget::new(memory_bytes_max(length) * 8 / 7 + 8);
                let now = Instant::now();
                let mut arrival = Arrival::new(length, pace(now), &budget);
                let mut arrived = 0;
                while arrived < length {
                    let bytes = piece.min(length - arrived);
                    arrival.push(&zeros(bytes), pace(now)).unwrap();
                    arrived += bytes;
                    assert!(
                        budget.reserved() <= (4 * arrived + 4).max(4 * FIRST_BYTES).min(length),
                        "{length} {piece}"
                    );
                }
                assert_eq!(arrival.push(&zeros(1), pace(now)), Err(Refusal::BodyTooLarge));
                let (bytes, reservation) = arrival.finish().unwrap();
                assert_eq!((bytes.len(), budget.reserved()), (length, length));
                drop((bytes, reservation));
                assert_eq!(budget.reserved(), 0);
            }
        }
    }

    #[test]
    fn stalled_bodies_are_dropped_to_make_room() {
        let begun = Instant::now();
        let Some(earlier) = begun.checked_sub(STALLED) else { return };
        let Some(earliest) = earlier.checked_sub(STALLED) else { return };
        let budget = Budget::new(40_000);
        let mut arrivals = [earlier, earliest, begun].map(|time| Arrival::new(10_000, pace(time), &budget));
        for (arrival, time) in arrivals.iter_mut().zip([earlier, earliest, begun]) {
            arrival.push(&zeros(9_000), pace(time)).unwrap();
        }
        assert_eq!(budget.reserved(), 30_000);
        let [second, first, last] = arrivals;
        let woken = Arc::new(Woken::default());
        first.watch(&Arc::clone(&woken).into()).unwrap();
        second.watch(&Waker::noop().clone()).unwrap();

        // There is still room.
        let mut one = budget.reserve();
        one.grow_to(10_000, Share::Small).unwrap();
        assert!(!woken.0.load(Ordering::Relaxed));
        // The body that has stalled longest is dropped first, and only as many as needed.
        let mut two = budget.reserve();
        two.grow_to(10_000, Share::Small).unwrap();
        assert!(woken.0.load(Ordering::Relaxed));
        assert_eq!(first.watch(Waker::noop()), Err(Refusal::Overloaded));
        assert_eq!(first.finish().map(drop), Err(Refusal::Overloaded));
        assert_eq!(second.watch(Waker::noop()), Ok(()));
        let mut three = budget.reserve();
        three.grow_to(10_000, Share::Small).unwrap();
        assert_eq!(second.watch(Waker::noop()), Err(Refusal::Overloaded));
        // A body that arrives keeps its memory.
        budget.reserve().grow_to(10_000, Share::Small).unwrap_err();
        assert_eq!(last.watch(Waker::noop()), Ok(()));
        drop((one, two, three));
        let (bytes, _reservation) = last.finish().unwrap();
        assert_eq!((bytes.len(), budget.reserved()), (9_000, 10_000));
    }

    #[test]
    fn a_body_may_be_dropped_by_the_wake_of_its_reader() {
        struct Trap(Mutex<Option<Arrival>>);

        impl Wake for Trap {
            fn wake(self: Arc<Self>) {
                drop(lock(&self.0).take());
            }
        }

        let now = Instant::now();
        let Some(earlier) = now.checked_sub(2 * STALLED) else { return };
        let budget = Budget::new(10_000);
        let mut arrival = Arrival::new(10_000, pace(earlier), &budget);
        arrival.push(&zeros(9_000), pace(earlier)).unwrap();
        let trap = Arc::new(Trap(Mutex::default()));
        arrival.watch(&Arc::clone(&trap).into()).unwrap();
        *lock(&trap.0) = Some(arrival);
        budget.reserve().grow_to(10_000, Share::Small).unwrap();
        assert!(lock(&trap.0).is_none());
    }

    #[test]
    fn a_complete_body_is_not_dropped_to_make_room() {
        let now = Instant::now();
        let Some(earlier) = now.checked_sub(2 * STALLED) else { return };
        let budget = Budget::new(10_000);
        let mut arrival = Arrival::new(10_000, pace(earlier), &budget);
        arrival.push(&zeros(10_000), pace(earlier)).unwrap();
        let whole = arrival.finish().unwrap();
        budget.reserve().grow_to(1, Share::Small).unwrap_err();
        assert_eq!(whole.0.len(), 10_000);
    }

    #[test]
    fn a_body_without_room_is_refused_and_its_memory_returned() {
        let now = Instant::now();
        let budget = Budget::new(8 * 1024);
        let mut other = budget.reserve();
        other.grow_to(7 * 1024, Share::Small).unwrap();
        let mut arrival = Arrival::new(100_000, pace(now), &budget);
        arrival.push(&zeros(1), pace(now)).unwrap();
        assert_eq!(arrival.push(&zeros(5_000), pace(now)), Err(Refusal::Overloaded));
        drop(arrival);
        assert_eq!(budget.reserved(), 7 * 1024);
    }
}
