//! Why a repository did not do what it was asked to.

use core::fmt;

use thiserror::Error;

use crate::cause::Cause;
use crate::damage::Damage;

/// Why a commit failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// No room; nothing was stored, and a later try may succeed.
    #[error("storage is full: {0}")]
    Full(Cause),
    /// Something that the storage needs is missing (a permission, a file descriptor); nothing was stored, and a later
    /// try may succeed.
    #[error("storage is not available: {0}")]
    Unavailable(Cause),
    /// The repository accepts nothing more until it is opened anew; reads go on.
    #[error("storage failed, {0}")]
    Latched(Latch),
}

/// Why a repository accepts nothing more, and what that means for what it was asked to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// Why.
    pub cause: Cause,
    /// Whether some of it may be stored. Otherwise none is, and none will be.
    pub in_doubt: bool,
}

impl Latch {
    /// The storage failed while it was at it: some may be stored.
    pub fn in_doubt(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), in_doubt: true }
    }

    /// It was not begun: nothing is stored.
    pub fn refusal(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), in_doubt: false }
    }
}

impl fmt::Display for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, in_doubt } = self;
        write!(f, "{}: {cause}", if *in_doubt { "outcome unknown" } else { "nothing was stored" })
    }
}

impl CommitError {
    /// The cause alone.
    #[must_use]
    pub fn into_cause(self) -> Cause {
        match self {
            Self::Full(cause) | Self::Unavailable(cause) | Self::Latched(Latch { cause, in_doubt: _ }) => cause,
        }
    }
}

/// Why stored events could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The storage cannot be asked at the moment; a later try may succeed.
    #[error("storage is not available: {0}")]
    Unavailable(Cause),
    /// The storage reported an error.
    #[error("storage could not be read: {0}")]
    Failed(Cause),
    /// What the storage gave back is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(Damage),
}

impl From<ReadError> for Cause {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) | ReadError::Failed(cause) => cause,
            ReadError::Damaged(damage) => damage.into(),
        }
    }
}
