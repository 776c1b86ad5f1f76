//! Errors of a repository.

use alloc::format;
use alloc::string::String;

use thiserror::Error;

use crate::cause::Cause;
use crate::damage::Damage;
use crate::transfer::Transfer;

/// Why a commit was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// The storage is full. Nothing was stored, and a later try may succeed.
    #[error("storage is full: {0}")]
    Full(#[source] Cause),
    /// The storage temporarily lacks something: a permission, a file descriptor, a server on the network. A later try
    /// may succeed.
    #[error("storage is not available, {}: {cause}", outcome(*in_doubt))]
    Unavailable {
        /// Why.
        #[source]
        cause: Cause,
        /// Whether some events of the group may be stored. Otherwise none is, and none will be.
        in_doubt: bool,
    },
    /// The storage has failed. The repository refuses commits until it has recovered or is opened anew; reads may still
    /// succeed. [`Repository::failure`](super::Repository::failure) has the cause too.
    #[error("storage failed, {}: {cause}", outcome(*in_doubt))]
    Failed {
        /// Why.
        #[source]
        cause: Cause,
        /// Whether some events of the group may be stored. Otherwise none is, and none will be.
        in_doubt: bool,
    },
}

/// Why events of another repository were not stored.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImportError {
    /// They cannot be stored here, for this reason. Nothing was stored.
    #[error("{0}")]
    Refused(String),
    /// They could not be stored.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a repository refuses all commits. Reads may still succeed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The storage cannot be reached at present.
    #[error("storage is not available: {0}")]
    Unavailable(#[source] Cause),
    /// The storage has failed, and may never recover by itself.
    #[error("storage failed: {0}")]
    Failed(#[source] Cause),
}

/// Why stored events could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The storage temporarily lacks something: a permission, a file descriptor, a server on the network. A later try
    /// may succeed.
    #[error("storage is not available: {0}")]
    Unavailable(#[source] Cause),
    /// The storage reported an error.
    #[error("storage could not be read: {0}")]
    Failed(#[source] Cause),
    /// The storage returned data that differs from what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(#[source] Damage),
}

fn outcome(in_doubt: bool) -> &'static str {
    if in_doubt { "outcome unknown" } else { "nothing was stored" }
}

impl CommitError {
    /// The storage is unreachable; nothing was stored.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable { cause: cause.into(), in_doubt: false }
    }

    /// The storage failed before anything was stored.
    pub fn failed(cause: impl Into<Cause>) -> Self {
        Self::Failed { cause: cause.into(), in_doubt: false }
    }

    /// The storage failed while it stored the group, some of which may be stored.
    pub fn in_doubt(cause: impl Into<Cause>) -> Self {
        Self::Failed { cause: cause.into(), in_doubt: true }
    }

    /// The cause alone.
    #[must_use]
    pub fn into_cause(self) -> Cause {
        match self {
            Self::Full(cause) | Self::Unavailable { cause, .. } | Self::Failed { cause, .. } => cause,
        }
    }
}

impl ImportError {
    /// The transfer does not go on where the repository ends.
    #[must_use]
    pub fn other_head(transfer: &Transfer, last_seq: u64) -> Self {
        let after = transfer.first_after();
        Self::Refused(format!("its last sequence number is {last_seq}, and not {after}: somebody else writes to it"))
    }

    /// An event has the id of another one.
    #[must_use]
    pub fn taken_id(seq: u64, stored: u64) -> Self {
        Self::Refused(format!("event {seq} has the id of event {stored}, which is stored already"))
    }

    /// The events have more types than the limit allows.
    #[must_use]
    pub fn too_many_types(limit: usize) -> Self {
        Self::Refused(format!("they have more event types than the limit, {limit}, allows"))
    }
}

impl Failure {
    /// The cause alone.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Unavailable(cause) | Self::Failed(cause) => cause,
        }
    }
}

/// The error of a commit that is refused because of a failure.
impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(cause) => Self::unavailable(cause),
            Failure::Failed(cause) => Self::failed(cause),
        }
    }
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<ReadError> for Cause {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) | ReadError::Failed(cause) => cause,
            ReadError::Damaged(damage) => damage.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use core::error::Error as _;

    use super::*;

    #[test]
    fn an_error_says_whether_anything_was_stored_and_has_its_cause_as_source() {
        let cause = || Cause::from("EIO");
        for (error, text) in [
            (CommitError::Full(cause()), "storage is full: EIO"),
            (CommitError::unavailable("EIO"), "storage is not available, nothing was stored: EIO"),
            (
                CommitError::Unavailable { cause: cause(), in_doubt: true },
                "storage is not available, outcome unknown: EIO",
            ),
            (CommitError::failed("EIO"), "storage failed, nothing was stored: EIO"),
            (CommitError::in_doubt("EIO"), "storage failed, outcome unknown: EIO"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.source().and_then(|source| source.downcast_ref()), Some(&cause()), "{text}");
            assert_eq!(error.into_cause(), cause());
        }
    }

    #[test]
    fn a_commit_that_is_refused_because_of_a_failure_is_not_in_doubt() {
        let cause = || Cause::from("EIO");
        assert_eq!(CommitError::from(Failure::Failed(cause())), CommitError::failed("EIO"));
        assert_eq!(CommitError::from(Failure::Unavailable(cause())), CommitError::unavailable("EIO"));
    }
}
