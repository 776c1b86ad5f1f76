//! Immutable, sorted parts in which events lie: as plain columns in memory while they are few and fresh ([`Segment`]),
//! and as compressed blocks of a blob when they are many.

mod builder;
mod id_hash;
mod merge;
mod rewrite;
mod rows;
mod sealed;
mod tally;
mod type_name;
mod types;

pub(crate) use builder::RowsBuilder;
pub(crate) use id_hash::id_hash;
pub(crate) use merge::Merge;
pub(crate) use rewrite::Rewrite;
pub(crate) use rows::HEAD_BYTES as INDEX_HEAD_BYTES;
pub(crate) use rows::Rows;
pub(crate) use sealed::{Block, DamagedPart, Remains, Sealed, SealedError, TypeList, count_types};
pub(crate) use type_name::{TypeName, TypeNames};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::damage::{Concerned, Damage};
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use crate::identity::IdentityKey;

/// Rows that have their place in the log: a contiguous range of sequence numbers.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The sequence number of rank 0.
    base: u64,
    rows: Rows,
    /// When the events were committed: from which rank on, and the time in milliseconds since the epoch. Ascending by
    /// rank, the first rank is 0. Generated ids are computed from it.
    epochs: Box<[Epoch]>,
}

/// A place in the order of all events: by time, then by sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Nanoseconds since the Unix epoch.
    pub(crate) time: i64,
    pub(crate) seq: u64,
}

/// A part of what a repository holds, in one form or the other.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Fresh(Arc<Segment>),
    Sealed(Arc<Sealed>),
}

/// From this rank on, events were committed at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) rank: u32,
    pub(crate) millis: i64,
}

impl Part {
    /// The first and the last sequence number that it answers for.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        match self {
            Self::Fresh(segment) => (segment.base(), segment.last_seq()),
            Self::Sealed(sealed) => sealed.seqs(),
        }
    }
}

impl Segment {
    /// Rows at their place. `rows` is not empty and the first epoch begins at rank 0.
    pub(crate) fn new(base: u64, rows: Rows, epochs: Box<[Epoch]>) -> Self {
        debug_assert!(epochs.first().is_some_and(|epoch| epoch.rank == 0));
        Self { base, rows, epochs }
    }

    /// The sequence number of rank 0.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The highest sequence number.
    pub(crate) fn last_seq(&self) -> u64 {
        self.base + u64::from(self.rows.last_rank().expect("a segment has rows"))
    }

    /// Bytes of memory that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.memory_bytes() + size_of_val(&*self.epochs)
    }

    /// The columns.
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    pub(crate) fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// The row's place in the order of all events.
    pub(crate) fn place(&self, row: usize) -> Place {
        Place { time: self.rows.timestamp(row), seq: self.seq(row) }
    }

    /// The row's sequence number.
    pub(crate) fn seq(&self, row: usize) -> u64 {
        self.base + u64::from(self.rows.rank(row))
    }

    /// The row with this sequence number, if it is here.
    pub(crate) fn row_of_seq(&self, seq: u64) -> Option<usize> {
        let rank = u32::try_from(seq.checked_sub(self.base)?).ok()?;
        self.rows.row_of_rank(rank)
    }

    /// When the event of this rank was committed, in milliseconds since the epoch.
    pub(crate) fn committed_millis(&self, rank: u32) -> i64 {
        let after = self.epochs.partition_point(|epoch| epoch.rank <= rank);
        let epoch = after.checked_sub(1).and_then(|index| self.epochs.get(index));
        epoch.expect("the first epoch begins at rank 0").millis
    }

    /// Whether the event in a row was given this very id.
    pub(crate) fn is_generated(&self, row: usize, key: &IdentityKey, id: Uuid) -> bool {
        let rank = self.rows.rank(row);
        let generated = || key.generate(self.committed_millis(rank), self.base + u64::from(rank));
        self.rows.id_and_payload(row).0.is_empty() && generated() == id
    }

    /// The payload of a row.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are no UTF-8.
    pub(crate) fn payload(&self, row: usize) -> Result<Payload<'_>, Damage> {
        Ok(Payload::from_validated(text(self.rows.id_and_payload(row).1, self.seq(row))?))
    }

    /// The event in a row.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are no UTF-8.
    pub(crate) fn event(&self, row: usize, key: &IdentityKey) -> Result<Event<'_>, Damage> {
        let (id, payload) = self.rows.id_and_payload(row);
        let rank = self.rows.rank(row);
        let seq = self.base + u64::from(rank);
        let id = if id.is_empty() {
            EventId::Generated(key.generate(self.committed_millis(rank), seq))
        } else {
            EventId::Given(ClientId::from_validated(text(id, seq)?))
        };
        let event_type = EventType::from_validated(text(self.rows.type_name(self.rows.row_type(row)), seq)?);
        let timestamp = Timestamp::from_nanos(self.rows.timestamp(row));
        Ok(Event { id, seq, event_type, timestamp, payload: Payload::from_validated(text(payload, seq)?) })
    }
}

/// Where the texts of a row are put together that do not lie anywhere as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowText {
    seq: u64,
    id: Vec<u8>,
    payload: Vec<u8>,
}

impl RowText {
    /// Takes the texts of a block's row.
    pub(crate) fn load(&mut self, block: &Block, row: usize) {
        self.seq = block.place(row).seq;
        self.id.clear();
        self.payload.clear();
        block.append_id(row, &mut self.id);
        block.append_payload(row, &mut self.payload);
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
    /// [`Damage`] if the bytes are no UTF-8.
    pub(crate) fn payload(&self) -> Result<Payload<'_>, Damage> {
        Ok(Payload::from_validated(text(&self.payload, self.seq)?))
    }

    /// The event in the row of a block whose texts were [loaded](Self::load).
    ///
    /// # Errors
    ///
    /// [`Damage`] if the bytes are no UTF-8.
    pub(crate) fn event<'a>(&'a self, block: &'a Block, row: usize, key: &IdentityKey) -> Result<Event<'a>, Damage> {
        let Place { time, seq } = block.place(row);
        let id = if self.id.is_empty() {
            EventId::Generated(key.generate(block.millis(row), seq))
        } else {
            EventId::Given(ClientId::from_validated(text(&self.id, seq)?))
        };
        let event_type = EventType::from_validated(text(block.type_name(row), seq)?);
        Ok(Event { id, seq, event_type, timestamp: Timestamp::from_nanos(time), payload: self.payload()? })
    }
}

/// A text of the event with this sequence number.
fn text(bytes: &[u8], seq: u64) -> Result<&str, Damage> {
    core::str::from_utf8(bytes).map_err(|error| {
        let (place, reason) = ("the text of an event".into(), alloc::format!("it is not UTF-8: {error}"));
        Damage { place, offset: None, reason, concerned: Concerned::all(seq, seq) }
    })
}
