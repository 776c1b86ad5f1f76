//! Why there is no copy.

use argus_core::repository::{CommitError, Failure, ImportError, ReadError};
use argus_core::transfer::OutOfOrder;
use thiserror::Error;

use crate::backend::OpenError;

use super::digest::Digest;

/// Why there is no copy, or no whole one. Unless the target is [unrelated](Self::Unrelated), another run goes on where
/// this one has stopped.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The source could not be opened. Nothing was written.
    #[error("FROM cannot be opened: {0}")]
    Source(#[source] OpenError),
    /// The target could not be opened.
    #[error("TO cannot be opened: {0}")]
    Target(#[source] OpenError),
    /// The target cannot be written at present.
    #[error("TO cannot be written: {0}")]
    Unavailable(#[source] Failure),
    /// The target has something else than the beginning of a copy of the source. Nothing was written.
    #[error(
        "TO is not the beginning of a copy of FROM: {0}. Nothing was written; name an empty repository, or the one of \
         the copy that is to be continued"
    )]
    Unrelated(#[from] Unrelated),
    /// The source cannot be read.
    #[error("FROM cannot be read: {0}")]
    ReadSource(#[source] ReadError),
    /// The source gave events in another order than that of their numbers.
    #[error("FROM is damaged: {0}")]
    Disorder(#[source] OutOfOrder),
    /// The target could not store events.
    #[error("TO cannot store the events: {0}")]
    Store(#[source] ImportError),
    /// The target could not be maintained or closed.
    #[error("TO cannot be written: {0}")]
    Maintain(#[source] CommitError),
    /// The target cannot be read.
    #[error("TO cannot be read: {0}")]
    ReadTarget(#[source] ReadError),
    /// What was read back is not what was read first.
    #[error(
        "TO has other events than FROM: {to}, up to seq {to_seq}, instead of {from}, up to seq {from_seq}. A server \
         that uses TO may have written to it, or have removed events because they expire there: stop it, and copy to \
         an empty repository"
    )]
    Different {
        /// The events of the source.
        from: Digest,
        /// Those of the target.
        to: Digest,
        /// The last sequence number of the source.
        from_seq: u64,
        /// That of the target.
        to_seq: u64,
    },
}

/// Why a target is not the beginning of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unrelated {
    /// It has higher numbers than the source.
    #[error("its last sequence number is {to}, and that of FROM is {from}")]
    Ahead {
        /// The last number of the source.
        from: u64,
        /// The last number of the target.
        to: u64,
    },
    /// An event differs.
    #[error("its event {0} is another one than that of FROM")]
    Other(u64),
    /// It lacks an event.
    #[error("event {0} of FROM is missing in it, and later ones are there")]
    Missing(u64),
    /// None of its events is in the source.
    #[error("FROM has none of its {0} events")]
    NothingShared(u64),
}
