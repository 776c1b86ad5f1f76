//! Builds the columns of a fresh segment.

use alloc::vec;
use alloc::vec::Vec;
use core::iter;

use bytes::Bytes;

use super::id_hash::id_hash;
use super::rows::{HEADER_BYTES, Rows};
use super::types::Types;
use crate::column::u32_at;

/// Builds [`Rows`] from rows that are pushed one by one.
#[derive(Debug, Default)]
pub(crate) struct RowsBuilder {
    rows: Vec<Row>,
    text: Vec<u8>,
    ids: Vec<(u64, u32)>,
    /// With provisional codes, in the order of first use; final codes are in the order of names.
    types: Types,
    /// Whether some row has an earlier time than its predecessor.
    unordered: bool,
}

/// Estimated bytes that a type takes besides its name: in the map, and when the map is iterated.
const TYPE_BYTES: usize = 96;

/// The index columns of a row.
#[derive(Clone, Copy, Debug)]
struct Row {
    timestamp: i64,
    ordinal: u32,
    code: u32,
    text_end: u32,
}

impl RowsBuilder {
    /// With capacity for this many rows and bytes of text.
    pub(crate) fn with_capacity(rows: usize, text: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), text: Vec::with_capacity(text), ..Self::default() }
    }

    /// Number of rows so far.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Bytes of the index so far.
    pub(crate) fn index_bytes(&self) -> usize {
        let (rows, types, ids) = (self.rows.len(), self.types.len(), self.ids.len());
        HEADER_BYTES + rows * 28 + ids * 12 + types * 8 + self.types.name_bytes()
    }

    /// Number of different types so far.
    pub(crate) fn type_count(&self) -> usize {
        self.types.len()
    }

    /// Whether any row so far has this type.
    pub(crate) fn has_type(&self, name: &[u8]) -> bool {
        self.types.contains(name)
    }

    /// The most memory that the builder needs at any time until [`finish_sorted`](Self::finish_sorted) returns, if one
    /// more row is pushed, with `text` bytes of text and `row_index` bytes of index.
    pub(crate) fn work_bytes(&self, text: usize, row_index: usize) -> usize {
        const ROW_BYTES: usize = size_of::<Row>();
        const ID_BYTES: usize = size_of::<(u64, u32)>();
        let (count, text) = (self.rows.len() + 1, self.text.len() + text);
        let (rows, both_rows) = growth(self.rows.capacity(), count);
        let (ids, both_ids) = growth(self.ids.capacity(), self.ids.len() + 1);
        let (texts, both_texts) = growth(self.text.capacity(), text);
        let types = self.types.len() * TYPE_BYTES + 2 * self.types.name_bytes();
        let collecting = both_rows * ROW_BYTES + both_ids * ID_BYTES + both_texts;
        // Two columns are built in vectors before they are written.
        let mut finishing =
            rows * ROW_BYTES + ids * ID_BYTES + texts + self.index_bytes() + row_index + count * 2 * size_of::<u32>();
        if self.unordered {
            finishing += text + count * (ROW_BYTES + size_of::<(Row, u32)>()) + (self.ids.len() + 1) * ID_BYTES * 2;
        }
        collecting.max(finishing) + types
    }

    /// The provisional code of a type, for [`push`](Self::push). A new type is added.
    pub(crate) fn intern(&mut self, name: &[u8]) -> u32 {
        self.types.intern(name)
    }

    /// Appends a row. The caller keeps the total text below 4 GiB.
    pub(crate) fn push(&mut self, timestamp: i64, ordinal: u32, code: u32, id: &[u8], payload: &[u8]) {
        let id_len = u8::try_from(id.len()).expect("an id has at most 255 bytes");
        self.text.reserve(1 + id.len() + payload.len());
        self.text.push(id_len);
        self.text.extend_from_slice(id);
        self.text.extend_from_slice(payload);
        self.finish_row(timestamp, ordinal, code, id);
    }

    /// Appends row `row` of `from` under another ordinal and code.
    pub(crate) fn push_row(&mut self, from: &Rows, row: usize, ordinal: u32, code: u32) {
        self.text.extend_from_slice(from.row_text(row));
        self.finish_row(from.timestamp(row), ordinal, code, from.id_and_payload(row).0);
    }

    fn finish_row(&mut self, timestamp: i64, ordinal: u32, code: u32, id: &[u8]) {
        if !id.is_empty() {
            self.ids.push((id_hash(id), self.rows.len() as u32));
        }
        self.unordered |= self.rows.last().is_some_and(|last| last.timestamp > timestamp);
        self.rows.push(Row { timestamp, ordinal, code, text_end: self.text.len() as u32 });
    }

    /// Whether the rows were pushed in the order of time.
    pub(crate) fn is_sorted(&self) -> bool {
        !self.unordered
    }

    /// Sorts the rows by time and ordinal, and builds the columns. Rows must have been pushed in the order of ordinals.
    pub(crate) fn finish_sorted(self) -> Rows {
        if self.is_sorted() {
            return self.finish();
        }
        let starts = iter::once(0).chain(self.rows.iter().map(|row| row.text_end));
        let mut order: Vec<(Row, u32)> = self.rows.iter().copied().zip(starts).collect();
        order.sort_by_key(|(row, _)| row.timestamp);
        let mut sorted = Self { types: self.types, ..Self::with_capacity(self.rows.len(), self.text.len()) };
        for (Row { timestamp, ordinal, code, text_end }, start) in order {
            let text = self.text.get(start as usize..text_end as usize).expect(TEXT);
            let id_len = usize::from(*text.first().expect(TEXT));
            sorted.text.extend_from_slice(text);
            sorted.finish_row(timestamp, ordinal, code, text.get(1..=id_len).expect(TEXT));
        }
        sorted.finish()
    }

    /// Builds the columns. Rows must have been pushed in the order of time and ordinal.
    pub(crate) fn finish(mut self) -> Rows {
        let (rows, types, ids) = (self.rows.len(), self.types.len(), self.ids.len());
        self.finish_codes();
        self.ids.sort_unstable();

        let index_bytes = self.index_bytes();
        let mut index = Vec::with_capacity(index_bytes);
        for count in [rows, types, ids, self.types.name_bytes(), self.text.len()] {
            index.extend_from_slice(&(count as u32).to_le_bytes());
        }
        index.resize(HEADER_BYTES, 0);
        index.extend(self.rows.iter().flat_map(|row| row.timestamp.to_le_bytes()));
        index.extend(self.ids.iter().flat_map(|(hash, _)| hash.to_le_bytes()));
        put_column(&mut index, self.rows.iter().map(|row| row.ordinal));
        put_column(&mut index, self.rows.iter().map(|row| row.code));
        put_column(&mut index, self.rows.iter().map(|row| row.text_end));
        if self.rows.is_sorted_by_key(|row| row.ordinal) {
            put_column(&mut index, 0..rows as u32);
        } else {
            put_column(&mut index, order_by_ordinal(&self.rows));
        }
        if types <= 1 {
            put_column(&mut index, 0..rows as u32);
            put_column(&mut index, self.ids.iter().map(|&(_, row)| row));
            put_column(&mut index, iter::repeat_n(rows as u32, types));
        } else {
            let (by_type, ends) = group_by_type(&self.rows, types);
            put_column(&mut index, by_type);
            put_column(&mut index, self.ids.iter().map(|&(_, row)| row));
            put_column(&mut index, ends);
        }
        let mut name_end = 0u32;
        for (name, _) in self.types.by_name() {
            name_end += name.len() as u32;
            index.extend_from_slice(&name_end.to_le_bytes());
        }
        for (name, _) in self.types.by_name() {
            index.extend_from_slice(name);
        }
        debug_assert_eq!((u32_at(&index, 0, 0) as usize, index.len()), (rows, index_bytes));
        // The text grew by doubling; free the unused capacity, since segments live long.
        self.text.shrink_to_fit();
        Rows::from_built(Bytes::from(index), Bytes::from(self.text))
    }

    /// Replaces provisional type codes by final ones.
    fn finish_codes(&mut self) {
        if self.types.by_name().is_sorted_by_key(|(_, provisional)| provisional) {
            return;
        }
        let mut final_codes = vec![0u32; self.types.len()];
        for (code, (_, provisional)) in (0..).zip(self.types.by_name()) {
            *final_codes.get_mut(provisional as usize).expect(CODE) = code;
        }
        for row in &mut self.rows {
            row.code = *final_codes.get(row.code as usize).expect(CODE);
        }
    }
}

