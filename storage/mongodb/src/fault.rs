//! What goes wrong between this process and a server.

use std::time::Duration;

use argus_core::cause::{Cause, NamedPlace};
use argus_core::repository::{CommitError, ReadError};
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};

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

/// The codes of [errors](https://www.mongodb.com/docs/manual/reference/error-codes/) by what follows from them.
const OUT_OF_DISK_SPACE: i32 = 14031;

/// A conflict with another transaction; the transaction was aborted; it has lasted too long; it was ended by another
/// process.
const CONFLICTS: [i32; 4] = [112, 251, 290, 11601];

/// The cache is too full, by all transactions together or by this one. There may be more room later.
const NO_ROOM: [i32; 2] = [365, 388];

/// Another server is the primary, or will be; the server starts or ends; it was too slow; it cannot reach others.
const PASSING: [i32; 17] = [6, 7, 24, 50, 64, 89, 91, 133, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436];

/// The user may not do it.
const UNAUTHORIZED: i32 = 13;

/// Another document has the same value in a unique index.
const DUPLICATE_KEY: i32 = 11000;

impl Fault {
    /// The fault of a command.
    pub(crate) fn of(error: &Error) -> Self {
        // The commit was sent, and the server does not know what became of it.
        if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
            return Self::Lost(cause(error, "does not answer"));
        }
        match code(error) {
            Some(OUT_OF_DISK_SPACE) => return Self::Full(cause(error, "has no space left")),
            Some(code) if CONFLICTS.contains(&code) => {
                return Self::Conflict(cause(error, "was busy with another transaction"));
            }
            Some(code) if NO_ROOM.contains(&code) => {
                return Self::Conflict(cause(error, "has no room for a transaction in its cache"));
            }
            Some(code) if PASSING.contains(&code) => return Self::Unavailable(cause(error, "is not available")),
            Some(_) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
                return Self::Conflict(cause(error, "has ended a transaction"));
            }
            Some(UNAUTHORIZED) => return Self::Unavailable(cause(error, "does not let us in")),
            Some(_) => return Self::Failed(cause(error, "refuses")),
            None => {}
        }
        let kind = &*error.kind;
        if matches!(kind, ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }) {
            return Self::Lost(cause(error, "does not answer"));
        }
        if matches!(kind, ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. }) {
            return Self::Unavailable(cause(error, "cannot be reached"));
        }
        if is_refused(error) {
            // A process that runs already waits until the password or a right was put right.
            return Self::Unavailable(cause(error, "does not let us in"));
        }
        Self::Failed(cause(error, "cannot be used"))
    }

    /// The server did not answer in time.
    pub(crate) fn silent(patience: Duration) -> Self {
        Self::Lost(Cause::at(place("MongoDB"), format!("has not answered within {patience:?}")))
    }

    /// Whether what the server has done is unknown.
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

/// Whether the server does not let the user in, or the user lacks a right.
pub(crate) fn is_refused(error: &Error) -> bool {
    code(error) == Some(UNAUTHORIZED) || matches!(&*error.kind, ErrorKind::Authentication { .. })
}

/// Whether another document is in the way.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// The code that the server has given; `None` if the error is not the server's.
fn code(error: &Error) -> Option<i32> {
    let kind = &*error.kind;
    if let ErrorKind::Command(error) = kind {
        return Some(error.code);
    }
    if let ErrorKind::InsertMany(error) = kind {
        let of_write = error.write_errors.iter().flatten().next().map(|error| error.code);
        return of_write.or_else(|| error.write_concern_error.as_ref().map(|error| error.code));
    }
    if let ErrorKind::Write(WriteFailure::WriteError(error)) = kind {
        return Some(error.code);
    }
    if let ErrorKind::Write(WriteFailure::WriteConcernError(error)) = kind {
        return Some(error.code);
    }
    None
}

/// The cause for an error: for operators with its message, for callers without, since it may name users and hosts.
pub(crate) fn cause(error: &Error, what: &'static str) -> Cause {
    Cause::at(place(&text(error)), what)
}

fn place(exact: &str) -> NamedPlace {
    NamedPlace::new(exact, "the database")
}

/// The message of an error. It must not quote documents, which the server's text about a duplicate key does.
fn text(error: &Error) -> String {
    let kind = &*error.kind;
    if let Some(text) = error.get_custom::<String>() {
        return format!("MongoDB ({text})");
    }
    if let ErrorKind::Command(error) = kind {
        return format!("MongoDB ({}, code {}, {})", error.message, error.code, error.code_name);
    }
    match code(error) {
        Some(code) => format!("MongoDB (code {code} for a write)"),
        None => format!("MongoDB ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_this_process_keep_their_text() {
        let error = Error::custom("the head is missing".to_owned());
        let cause = Fault::of(&error).into_cause();
        assert!(cause.to_string().contains("the head is missing"), "{cause}");
        assert!(!cause.public_text().contains("head"), "{}", cause.public_text());
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        let error = Error::from(std::io::Error::other("reset"));
        assert!(Fault::of(&error).is_lost(), "{error:?}");
    }
}
