//! How far a repository is with erasures.

use serde::Serialize;

use crate::event::Timestamp;

/// How far a repository is with erasures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErasureStats {
    /// The number of erasures so far.
    pub accepted: u64,
    /// The number of those whose events are still on the medium, or may be.
    pub pending: u64,
    /// When the oldest of these was accepted.
    pub oldest: Option<Timestamp>,
    /// Bytes of stored events that are still to be searched for erased ones, or to be rewritten without them.
    pub bytes: u64,
}
