//! An erasure as the log and the manifest have it.

use alloc::string::String;
use core::fmt;

use crate::log::RecordHeader;
use crate::query::Filter;

/// An erasure as the log and the manifest have it.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::engine) struct StoredErasure {
    /// 1 for the first erasure of a repository, 2 for the second one, …
    pub(in crate::engine) number: u64,
    /// It applies to the events up to this sequence number: those that were stored when it was accepted.
    pub(in crate::engine) up_to_seq: u64,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub(in crate::engine) millis: i64,
    /// The events that it erases.
    pub(in crate::engine) filter: Filter,
}

impl StoredErasure {
    /// The erasure of a record; `None` if the text is not a filter that this version knows.
    pub(in crate::engine) fn in_record(header: &RecordHeader, number: u64, text: &[u8]) -> Option<Self> {
        let (up_to_seq, millis) = (header.first_seq.saturating_sub(1), header.millis);
        Some(Self { number, up_to_seq, millis, filter: serde_json::from_slice(text).ok()? })
    }

    /// The filter as JSON.
    pub(in crate::engine) fn text(&self) -> String {
        serde_json::to_string(&self.filter).expect("a filter has no maps and no fallible parts")
    }
}

impl fmt::Debug for StoredErasure {
    /// Without the filter, which may have personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, up_to_seq, millis, filter: _ } = self;
        f.debug_struct("StoredErasure")
            .field("number", number)
            .field("up_to_seq", up_to_seq)
            .field("millis", millis)
            .finish_non_exhaustive()
    }
}
