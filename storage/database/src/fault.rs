//! What goes wrong between this process and a server.

use argus_core::cause::Cause;
use argus_core::repository::{CommitError, Failure, ReadError};

/// Why the server has not done what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection broke, or the server did not answer in time. Whether it has done anything is unknown.
    Lost(Cause),
    /// The server cannot do it at present. It has done nothing.
    Unavailable(Cause),
    /// The server has no space left. It has done nothing.
    Full(Cause),
    /// Another transaction was in the way. The server has done nothing, and the next try may succeed.
    Conflict(Cause),
    /// The server refuses, and will refuse again. It has done nothing.
    Failed(Cause),
}

impl Fault {
    /// Whether what the server has done is unknown.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Unavailable(_) | Self::Full(_) | Self::Conflict(_) | Self::Failed(_) => false,
        }
    }

    /// The cause alone.
    #[must_use]
    pub fn into_cause(self) -> Cause {
        match self {
            Self::Lost(cause)
            | Self::Unavailable(cause)
            | Self::Full(cause)
            | Self::Conflict(cause)
            | Self::Failed(cause) => cause,
        }
    }

    /// The failure of the repository, if the next commit would meet this fault, too.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Lost(cause) | Self::Unavailable(cause) => Some(Failure::Unavailable(cause.clone())),
            Self::Failed(cause) => Some(Failure::Failed(cause.clone())),
            Self::Full(_) | Self::Conflict(_) => None,
        }
    }

    /// The error of a write that has changed nothing, or of one that may have changed something if it `is_in_doubt`.
    #[must_use]
    pub fn into_commit_error(self, is_in_doubt: bool) -> CommitError {
        if is_in_doubt {
            return CommitError::Unavailable { cause: self.into_cause(), in_doubt: true };
        }
        match self {
            Self::Full(cause) => CommitError::Full(cause),
            Self::Lost(cause) | Self::Unavailable(cause) | Self::Conflict(cause) => CommitError::unavailable(cause),
            Self::Failed(cause) => CommitError::failed(cause),
        }
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(cause) | Fault::Unavailable(cause) | Fault::Full(cause) | Fault::Conflict(cause) => {
                Self::Unavailable(cause)
            }
            Fault::Failed(cause) => Self::Failed(cause),
        }
    }
}

/// The fault of a write that could not read what it needs. It has changed nothing.
impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) => Self::Unavailable(cause),
            error @ (ReadError::Failed(_) | ReadError::Damaged(_)) => Self::Failed(error.into()),
        }
    }
}
