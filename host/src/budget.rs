//! The memory that request bodies may take, all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that reservations are taken from, never more than there are.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    bytes_reserved: AtomicUsize,
}

/// Bytes taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

/// The budget has not so many bytes left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the byte budget is used up")]
pub struct Exhausted;

impl Budget {
    /// A budget of `bytes_max`, all of it free.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes_reserved: AtomicUsize::new(0) })
    }

    /// A reservation of no bytes, to be grown.
    #[must_use]
    pub fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes that are reserved now.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.bytes_reserved.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Makes the reservation `bytes` large, if it is smaller.
    ///
    /// # Errors
    ///
    /// [`Exhausted`]; the reservation is as large as it was.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|&more| more > 0) else { return Ok(()) };
        // Relaxed suffices: the counter guards no other memory, and its own total order keeps it within the limit.
        self.budget
            .bytes_reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                reserved.checked_add(more).filter(|&reserved| reserved <= self.budget.bytes_max)
            })
            .map_err(|_| Exhausted)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.bytes_reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        }
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
        assert_eq!(first.grow_to(60), Ok(()));
        assert_eq!(first.grow_to(10), Ok(()));
        assert_eq!(budget.reserved(), 60);
        let mut second = budget.reserve();
        assert_eq!(second.grow_to(41), Err(Exhausted));
        assert_eq!(second.grow_to(40), Ok(()));
        assert_eq!(first.grow_to(61), Err(Exhausted));
        assert_eq!(budget.reserved(), 100);
        drop(first);
        assert_eq!(budget.reserved(), 40);
        assert_eq!(second.grow_to(usize::MAX), Err(Exhausted));
        drop(second);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn threads_together_never_exceed_it() {
        let budget = Budget::new(1000);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for step in 0..10_000 {
                        let mut reservation = budget.reserve();
                        let granted = reservation.grow_to(step % 600).is_ok();
                        assert!(budget.reserved() <= 1000);
                        assert!(granted || step % 600 > 0);
                    }
                });
            }
        });
        assert_eq!(budget.reserved(), 0);
    }
}
