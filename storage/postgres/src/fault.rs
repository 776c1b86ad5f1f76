//! What goes wrong between this process and a server.

use std::error::Error as _;

use argus_core::cause::Cause;
use argus_core::repository::{CommitError, ReadError};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// Why the server has not done what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
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
    /// The fault of a connection that could not be opened.
    pub(crate) fn of_connecting(error: &Error) -> Self {
        match Self::of(error) {
            // No statement was sent, so nothing is in doubt. A password or a setting may be put right.
            Self::Lost(cause) | Self::Failed(cause) | Self::Conflict(cause) => Self::Unavailable(cause),
            fault @ (Self::Unavailable(_) | Self::Full(_)) => fault,
        }
    }

    /// The fault of a statement.
    pub(crate) fn of(error: &Error) -> Self {
        let cause = Cause::from(text(error));
        let Some(state) = error.code() else { return Self::Lost(cause) };
        match *state {
            SqlState::DISK_FULL => return Self::Full(cause),
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::UNIQUE_VIOLATION => {
                return Self::Conflict(cause);
            }
            // The server ends the session: it shuts down, has crashed, or the session was idle within a transaction.
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
            | SqlState::IDLE_SESSION_TIMEOUT => return Self::Lost(cause),
            // A timeout of the server, a lock that was not to be had, a server that does not accept connections yet.
            SqlState::QUERY_CANCELED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::CANNOT_CONNECT_NOW
            // A standby, or a primary that was made read-only.
            | SqlState::READ_ONLY_SQL_TRANSACTION => return Self::Unavailable(cause),
            _ => {}
        }
        // The class is the first two characters: PostgreSQL, appendix A.
        match state.code().get(..2) {
            Some("08") => Self::Lost(cause),
            // Too many connections, too little memory.
            Some("53") => Self::Unavailable(cause),
            Some(_) | None => Self::Failed(cause),
        }
    }

    /// Whether the connection is gone.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Unavailable(_) | Self::Full(_) | Self::Conflict(_) | Self::Failed(_) => false,
        }
    }

    /// The cause alone.
    pub(crate) fn into_cause(self) -> Cause {
        match self {
            Self::Lost(cause)
            | Self::Unavailable(cause)
            | Self::Full(cause)
            | Self::Conflict(cause)
            | Self::Failed(cause) => cause,
        }
    }

    /// The error of a commit that has stored nothing.
    pub(crate) fn into_commit_error(self) -> CommitError {
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

/// The message of an error with those of its sources, which have the reason.
fn text(error: &Error) -> String {
    let mut text = match error.as_db_error() {
        // Detail and hint may quote rows; the log has them on the server.
        Some(error) => format!("PostgreSQL: {} (SQLSTATE {})", error.message(), error.code().code()),
        None => format!("PostgreSQL: {error}"),
    };
    let mut source = error.source().filter(|_| error.as_db_error().is_none());
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
