//! Sequence numbers of which there are no events.

use alloc::collections::VecDeque;

use super::ReadError;

/// Consecutive sequence numbers of which there are no events any more: retention has removed them, they were
/// erased, or they were lost; here, or in the repository from which events were imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub first: u64,
    /// The last of them, among the numbers asked for.
    pub last: u64,
}

/// A running search for gaps: a state machine that does a bounded amount of work per call. Calls may wait for the
/// storage.
pub trait GapRun: Send {
    /// Looks at about `budget` more sequence numbers, and appends the gaps that end there to `gaps`, in ascending
    /// order. Returns the number up to which all gaps are known. The search is complete when that is the last number
    /// asked for.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the search cannot be continued.
    fn poll_gaps(&mut self, budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError>;

    /// Bytes of memory that the run holds. Memory that it shares with others counts by its share. Cheap.
    fn held_bytes(&self) -> usize {
        0
    }
}
