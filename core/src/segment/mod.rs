//! Immutable, sorted segments of events: fresh ones are plain columns in memory ([`Segment`]), sealed ones are
//! compressed blocks in a blob ([`Sealed`]).

mod builder;
mod id_hash;
mod merge;
mod rewrite;
mod rows;
mod sealed;
mod sieve;
mod tally;
mod text_search;
mod type_name;
mod types;

pub(crate) use builder::RowsBuilder;
pub(crate) use id_hash::id_hash;
pub(crate) use merge::Merge;
pub(crate) use rewrite::{LeftOut, Rewrite, Rewritten};
pub(crate) use rows::HEADER_BYTES as INDEX_HEADER_BYTES;
pub(crate) use rows::Rows;
pub(crate) use sealed::{
    Block, BlockColumns, BlockSet, ColumnTest, DamagedPart, RecoveredBlocks, Sealed, SealedError, TypeList, count_types,
};
pub(crate) use sieve::{RowView, Sieve};
pub(crate) use tally::Tally;
pub(crate) use text_search::TextSearch;
pub(crate) use type_name::{TypeName, TypeNames};

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::column::partition_point;
use crate::damage::{Affected, Damage};
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use crate::identity::IdentityKey;

/// Most sequence numbers that [`Part::stored_seqs`] looks up in a fresh segment.
const STORED_SEQS_MAX: usize = 1024;

/// A fresh segment: rows with a range of sequence numbers. A row's number is `base` plus its ordinal.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The sequence number of ordinal 0.
    base: u64,
    rows: Rows,
    /// The times of the commits, ascending by ordinal from 0. Generated ids are computed from them.
    epochs: Box<[Epoch]>,
}

/// The key by which events are sorted: time, then sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    /// Nanoseconds since the Unix epoch.
    pub(crate) time: i64,
    pub(crate) seq: u64,
}

/// A segment, fresh or sealed.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Fresh(Arc<Segment>),
    Sealed(Arc<Sealed>),
}

/// Sequence numbers of stored events, ascending.
#[derive(Debug)]
pub(crate) struct StoredSeqs {
    pub(crate) seqs: Vec<u64>,
    /// Where to continue: there are no other events before this number, which is beyond all of them.
    pub(crate) next: u64,
}

/// Events from this ordinal on were committed at this time, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) ordinal: u32,
    pub(crate) millis: i64,
}

impl Part {
    /// The first and the last sequence number that it covers.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        match self {
            Self::Fresh(segment) => (segment.base(), segment.last_seq()),
            Self::Sealed(sealed) => sealed.seqs(),
        }
    }

    /// Some of the stored sequence numbers, from `seq` on.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read or is damaged.
    pub(crate) fn stored_seqs(&self, seq: u64) -> Result<StoredSeqs, SealedError> {
        match self {
            Self::Fresh(segment) => Ok(segment.stored_seqs(seq)),
            Self::Sealed(sealed) => sealed.stored_seqs(seq),
        }
    }

    /// The number and bytes of its events.
    pub(crate) fn tally(&self) -> Tally {
        match self {
            Self::Fresh(segment) => segment.tally(),
            Self::Sealed(sealed) => sealed.tally(),
        }
    }
}

impl Segment {
    /// `base` is the sequence number of ordinal 0. `rows` is not empty, and the first epoch begins at ordinal 0.
    pub(crate) fn new(base: u64, rows: Rows, epochs: Box<[Epoch]>) -> Self {
        debug_assert!(epochs.first().is_some_and(|epoch| epoch.ordinal == 0));
        Self { base, rows, epochs }
    }

    /// The number and bytes of its events.
    pub(crate) fn tally(&self) -> Tally {
        // The text of each row begins with one byte for the length of the id.
        Tally { events: self.rows.len() as u64, bytes: (self.rows.text().len() - self.rows.len()) as u64 }
    }

    /// The sequence number of ordinal 0.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The highest sequence number.
    pub(crate) fn last_seq(&self) -> u64 {
        self.base + u64::from(self.rows.last_ordinal().expect("a segment has rows"))
    }

