//! Why a repository could not be opened.

use alloc::format;
use alloc::string::String;

use thiserror::Error;

use crate::damage::{Affected, Damage};
use crate::segment::SealedError;
use crate::storage::StorageError;

/// Why a repository could not be opened. No stored event was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Stored data is damaged. A torn tail of the log does not count as damage.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// The blob, or the log and the offset in it.
        place: String,
        /// The offset in the log, if the log is damaged.
        log_offset: Option<u64>,
        /// What is wrong, and which events are affected.
        reason: String,
    },
    /// There are more event types than the limit, which bounds the memory for their names.
    #[error(
        "it holds {found} different event types or more, and {types_max} are allowed: \
         start with a higher --max-event-types"
    )]
    TooManyTypes {
        /// Number of types in the segments, or in the segments and log records that were read until the limit was
        /// exceeded.
        found: usize,
        /// The limit.
        types_max: usize,
    },
}

impl From<SealedError> for OpenError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Storage(error) => error.into(),
            SealedError::Damaged(Damage { place, offset, reason, affected }) => Self::Damaged {
                place: offset.map_or_else(|| place.clone(), |offset| format!("{place} at offset {offset}")),
                log_offset: None,
                reason: format!("{reason}; {affected}"),
            },
        }
    }
}

/// Damage in the log at `offset`. `place` is the name of that offset for operators.
pub(super) fn log_damaged(place: String, offset: u64, reason: &str, affected: Affected) -> OpenError {
    OpenError::Damaged { place, log_offset: Some(offset), reason: format!("{reason}; {affected}") }
}

/// Damage in a blob.
pub(super) fn damaged(place: String, reason: &str, affected: Affected) -> OpenError {
    OpenError::Damaged { place, log_offset: None, reason: format!("{reason}; {affected}") }
}
