//! What goes wrong between this process and a server.

use std::error::Error as _;
use std::time::Duration;

use argus_core::cause::{Cause, NamedPlace};
use argus_core::repository::{CommitError, ReadError};
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

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
    /// The fault of a connection that could not be opened. [`Failed`](Self::Failed) if waiting does not help: there is
    /// no such user or database, or the password is wrong.
    pub(crate) fn of_connecting(error: &Error) -> Self {
        // The class is the first two characters: PostgreSQL, appendix A.
        let class = error.code().and_then(|state| state.code().get(..2));
        match class {
            Some("28" | "3D" | "42") => Self::Failed(cause(error, "does not let us in")),
            Some(_) | None => Self::Unavailable(cause(error, "cannot be reached")),
        }
    }

    /// The fault of a statement.
    pub(crate) fn of(error: &Error) -> Self {
        let Some(answer) = error.as_db_error() else { return Self::Lost(cause(error, "does not answer")) };
        if matches!(answer.parsed_severity(), Some(Severity::Panic | Severity::Fatal)) {
            // The server ends the session, or itself. Whatever the reason, a commit that it has begun to write may be
            // there when it is back.
            return Self::Lost(cause(error, "has closed the connection"));
        }
        let state = answer.code();
        match *state {
            SqlState::DISK_FULL => Self::Full(cause(error, "has no space left")),
            SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::UNIQUE_VIOLATION => {
                Self::Conflict(cause(error, "was busy with another transaction"))
            }
            // A timeout of the server, or a lock that was not to be had.
            SqlState::QUERY_CANCELED
            | SqlState::LOCK_NOT_AVAILABLE
            // A standby, or a primary that was made read-only.
            | SqlState::READ_ONLY_SQL_TRANSACTION => Self::Unavailable(cause(error, "is not available")),
            _ => match state.code().get(..2) {
                Some("08") => Self::Lost(cause(error, "does not answer")),
                // Too many connections, too little memory.
                Some("53") => Self::Unavailable(cause(error, "is overloaded")),
                Some(_) | None => Self::Failed(cause(error, "refuses")),
            },
        }
    }

    /// The server did not answer in time.
    pub(crate) fn silent(patience: Duration) -> Self {
        Self::Lost(Cause::at(place("PostgreSQL"), format!("has not answered within {patience:?}")))
    }

    /// The same fault for a process that runs already: it waits until a password or a right was put right.
    pub(crate) fn while_running(self) -> Self {
        match self {
            Self::Failed(cause) => Self::Unavailable(cause),
            fault @ (Self::Lost(_) | Self::Unavailable(_) | Self::Full(_) | Self::Conflict(_)) => fault,
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

/// The cause for an error: for operators with its message, for callers without, since it may name users and hosts.
fn cause(error: &Error, what: &'static str) -> Cause {
    Cause::at(place(&text(error)), what)
}

fn place(exact: &str) -> NamedPlace {
    NamedPlace::new(exact, "the database")
}

/// The message of an error with those of its sources, which have the reason.
fn text(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        // Detail and hint may quote rows; the log of the server has them.
        return format!("PostgreSQL ({}, SQLSTATE {})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    format!("PostgreSQL ({text})")
}
