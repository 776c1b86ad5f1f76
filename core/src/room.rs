//! Memory limits for a piece of work, which asks for memory before it allocates.

use core::fmt;

use thiserror::Error;

/// Extra bytes in each request, so that requests are rare.
const STEP_BYTES: usize = 256 * 1024;

/// The memory that a piece of work may use. The work asks before it allocates. A host can grant memory from a common
/// budget for all such work.
pub struct Room<'a> {
    /// `None` without a limit.
    ask: Option<&'a mut dyn FnMut(usize) -> Result<(), NoRoom>>,
    /// Bytes that were granted.
    granted: usize,
    /// Bytes that stay allocated until the work is done.
    kept: usize,
}

/// The error for a piece of work that gets no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// Other work uses the memory now. A later try may succeed.
    #[error("there is not enough memory at the moment")]
    Now,
    /// The budget is smaller than the request. No try will succeed.
    #[error("this takes more memory than there is for it")]
    Ever,
}

impl<'a> Room<'a> {
    /// `ask` gets the total number of bytes that the work needs so far, which only grows, and reserves them. They stay
    /// reserved until the work is done.
    #[must_use]
    pub fn new(ask: &'a mut dyn FnMut(usize) -> Result<(), NoRoom>) -> Self {
        Self { ask: Some(ask), granted: 0, kept: 0 }
    }

    /// No limit.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { ask: None, granted: usize::MAX, kept: 0 }
    }

    /// Asks for this many bytes in addition to those [kept](Self::keep).
    pub(crate) fn need(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let needed = self.kept.saturating_add(bytes);
        if needed <= self.granted {
            return Ok(());
        }
        let Some(ask) = &mut self.ask else { return Ok(()) };
        let with_reserve = needed.saturating_add(STEP_BYTES);
        self.granted = match ask(with_reserve) {
            Ok(()) => with_reserve,
            Err(_) => ask(needed).map(|()| needed)?,
        };
        Ok(())
    }

    /// Counts this many bytes as allocated until the work is done, in addition to later requests.
    pub(crate) fn keep(&mut self, bytes: usize) {
        self.kept = self.kept.saturating_add(bytes);
    }

    /// Grows `buffer` to a capacity of at least `bytes`. Doubles the capacity to avoid frequent copies, but not beyond
    /// `bytes_max`.
    pub(crate) fn grow(
        &mut self,
        buffer: &mut alloc::vec::Vec<u8>,
        bytes: usize,
        bytes_max: usize,
    ) -> Result<(), NoRoom> {
        let before = buffer.capacity();
        if bytes > before {
            let after = bytes.max(before.saturating_mul(2).min(bytes_max));
            // The old buffer lives until its content is copied.
            self.need(before.saturating_add(after))?;
            buffer.reserve_exact(after - buffer.len());
        }
        Ok(())
    }
}

impl fmt::Debug for Room<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("granted", &self.granted).field("kept", &self.kept).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn granted_memory_is_not_asked_for_again() {
        let mut asked = Vec::new();
        let mut ask = |bytes: usize| {
            asked.push(bytes);
            if bytes > 2 * STEP_BYTES { Err(NoRoom::Now) } else { Ok(()) }
        };
        let mut room = Room::new(&mut ask);
        assert_eq!(room.need(10), Ok(()));
        assert_eq!(room.need(STEP_BYTES), Ok(()));
        room.keep(100);
        assert_eq!(room.need(STEP_BYTES - 90), Ok(()));
        assert_eq!(room.need(2 * STEP_BYTES - 100), Ok(()));
        assert_eq!(room.need(2 * STEP_BYTES), Err(NoRoom::Now));
        assert_eq!(room.need(5), Ok(()));
        assert_eq!(
            asked,
            [STEP_BYTES + 10, 3 * STEP_BYTES, 2 * STEP_BYTES, 3 * STEP_BYTES + 100, 2 * STEP_BYTES + 100]
        );
        assert_eq!(Room::unlimited().need(usize::MAX), Ok(()));
    }

    #[test]
    fn growing_a_buffer_asks_for_the_old_and_the_new_one() {
        let mut asked = 0;
        let mut ask = |bytes| {
            asked = bytes;
            Ok(())
        };
        let mut room = Room::new(&mut ask);
        let mut buffer = Vec::new();
        for bytes in (0..1000).step_by(7) {
            assert_eq!(room.grow(&mut buffer, bytes, 1000), Ok(()));
            assert!((bytes..=1000).contains(&buffer.capacity()));
            buffer.resize(bytes, 0);
        }
        assert!((1000..=2000 + STEP_BYTES).contains(&asked));
    }
}
