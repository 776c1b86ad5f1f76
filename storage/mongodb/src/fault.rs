//! What the errors of the driver mean.

use std::time::Duration;

use argus_core::cause::{Cause, NamedPlace};
use argus_database::Fault;
use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure};

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

/// The fault of a command.
pub(crate) fn fault_of(error: &Error) -> Fault {
    // The commit was sent, and the server does not know what became of it.
    if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) {
        return Fault::Lost(cause(error, "does not answer"));
    }
    match code(error) {
        Some(OUT_OF_DISK_SPACE) => return Fault::Full(cause(error, "has no space left")),
        Some(code) if CONFLICTS.contains(&code) => {
            return Fault::Conflict(cause(error, "was busy with another transaction"));
        }
        Some(code) if NO_ROOM.contains(&code) => {
            return Fault::Conflict(cause(error, "has no room for a transaction in its cache"));
        }
        Some(code) if PASSING.contains(&code) => return Fault::Unavailable(cause(error, "is not available")),
        Some(_) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {
            return Fault::Conflict(cause(error, "has ended a transaction"));
        }
        Some(UNAUTHORIZED) => return Fault::Unavailable(cause(error, "does not let us in")),
        Some(_) => return Fault::Failed(cause(error, "refuses")),
        None => {}
    }
    let kind = &*error.kind;
    if matches!(kind, ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }) {
        return Fault::Lost(cause(error, "does not answer"));
    }
    if matches!(kind, ErrorKind::ServerSelection { .. } | ErrorKind::DnsResolve { .. }) {
        return Fault::Unavailable(cause(error, "cannot be reached"));
    }
    if is_refused(error) {
        // A process that runs already waits until the password or a right was put right.
        return Fault::Unavailable(cause(error, "does not let us in"));
    }
    Fault::Failed(cause(error, "cannot be used"))
}

/// The server did not answer in time.
pub(crate) fn silent(patience: Duration) -> Fault {
    Fault::Lost(Cause::at(place("MongoDB"), format!("has not answered within {patience:?}")))
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
        let cause = fault_of(&error).into_cause();
        assert!(cause.to_string().contains("the head is missing"), "{cause}");
        assert!(!cause.public_text().contains("head"), "{}", cause.public_text());
    }

    #[test]
    fn a_broken_connection_leaves_the_outcome_open() {
        let error = Error::from(std::io::Error::other("reset"));
        assert!(fault_of(&error).is_lost(), "{error:?}");
    }
}
