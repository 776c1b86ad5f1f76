//! The columns of a segment in memory.

use core::ops::Range;

use bytes::Bytes;

use super::id_hash::id_hash;
use crate::column::{i64_at, partition_point, u32_at, u64_at};

/// Length of the fixed part at the beginning of the index, in bytes.
pub(crate) const HEADER_BYTES: usize = 32;

/// Events as immutable columns in memory, sorted by time and then by ordinal.
///
/// A *row* is an index in that order. An *ordinal* is an event's index in the order of arrival: its sequence number
/// less the base of the segment. Ordinals ascend but may have gaps. There are two buffers. The `text` has for each row
/// one byte with the length of the caller's id (0 if there is none), the id, and the payload. The `index` has the
/// following columns, all integers little-endian, for n rows, t types and k callers' ids:
///
/// | bytes | what |
/// |---|---|
/// | 4, 4, 4 | n, t, k |
/// | 4, 4 | length of the type names, length of the text |
/// | 12 | zero |
/// | 8 n | timestamps, nanoseconds, ascending |
/// | 8 k | hashes of the callers' ids, ascending |
/// | 4 n | ordinal of each row; ascending among rows of the same timestamp |
/// | 4 n | type of each row, as an index into the names |
/// | 4 n | end of each row in the text |
/// | 4 n | rows in the order of their ordinals |
/// | 4 n | rows grouped by type, ascending within each |
/// | 4 k | row of each hash |
/// | 4 t | end of each type's group |
/// | 4 t | end of each type's name |
/// | … | names of the types, concatenated, ascending by bytes |
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    index: Bytes,
    text: Bytes,
    rows: usize,
    types: usize,
    ids: usize,
    at: Offsets,
}

/// Where each column begins in the index.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    id_hashes: usize,
    ordinals: usize,
    row_types: usize,
    text_ends: usize,
    by_ordinal: usize,
    by_type: usize,
    id_rows: usize,
    group_ends: usize,
    name_ends: usize,
    names: usize,
    end: usize,
}

impl Rows {
    /// Opens the buffers of an index and a text. Checks every offset, so that no access can be out of bounds. `None` if
    /// the buffers are not valid columns.
    pub(crate) fn open(index: Bytes, text: Bytes) -> Option<Self> {
        if index.len() < HEADER_BYTES {
            return None;
        }
        let header = |field: usize| u32_at(&index, 0, field) as usize;
        let (rows, types, ids) = (header(0), header(1), header(2));
        let at = Offsets::new(rows, types, ids, header(3))?;
        if at.end != index.len() || header(4) != text.len() {
            return None;
        }
        let rows = Self { index, text, rows, types, ids, at };
        rows.check().is_ok().then_some(rows)
    }

    /// Whether an index of at least one row, with these lengths of index and text, can begin with these bytes. Checks
    /// only the fixed part of the index.
    pub(crate) fn may_begin_with(bytes: &[u8], index_len: u32, text_len: u32) -> bool {
        let Some((lengths, zeros)) = bytes.get(..HEADER_BYTES).and_then(|head| head.split_at_checked(20)) else {
            return false;
        };
        let header = |field: usize| u32_at(lengths, 0, field) as usize;
        let end = Offsets::new(header(0), header(1), header(2), header(3)).map(|at| at.end as u64);
        let has_rows = header(0) > 0 && text_len > 0;
        has_rows
            && end == Some(index_len.into())
            && u32_at(lengths, 0, 4) == text_len
            && zeros.iter().all(|&byte| byte == 0)
    }

    /// Opens buffers from a [`RowsBuilder`](super::RowsBuilder), which are valid by construction.
    pub(crate) fn from_built(index: Bytes, text: Bytes) -> Self {
        let header = |field: usize| u32_at(&index, 0, field) as usize;
        let (rows, types, ids) = (header(0), header(1), header(2));
        let at = Offsets::new(rows, types, ids, header(3)).expect("the builder has allocated a buffer of this length");
        assert_eq!(at.end, index.len(), "the header gives the number of entries of each column");
        let rows = Self { index, text, rows, types, ids, at };
        debug_assert_eq!(rows.check(), Ok(()));
        rows
    }

    /// Number of events.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no events.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The index, as it is written to a medium.
    #[must_use]
    pub(crate) fn index(&self) -> &Bytes {
        &self.index
    }

