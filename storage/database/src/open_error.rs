//! Why a repository could not be opened.

use argus_core::cause::Cause;
use thiserror::Error;

/// Why a repository could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The server refuses, or what it has stored cannot be used.
    #[error("{0}")]
    Refused(Cause),
    /// There are more event types than the limit allows.
    #[error("there are {found} event types, more than the limit of {max}; raise it with --max-event-types")]
    Types {
        /// How many there are.
        found: u64,
        /// The limit.
        max: usize,
    },
}
