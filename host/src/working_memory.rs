//! The memory in which bodies that have arrived are decompressed and parsed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argus_core::room::NoRoom;
use async_lock::Mutex;
use event_listener::Event;

/// A number of bytes for work that is under way. Reservations are granted in the order in which they are asked for.
/// Work that needs more than was estimated gets it if it is free.
#[derive(Debug)]
pub(crate) struct WorkingMemory {
    bytes_max: usize,
    bytes: AtomicUsize,
    turn: Mutex<()>,
    freed: Event,
}

/// The bytes of one piece of work; given back when dropped.
#[derive(Debug)]
pub(crate) struct WorkingReservation {
    memory: Arc<WorkingMemory>,
    bytes: usize,
}

impl WorkingMemory {
    /// So many bytes, all of them free.
    #[must_use]
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, bytes: AtomicUsize::new(0), turn: Mutex::new(()), freed: Event::new() })
    }

    /// Waits for so many bytes, or all that there are if that is less.
    pub(crate) async fn reserve(self: &Arc<Self>, bytes: usize) -> WorkingReservation {
        let mut reservation = WorkingReservation { memory: Arc::clone(self), bytes: 0 };
        let bytes = bytes.min(self.bytes_max);
        // Whoever holds the turn waits; the others wait behind it, so that large work is not overtaken for ever.
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
    /// Makes the reservation `bytes` large, if it is smaller. Never waits.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]; the reservation is as large as it was.
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
    fn who_is_in_gets_more_if_there_is_more() {
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
    fn who_comes_first_is_let_in_first() {
        let memory = WorkingMemory::new(100);
        let small = memory.reserve(30).now_or_never().unwrap();
        let mut large = pin!(memory.reserve(1000));
        let mut next = pin!(memory.reserve(10));
        assert!(large.as_mut().now_or_never().is_none());
        // There would be memory, but it is not its turn.
        assert!(next.as_mut().now_or_never().is_none());
        drop(small);
        let whole = large.as_mut().now_or_never().unwrap();
        assert!(next.as_mut().now_or_never().is_none());
        drop(whole);
        next.as_mut().now_or_never().unwrap();
    }

    #[test]
    fn who_gives_up_waiting_lets_others_in() {
        let memory = WorkingMemory::new(100);
        let _first = memory.reserve(60).now_or_never().unwrap();
        {
            let mut large = pin!(memory.reserve(100));
            assert!(large.as_mut().now_or_never().is_none());
        }
        memory.reserve(40).now_or_never().unwrap();
    }
}