    /// The text, as it is written to a medium.
    #[must_use]
    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// Bytes of index and text, in memory and on a medium.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.index.len() + self.text.len()
    }

    /// A row's timestamp in nanoseconds.
    pub(crate) fn timestamp(&self, row: usize) -> i64 {
        i64_at(&self.index, HEADER_BYTES, row)
    }

    /// Number of rows before this time, in nanoseconds since the Unix epoch.
    pub(crate) fn count_before(&self, nanos: i64) -> usize {
        partition_point(0..self.len(), |row| self.timestamp(row) < nanos)
    }

    /// A row's ordinal.
    pub(crate) fn ordinal(&self, row: usize) -> u32 {
        u32_at(&self.index, self.at.ordinals, row)
    }

    /// The code of a row's type, its index among the names.
    pub(crate) fn row_type(&self, row: usize) -> usize {
        u32_at(&self.index, self.at.row_types, row) as usize
    }

    /// The row of the event at `index` in the order of arrival. Where ordinals have gaps, `index` is not the ordinal.
    pub(crate) fn row_by_ordinal(&self, index: usize) -> usize {
        u32_at(&self.index, self.at.by_ordinal, index) as usize
    }

    /// The highest ordinal; `None` if there are no rows.
    pub(crate) fn last_ordinal(&self) -> Option<u32> {
        let last = self.rows.checked_sub(1)?;
        Some(self.ordinal(self.row_by_ordinal(last)))
    }

    /// The row with this ordinal, if there is one.
    pub(crate) fn row_of_ordinal(&self, ordinal: u32) -> Option<usize> {
        let index = partition_point(0..self.rows, |index| self.ordinal(self.row_by_ordinal(index)) < ordinal);
        (index < self.rows).then(|| self.row_by_ordinal(index)).filter(|&row| self.ordinal(row) == ordinal)
    }

    /// Number of different types.
    pub(crate) fn type_count(&self) -> usize {
        self.types
    }

    /// The bytes of a type's name.
    pub(crate) fn type_name(&self, code: usize) -> &[u8] {
        let start = code.checked_sub(1).map_or(0, |before| u32_at(&self.index, self.at.name_ends, before) as usize);
        let end = u32_at(&self.index, self.at.name_ends, code) as usize;
        self.index.get(self.at.names + start..self.at.names + end).expect(CHECKED)
    }

    /// The range of a type's rows in the column of rows by type.
    pub(crate) fn type_group(&self, code: usize) -> Range<usize> {
        let start = code.checked_sub(1).map_or(0, |before| u32_at(&self.index, self.at.group_ends, before) as usize);
        start..u32_at(&self.index, self.at.group_ends, code) as usize
    }

    /// The row at an index of the column of rows by type.
    pub(crate) fn grouped_row(&self, index: usize) -> usize {
        u32_at(&self.index, self.at.by_type, index) as usize
    }

    /// The caller's id of a row, empty if there is none, and its payload.
    pub(crate) fn id_and_payload(&self, row: usize) -> (&[u8], &[u8]) {
        id_and_payload(self.row_text(row)).expect(CHECKED)
    }

    /// The whole text of a row: length of the id, id, payload.
    pub(crate) fn row_text(&self, row: usize) -> &[u8] {
        self.texts(row..row + 1)
    }

    /// The whole texts of some rows, one after the other.
    pub(crate) fn texts(&self, rows: Range<usize>) -> &[u8] {
        self.text.get(self.text_start(rows.start)..self.text_start(rows.end)).expect(CHECKED)
    }

    /// Where the text of a row begins, which is where that of the row before ends.
    pub(crate) fn text_start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| u32_at(&self.index, self.at.text_ends, before) as usize)
    }

    /// Number of rows with a caller's id.
    pub(crate) fn id_count(&self) -> usize {
        self.ids
    }

    /// The hash of a caller's id at `index`, in ascending order, and its row.
    pub(crate) fn id_entry(&self, index: usize) -> (u64, usize) {
        (self.id_hash(index), u32_at(&self.index, self.at.id_rows, index) as usize)
    }

    /// The rows with this caller's id. All but one of them, or all, are erased.
    pub(crate) fn rows_of_id(&self, id: &[u8], hash: u64) -> impl Iterator<Item = usize> {
        (self.first_id_not_below(hash)..self.ids)
            .map(|index| self.id_entry(index))
            .take_while(move |&(other, _)| other == hash)
            .map(|(_, row)| row)
            .filter(move |&row| self.id_and_payload(row).0 == id)
    }

    fn id_hash(&self, index: usize) -> u64 {
        u64_at(&self.index, self.at.id_hashes, index)
    }

    /// Interpolation search: hashes are evenly distributed, so their index can be estimated; the range is then widened
    /// until it contains the hash. On chosen hashes this takes at most twice the steps of a binary search.
    fn first_id_not_below(&self, hash: u64) -> usize {
        let guess = ((u128::from(hash) * self.ids as u128) >> 64) as usize;
        let (mut low, mut high) = (guess, guess);
        let mut stride = 4;
        while low > 0 && self.id_hash(low) >= hash {
            low = low.saturating_sub(stride);
            stride *= 2;
        }
        stride = 4;
        while high < self.ids && self.id_hash(high) < hash {
            high = (high + stride).min(self.ids);
            stride *= 2;
        }
        partition_point(low..high, |index| self.id_hash(index) < hash)
    }

    /// Checks all columns. The error names the first invalid one.
    fn check(&self) -> Result<(), &'static str> {
        let increasing = |start: usize, count: usize, end: usize| {
            let mut last = 0;
            (0..count).all(|index| {
                let next = u32_at(&self.index, start, index);
                core::mem::replace(&mut last, next) <= next
            }) && last as usize == end
        };
        let below = |start: usize, count: usize, bound: usize| {
            (0..count).all(|index| (u32_at(&self.index, start, index) as usize) < bound)
        };
        if !increasing(self.at.name_ends, self.types, self.at.end - self.at.names) {
            return Err("names of the types");
        }
        if !(1..self.types).all(|code| self.type_name(code - 1) < self.type_name(code)) {
            return Err("order of the types");
        }
        if !increasing(self.at.group_ends, self.types, self.rows) {
            return Err("groups by type");
        }
        if !increasing(self.at.text_ends, self.rows, self.text.len()) {
            return Err("ends of the rows");
        }
        let has_id = |row: usize| id_and_payload(self.row_text(row)).map(|(id, _)| !id.is_empty());
        if (0..self.rows).try_fold(0, |ids, row| Some(ids + usize::from(has_id(row)?))) != Some(self.ids) {
            return Err("texts of the rows");
        }
        if !below(self.at.row_types, self.rows, self.types)
            || !below(self.at.by_type, self.rows, self.rows)
            || !below(self.at.by_ordinal, self.rows, self.rows)
            || !below(self.at.id_rows, self.ids, self.rows)
        {
            return Err("an entry points outside");
        }
        let key = |row: usize| (self.timestamp(row), self.ordinal(row));
        if !(1..self.rows).all(|row| key(row - 1) < key(row)) {
            return Err("order of the rows");
        }
        let ordinal_at = |position: usize| self.ordinal(self.row_by_ordinal(position));
        if !(1..self.rows).all(|position| ordinal_at(position - 1) < ordinal_at(position)) {
            return Err("order of the ordinals");
        }
        if !(1..self.ids).all(|entry| self.id_hash(entry - 1) <= self.id_hash(entry)) {
            return Err("order of the hashes");
        }
        if !(0..self.ids).all(|entry| {
            let (hash, row) = self.id_entry(entry);
            id_hash(self.id_and_payload(row).0) == hash
        }) {
            return Err("a hash is not that of its id");
        }
        Ok(())
    }
}

/// Why every part of a row lies within the buffers.
const CHECKED: &str = "Rows::open refuses offsets out of bounds, and the builder writes none";

/// Splits a row's text into id and payload; `None` if it is too short.
fn id_and_payload(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&id_len, rest) = text.split_first()?;
    rest.split_at_checked(usize::from(id_len))
}

impl Offsets {
    fn new(rows: usize, types: usize, ids: usize, name_bytes: usize) -> Option<Self> {
        let mut next = HEADER_BYTES.checked_add(rows.checked_mul(8)?)?;
        let mut column = |count: usize, width: usize| {
            let start = next;
            next = next.checked_add(count.checked_mul(width)?)?;
            Some(start)
        };
        Some(Self {
            id_hashes: column(ids, 8)?,
            ordinals: column(rows, 4)?,
            row_types: column(rows, 4)?,
            text_ends: column(rows, 4)?,
            by_ordinal: column(rows, 4)?,
            by_type: column(rows, 4)?,
            id_rows: column(ids, 4)?,
            group_ends: column(types, 4)?,
            name_ends: column(types, 4)?,
            names: column(name_bytes, 1)?,
            end: next,
        })
    }
}
