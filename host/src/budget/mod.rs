//! The memory that all request bodies together may take.

mod arrival;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrival::Arrivals;
pub(crate) use arrival::{Arrival, memory_bytes_max};

/// Largest body that may take all of the budget, in bytes. Larger ones must leave a share to small ones.
pub const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;

/// This fraction of the budget, 1/8, is reserved for small bodies.
const SMALL_SHARE: usize = 8;

/// A budget of bytes: the sum of all reservations never exceeds it.
///
/// Bytes are reserved as they arrive. When the budget is used up, stalled bodies lose their reservations, the one that
/// has stalled longest first.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    bytes_reserved: AtomicUsize,
    arrivals: Arrivals,
}

/// Bytes reserved from a [`Budget`]; returned on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget has too few bytes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the byte budget is used up")]
pub struct Exhausted;

/// The share of the budget that a reservation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// A body of at most [`SMALL_BODY_BYTES_MAX`]: all of the budget.
    Small,
    /// A larger body: all but the share reserved for small ones.
    Large,
}

impl Share {
    /// The share for a body of this size.
    ///
    /// ```
    /// use argus_host::budget::{SMALL_BODY_BYTES_MAX, Share};
    ///
    /// assert_eq!(Share::of(SMALL_BODY_BYTES_MAX), Share::Small);
    /// assert_eq!(Share::of(SMALL_BODY_BYTES_MAX + 1), Share::Large);
    /// ```
    #[must_use]
    pub fn of(body_bytes: usize) -> Self {
        if body_bytes <= SMALL_BODY_BYTES_MAX { Self::Small } else { Self::Large }
    }
}

impl Budget {
    /// An unused budget of `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes_reserved: AtomicUsize::new(0), arrivals: Arrivals::default() })
    }

    /// An empty reservation.
    #[must_use]
    pub fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes currently reserved.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.bytes_reserved.load(Ordering::Relaxed)
    }

    /// How many bytes of a budget of `bytes_max` a share may use.
    ///
    /// ```
    /// use argus_host::budget::{Budget, Share};
    ///
    /// assert_eq!(Budget::share_bytes(800, Share::Small), 800);
    /// assert_eq!(Budget::share_bytes(800, Share::Large), 700);
    /// ```
    #[must_use]
    pub fn share_bytes(bytes_max: usize, share: Share) -> usize {
        match share {
            Share::Small => bytes_max,
            Share::Large => bytes_max - bytes_max / SMALL_SHARE,
        }
    }
}

impl Reservation {
    /// Grows the reservation to `bytes`, if it is smaller. If the budget is used up, drops stalled bodies to make room.
    /// Must not be called with the lock of an arrival held.
    ///
    /// ```
    /// use argus_host::budget::{Budget, Exhausted, Share};
    ///
    /// let budget = Budget::new(800);
    /// let mut large = budget.reserve();
    /// large.grow_to(700, Share::Large)?;
    /// // One eighth is for small bodies.
    /// assert!(large.grow_to(701, Share::Large).is_err());
    /// let mut small = budget.reserve();
    /// small.grow_to(100, Share::Small)?;
    /// drop(large);
    /// assert_eq!(budget.reserved(), 100);
    /// # Ok::<(), Exhausted>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Exhausted`]; the reservation is unchanged.
    pub fn grow_to(&mut self, bytes: usize, share: Share) -> Result<(), Exhausted> {
        while self.try_grow_to(bytes, share).is_err() {
            if !self.budget.arrivals.drop_slowest(Instant::now()) {
                // Bytes may have been returned since the first try.
                return self.try_grow_to(bytes, share);
            }
        }
        Ok(())
    }

    fn try_grow_to(&mut self, bytes: usize, share: Share) -> Result<(), Exhausted> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|&more| more > 0) else { return Ok(()) };
        let bytes_max = Budget::share_bytes(self.budget.bytes_max, share);
        // Relaxed suffices: the counter guards no other memory, and its own total order keeps it within the limit.
        self.budget
            .bytes_reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                reserved.checked_add(more).filter(|&reserved| reserved <= bytes_max)
            })
            .map_err(|_| Exhausted)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Shrinks the reservation to `bytes`, if it is larger.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(less) = self.bytes.checked_sub(bytes) {
            self.budget.bytes_reserved.fetch_sub(less, Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_reservation_grows_to_the_limit_and_not_beyond() {
        let budget = Budget::new(100);
        let mut first = budget.reserve();
        assert_eq!(first.grow_to(60, Share::Small), Ok(()));
        assert_eq!(first.grow_to(10, Share::Small), Ok(()));
        assert_eq!(budget.reserved(), 60);
        let mut second = budget.reserve();
        assert_eq!(second.grow_to(41, Share::Small), Err(Exhausted));
        assert_eq!(second.grow_to(40, Share::Small), Ok(()));
        assert_eq!(first.grow_to(61, Share::Small), Err(Exhausted));
        assert_eq!(budget.reserved(), 100);
        first.shrink_to(70);
        assert_eq!(budget.reserved(), 100);
        first.shrink_to(50);
        assert_eq!(budget.reserved(), 90);
        drop(first);
        assert_eq!(budget.reserved(), 40);
        assert_eq!(second.grow_to(usize::MAX, Share::Small), Err(Exhausted));
        drop(second);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn large_bodies_leave_a_share_to_small_ones() {
        let budget = Budget::new(800);
        let (mut large, mut small) = (budget.reserve(), budget.reserve());
        assert_eq!(large.grow_to(701, Share::Large), Err(Exhausted));
        assert_eq!(large.grow_to(700, Share::Large), Ok(()));
        assert_eq!(small.grow_to(100, Share::Small), Ok(()));
        drop(large);
        // Bytes of small bodies count against large ones too.
        assert_eq!(small.grow_to(800, Share::Small), Ok(()));
        assert_eq!(budget.reserve().grow_to(1, Share::Large), Err(Exhausted));
        assert_eq!(Share::of(SMALL_BODY_BYTES_MAX), Share::Small);
        assert_eq!(Share::of(SMALL_BODY_BYTES_MAX + 1), Share::Large);
    }

    #[test]
    fn threads_together_never_exceed_it() {
        let budget = Budget::new(1000);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..10_000 {
                        let mut reservation = budget.reserve();
                        let granted = reservation.grow_to(step % 600, Share::Small).is_ok();
                        assert!(budget.reserved() <= 1000);
                        assert!(granted || step % 600 > 0);
                    }
                });
            }
        });
        assert_eq!(budget.reserved(), 0);
    }
}