    /// Its memory in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.bytes() + size_of_val(&*self.epochs)
    }

    /// The columns.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(crate) fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The row's sort key.
    pub(crate) fn sort_key(&self, row: usize) -> SortKey {
        SortKey { time: self.rows.timestamp(row), seq: self.seq(row) }
    }

    /// The row's sequence number.
    pub(crate) fn seq(&self, row: usize) -> u64 {
        self.base + u64::from(self.rows.ordinal(row))
    }

    /// The row with this sequence number, if there is one.
    pub(crate) fn row_of_seq(&self, seq: u64) -> Option<usize> {
        let ordinal = u32::try_from(seq.checked_sub(self.base)?).ok()?;
        self.rows.row_of_ordinal(ordinal)
    }

    /// As [`Part::stored_seqs`].
    fn stored_seqs(&self, seq: u64) -> StoredSeqs {
        let rows = &self.rows;
        let seq_at = |index| self.seq(rows.row_by_ordinal(index));
        let first = partition_point(0..rows.len(), |index| seq_at(index) < seq);
        let last = rows.len().min(first + STORED_SEQS_MAX);
        let next = if last < rows.len() { seq_at(last) } else { self.last_seq() + 1 };
        StoredSeqs { seqs: (first..last).map(seq_at).collect(), next }
    }

    /// When the event of this ordinal was committed, in milliseconds since the Unix epoch.
    pub(crate) fn committed_millis(&self, ordinal: u32) -> i64 {
        let after = self.epochs.partition_point(|epoch| epoch.ordinal <= ordinal);
        let epoch = after.checked_sub(1).and_then(|index| self.epochs.get(index));
        epoch.expect("the first epoch begins at ordinal 0").millis
    }

    /// Whether the event in a row has this generated id.
    pub(crate) fn is_generated(&self, row: usize, key: &IdentityKey, id: Uuid) -> bool {
        let ordinal = self.rows.ordinal(row);
        let generated = || key.generate(self.committed_millis(ordinal), self.base + u64::from(ordinal));
        self.rows.id_and_payload(row).0.is_empty() && generated() == id
    }

    /// The payload of a row.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are not UTF-8.
    pub(crate) fn payload(&self, row: usize) -> Result<Payload<'_>, Damage> {
        Ok(Payload::from_validated(text(self.rows.id_and_payload(row).1, self.seq(row))?))
    }

    /// The event in a row.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are not UTF-8.
    pub(crate) fn event(&self, row: usize, key: &IdentityKey) -> Result<Event<'_>, Damage> {
        let (id, payload) = self.rows.id_and_payload(row);
        let ordinal = self.rows.ordinal(row);
        let (seq, millis) = (self.base + u64::from(ordinal), self.committed_millis(ordinal));
        let id = if id.is_empty() {
            EventId::Generated(key.generate(millis, seq))
        } else {
            EventId::Given(ClientId::from_validated(text(id, seq)?))
        };
        let event_type = EventType::from_validated(text(self.rows.type_name(self.rows.row_type(row)), seq)?);
        let timestamp = Timestamp::from_nanos(self.rows.timestamp(row));
        let (payload, stored_at) = (Payload::from_validated(text(payload, seq)?), commit_time(millis));
        Ok(Event { id, seq, event_type, timestamp, payload, stored_at })
    }
}

/// A buffer for the decoded texts of one row of a block.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowText {
    seq: u64,
    id: Vec<u8>,
    payload: Vec<u8>,
}

impl RowText {
    /// Decodes the texts of a row.
    ///
    /// # Errors
    ///
    /// [`Damage`] if they cannot be decoded.
    pub(crate) fn load(&mut self, block: &Block, row: usize) -> Result<(), Damage> {
        self.seq = block.sort_key(row).seq;
        self.id.clear();
        self.payload.clear();
        block.append_id(row, &mut self.id)?;
        block.append_payload(row, &mut self.payload)
    }

    /// The caller's id, empty if there is none.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The payload's bytes.
    pub(crate) fn payload_bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The payload.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are not UTF-8.
    pub(crate) fn payload(&self) -> Result<Payload<'_>, Damage> {
        Ok(Payload::from_validated(text(&self.payload, self.seq)?))
    }

    /// The event in the row of a block whose texts were [loaded](Self::load).
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are not UTF-8.
    pub(crate) fn event<'a>(&'a self, block: &'a Block, row: usize, key: &IdentityKey) -> Result<Event<'a>, Damage> {
        let (SortKey { time, seq }, millis) = (block.sort_key(row), block.millis(row));
        let id = if self.id.is_empty() {
            EventId::Generated(key.generate(millis, seq))
        } else {
            EventId::Given(ClientId::from_validated(text(&self.id, seq)?))
        };
        let event_type = EventType::from_validated(text(block.type_name(row), seq)?);
        let (timestamp, stored_at) = (Timestamp::from_nanos(time), commit_time(millis));
        Ok(Event { id, seq, event_type, timestamp, payload: self.payload()?, stored_at })
    }
}

/// The time of a commit, of which segments have the milliseconds since the Unix epoch.
fn commit_time(millis: i64) -> Timestamp {
    Timestamp::from_nanos(millis.saturating_mul(1_000_000))
}

/// The bytes of a payload as text. `seq` is the sequence number of its event.
///
/// # Errors
///
/// [`Damage`] if the bytes are not UTF-8.
pub(crate) fn payload_text(bytes: &[u8], seq: u64) -> Result<&str, Damage> {
    text(bytes, seq)
}

/// Checks a text of the event with this sequence number.
fn text(bytes: &[u8], seq: u64) -> Result<&str, Damage> {
    core::str::from_utf8(bytes).map_err(|error| damaged_text(seq, &format_args!("it is not UTF-8: {error}")))
}

/// Damage to a text of the event with this sequence number.
fn damaged_text(seq: u64, reason: &dyn fmt::Display) -> Damage {
    let place = "the text of an event".into();
    Damage { place, offset: None, reason: reason.to_string(), affected: Affected::all(seq, seq) }
}
