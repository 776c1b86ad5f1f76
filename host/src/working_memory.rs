//! The memory for decompressing and parsing bodies that have arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argus_core::room::NoRoom;
use async_lock::Mutex;
use event_listener::Event;

/// A budget of bytes for bodies being parsed. Reservations are granted in the order of requests. A body that needs more
/// memory than estimated gets it if enough is free.
#[derive(Debug)]
pub(crate) struct WorkingMemory {
    bytes_max: usize,
    bytes: AtomicUsize,
    turn: Mutex<()>,
    freed: Event,
}

/// The bytes reserved for one body; returned on drop.
#[derive(Debug)]
pub(crate) struct WorkingReservation {
    memory: Arc<WorkingMemory>,
    bytes: usize,
}

impl WorkingMemory {
    /// An unused budget of `bytes_max`.
    #[must_use]
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicUsize::new(0), turn: Mutex::new(()), freed: Event::new() })
    }

    /// Waits for `bytes`, or for the whole budget if that is less.
    pub(crate) async fn reserve(self: &Arc<Self>, bytes: usize) -> WorkingReservation {
        let mut reservation = WorkingReservation { memory: Arc::clone(self), bytes: 0 };
        let bytes = bytes.min(self.bytes_max);
        // Only the holder of the turn waits for memory; the others wait for the turn, so that large requests are not
        // overtaken forever.
        let _turn = self.turn.lock().await;
        loop {
            let freed = self.freed.listen();
            if reservation.grow_to(bytes).is_ok() {
                return reservation;
            }
            freed.await;
        }
    }
}

impl WorkingReservation {
    /// Grows the reservation to `bytes`, if it is smaller. Never waits.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]; the reservation is unchanged.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > self.memory.bytes_max {
            return Err(NoRoom::Ever);
        }
        let more = bytes.saturating_sub(self.bytes);
        // Relaxed suffices: the counter guards no other memory.
        let grown = self.memory.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(more).filter(|&held| held <= self.memory.bytes_max)
        });
        grown.map_err(|_| NoRoom::Now)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for WorkingReservation {
    fn drop(&mut self) {
        self.memory.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.memory.freed.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_reservation_grows_if_memory_is_free() {
        let memory = WorkingMemory::new(100);
        let mut first = memory.reserve(40).now_or_never().unwrap();
        let mut second = memory.reserve(40).now_or_never().unwrap();
        assert_eq!(first.grow_to(60), Ok(()));
        assert_eq!(first.grow_to(50), Ok(()));
        assert_eq!(second.grow_to(41), Err(NoRoom::Now));
        assert_eq!(second.grow_to(101), Err(NoRoom::Ever));
        drop(first);
        assert_eq!(second.grow_to(100), Ok(()));
    }

    #[test]
    fn reservations_are_granted_in_order() {
        let memory = WorkingMemory::new(100);
        let small = memory.reserve(30).now_or_never().unwrap();
        let mut large = pin!(memory.reserve(1000));
        let mut next = pin!(memory.reserve(10));
        assert!(large.as_mut().now_or_never().is_none());
        // There is enough memory, but the large request comes first.
        assert!(next.as_mut().now_or_never().is_none());
        drop(small);
        let whole = large.as_mut().now_or_never().unwrap();
        assert!(next.as_mut().now_or_never().is_none());
        drop(whole);
        next.as_mut().now_or_never().unwrap();
    }

    #[test]
    fn a_dropped_request_lets_others_in() {
        let memory = WorkingMemory::new(100);
        let _first = memory.reserve(60).now_or_never().unwrap();
        {
            let mut large = pin!(memory.reserve(100));
            assert!(large.as_mut().now_or_never().is_none());
        }
        memory.reserve(40).now_or_never().unwrap();
    }
}
