//! The outcome of an erasure.

use alloc::sync::Arc;
use core::fmt;

use super::Snapshot;

/// The outcome of an erasure: which events were erased.
#[derive(Clone)]
pub enum Erased {
    /// This number of events.
    Exactly(u64),
    /// Those that the filter selects in this snapshot, which was taken right before the erasure. So their number is
    /// known once they were counted there, which may take long and can be done on any thread.
    Among(Arc<dyn Snapshot>),
}

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(events) => f.debug_tuple("Exactly").field(events).finish(),
            Self::Among(snapshot) => f.debug_tuple("Among").field(&snapshot.last_seq()).finish(),
        }
    }
}
