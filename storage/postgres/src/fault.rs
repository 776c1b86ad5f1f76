//! What the errors of the driver mean.

use std::error::Error as _;
use std::time::Duration;

use argus_core::cause::{Cause, NamedPlace};
use argus_database::Fault;
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

/// The fault of a connection that could not be opened. [`Failed`](Fault::Failed) if waiting does not help: there is
/// no such user or database, or the password is wrong.
pub(crate) fn fault_of_connecting(error: &Error) -> Fault {
    // The class is the first two characters: PostgreSQL, appendix A.
    let class = error.code().and_then(|state| state.code().get(..2));
    match class {
        Some("28" | "3D" | "42") => Fault::Failed(cause(error, "does not let us in")),
        Some(_) | None => Fault::Unavailable(cause(error, "cannot be reached")),
    }
}

/// The fault of a statement.
pub(crate) fn fault_of(error: &Error) -> Fault {
    let Some(answer) = error.as_db_error() else { return Fault::Lost(cause(error, "does not answer")) };
    if matches!(answer.parsed_severity(), Some(Severity::Panic | Severity::Fatal)) {
        // The server ends the session, or itself. Whatever the reason, a commit that it has begun to write may be
        // there when it is back.
        return Fault::Lost(cause(error, "has closed the connection"));
    }
    let state = answer.code();
    match *state {
        SqlState::DISK_FULL => Fault::Full(cause(error, "has no space left")),
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::UNIQUE_VIOLATION => {
            Fault::Conflict(cause(error, "was busy with another transaction"))
        }
        // A timeout of the server, or a lock that was not to be had.
        SqlState::QUERY_CANCELED
        | SqlState::LOCK_NOT_AVAILABLE
        // A standby, or a primary that was made read-only.
        | SqlState::READ_ONLY_SQL_TRANSACTION => Fault::Unavailable(cause(error, "is not available")),
        _ => match state.code().get(..2) {
            Some("08") => Fault::Lost(cause(error, "does not answer")),
            // Too many connections, too little memory.
            Some("53") => Fault::Unavailable(cause(error, "is overloaded")),
            Some(_) | None => Fault::Failed(cause(error, "refuses")),
        },
    }
}

/// The server did not answer in time.
pub(crate) fn silent(patience: Duration) -> Fault {
    Fault::Lost(Cause::at(place("PostgreSQL"), format!("has not answered within {patience:?}")))
}

/// The same fault for a process that runs already: it waits until a password or a right was put right.
pub(crate) fn while_running(fault: Fault) -> Fault {
    match fault {
        Fault::Failed(cause) => Fault::Unavailable(cause),
        Fault::Lost(_) | Fault::Unavailable(_) | Fault::Full(_) | Fault::Conflict(_) => fault,
    }
}

/// The fault of a transaction that nobody has tried to commit: it has no effect, whatever the server has done.
pub(crate) fn before_commit(fault: Fault) -> Fault {
    match fault {
        Fault::Lost(cause) => Fault::Unavailable(cause),
        Fault::Unavailable(_) | Fault::Full(_) | Fault::Conflict(_) | Fault::Failed(_) => fault,
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
