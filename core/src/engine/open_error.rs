//! Why a repository could not be opened.

use alloc::format;
use alloc::string::String;

use thiserror::Error;

use crate::damage::{Concerned, Damage};
use crate::segment::SealedError;
use crate::storage::StorageError;

/// Why a storage could not be opened. What it holds was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The medium failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Something is not as it was written, and it is no torn tail.
    #[error("{place} is damaged: {reason}")]
    Damaged {
        /// The blob, or the log and the offset in it.
        place: String,
        /// The offset in the log, if that is what is damaged.
        log_offset: Option<u64>,
        /// What is wrong, and which events are concerned.
        reason: String,
    },
    /// There are more event types than there may be: more names than memory is meant to hold.
    #[error(
        "it holds {found} different event types or more, and {types_max} are allowed: start with a higher --max-event-types"
    )]
    TooManyTypes {
        /// So many there are in the segments, or in those that were read and the beginning of the log.
        found: usize,
        /// So many there may be.
        types_max: usize,
    },
}

impl From<SealedError> for OpenError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Storage(error) => error.into(),
            SealedError::Damaged(Damage { place, offset, reason, concerned }) => Self::Damaged {
                place: offset.map_or_else(|| place.clone(), |offset| format!("{place} at offset {offset}")),
                log_offset: None,
                reason: format!("{reason}; {concerned}"),
            },
        }
    }
}

/// The log is damaged at an offset, which operators know by a name.
pub(super) fn log_damaged(place: String, offset: u64, reason: &str, concerned: Concerned) -> OpenError {
    OpenError::Damaged { place, log_offset: Some(offset), reason: format!("{reason}; {concerned}") }
}

/// A place that is damaged, and the events concerned.
pub(super) fn damaged(place: String, reason: &str, concerned: Concerned) -> OpenError {
    OpenError::Damaged { place, log_offset: None, reason: format!("{reason}; {concerned}") }
}