/// Why a row's text can be read.
const TEXT: &str = "each row has a text, which begins with the length of its id";

/// Why a row's code is that of a type.
const CODE: &str = "rows have codes from `intern`";

/// The capacity of a vector once it holds `len` elements, and the capacities of the old and the new buffer together
/// while it grows.
fn growth(capacity: usize, len: usize) -> (usize, usize) {
    if len <= capacity {
        return (capacity, capacity);
    }
    let grown = (2 * capacity).max(len).max(8);
    (grown, capacity + grown)
}

fn put_column(index: &mut Vec<u8>, column: impl IntoIterator<Item = u32>) {
    index.extend(column.into_iter().flat_map(u32::to_le_bytes));
}

/// The rows in the order of their ordinals. Ordinals usually have few gaps, so that a counting sort is fastest.
fn order_by_ordinal(rows: &[Row]) -> Vec<u32> {
    let slots = rows.iter().map(|row| row.ordinal).max().map_or(0, |last| last as usize + 1);
    if slots / 2 <= rows.len() {
        let mut order = vec![u32::MAX; slots];
        for (index, row) in (0..).zip(rows) {
            *order.get_mut(row.ordinal as usize).expect("no ordinal is above the highest") = index;
        }
        order.retain(|&index| index != u32::MAX);
        return order;
    }
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_unstable_by_key(|&index| rows.get(index as usize).map(|row| row.ordinal));
    order
}

/// A counting sort of the rows by type, and the end of each type's group.
fn group_by_type(rows: &[Row], types: usize) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0u32; types];
    for row in rows {
        *ends.get_mut(row.code as usize).expect(CODE) += 1;
    }
    let mut next = vec![0u32; types];
    let mut total = 0;
    for (end, next) in ends.iter_mut().zip(&mut next) {
        *next = total;
        total += *end;
        *end = total;
    }
    let mut grouped = vec![0u32; rows.len()];
    for (index, row) in (0..).zip(rows) {
        let next = next.get_mut(row.code as usize).expect(CODE);
        *grouped.get_mut(*next as usize).expect("all groups together have all rows") = index;
        *next += 1;
    }
    (grouped, ends)
}
