//! What questions group events by, and compute with.

use core::fmt;

use crate::query::PayloadPath;

/// A property of events that groups them, or that values are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The event type. Its value is a string.
    Type,
    /// The values at a path of the payload.
    Payload(PayloadPath),
}

impl fmt::Display for Field {
    /// `type` or `payload.<path>`, as in a query string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("type"),
            Self::Payload(path) => write!(f, "payload.{path}"),
        }
    }
}
