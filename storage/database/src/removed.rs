//! What a transaction has removed.

use std::collections::BTreeSet;

use argus_core::event::Timestamp;
use argus_core::repository::{Expired, ExpiryCause};

/// What a transaction has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many events.
    pub events: u64,
    /// How many bytes their types, ids and payloads had.
    pub bytes: u64,
    /// The times of the first and the last of them, as exact as the database compares them.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Their types.
    pub types: BTreeSet<String>,
}

impl Removed {
    /// Adds what else was removed.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        let spans = self.span.into_iter().chain(other.span);
        self.span = spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        self.types.extend(other.types);
    }

    /// What has expired; `None` if nothing.
    #[must_use]
    pub fn expired(&self, cause: ExpiryCause) -> Option<Expired> {
        let (first, last) = self.span?;
        Some(Expired { events: self.events, first, last, cause })
    }
}
