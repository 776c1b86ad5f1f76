use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::id_hash::id_hash;
use super::rows::{HEAD_BYTES, Rows};
use crate::column::u32_at;

/// Writes [`Rows`], given one by one in the order of rows.
#[derive(Debug, Default)]
pub struct RowsBuilder {
    timestamps: Vec<i64>,
    ranks: Vec<u32>,
    types: Vec<u32>,
    text_ends: Vec<u32>,
    text: Vec<u8>,
    ids: Vec<(u64, u32)>,
    /// Provisional codes, in the order of first use; the final ones follow the order of the names.
    codes: BTreeMap<Box<[u8]>, u32>,
}

impl RowsBuilder {
    /// With room for so many rows and bytes of text.
    pub(crate) fn with_capacity(rows: usize, text: usize) -> Self {
        Self {
            timestamps: Vec::with_capacity(rows),
            ranks: Vec::with_capacity(rows),
            types: Vec::with_capacity(rows),
            text_ends: Vec::with_capacity(rows),
            text: Vec::with_capacity(text),
            ..Self::default()
        }
    }

    /// Number of rows so far.
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The provisional code of a type.
    pub(crate) fn intern(&mut self, name: &[u8]) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = self.codes.len() as u32;
        self.codes.insert(name.into(), code);
        code
    }

    /// Appends a row from its parts. The caller keeps the text below 4 GiB.
    pub(crate) fn push(&mut self, timestamp: i64, rank: u32, code: u32, id: &[u8], payload: &[u8]) {
        let id_len = u8::try_from(id.len()).expect("an id has at most 128 bytes");
        self.text.reserve(1 + id.len() + payload.len());
        self.text.push(id_len);
        self.text.extend_from_slice(id);
        self.text.extend_from_slice(payload);
        self.finish_row(timestamp, rank, code, id);
    }

    /// Appends row `row` of `from` under another rank and code.
    pub(crate) fn push_row(&mut self, from: &Rows, row: usize, rank: u32, code: u32) {
        self.text.extend_from_slice(from.row_text(row));
        self.finish_row(from.timestamp(row), rank, code, from.id_and_payload(row).0);
    }

    fn finish_row(&mut self, timestamp: i64, rank: u32, code: u32, id: &[u8]) {
        if !id.is_empty() {
            self.ids.push((id_hash(id), self.timestamps.len() as u32));
        }
        self.timestamps.push(timestamp);
        self.ranks.push(rank);
        self.types.push(code);
        self.text_ends.push(self.text.len() as u32);
    }

    /// Whether the rows were given in the order of time and rank.
    pub(crate) fn is_sorted(&self) -> bool {
        self.timestamps.is_sorted()
    }

    /// Rows in the order of time and rank, whatever the order they were given in.
    pub(crate) fn finish_sorted(self) -> Rows {
        if self.is_sorted() {
            return self.finish();
        }
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        order.sort_by_key(|&row| self.timestamps.get(row as usize));
        let mut sorted = Self { codes: self.codes, ..Self::with_capacity(self.timestamps.len(), self.text.len()) };
        for row in order.into_iter().map(|row| row as usize) {
            let start = row.checked_sub(1).and_then(|before| self.text_ends.get(before)).map_or(0, |&end| end as usize);
            let columns = self.timestamps.get(row).zip(self.ranks.get(row)).zip(self.types.get(row));
            let text = self.text_ends.get(row).and_then(|&end| self.text.get(start..end as usize));
            let Some((((&timestamp, &rank), &code), text)) = columns.zip(text) else { continue };
            let id_len = text.first().map_or(0, |&len| usize::from(len));
            sorted.text.extend_from_slice(text);
            sorted.finish_row(timestamp, rank, code, text.get(1..=id_len).unwrap_or_default());
        }
        sorted.finish()
    }

    /// Writes the index. Rows must have come in the order of time and rank.
    pub(crate) fn finish(mut self) -> Rows {
        let (rows, types, ids) = (self.timestamps.len(), self.codes.len(), self.ids.len());
        let name_bytes: usize = self.codes.keys().map(|name| name.len()).sum();
        self.finish_codes();
        self.ids.sort_unstable();

        let mut index = Vec::with_capacity(HEAD_BYTES + rows * 28 + ids * 12 + types * 8 + name_bytes);
        for count in [rows, types, ids, name_bytes, self.text.len()] {
            index.extend_from_slice(&(count as u32).to_le_bytes());
        }
        index.resize(HEAD_BYTES, 0);
        index.extend(self.timestamps.iter().flat_map(|value| value.to_le_bytes()));
        index.extend(self.ids.iter().flat_map(|(hash, _)| hash.to_le_bytes()));
        put_column(&mut index, &self.ranks);
        put_column(&mut index, &self.types);
        put_column(&mut index, &self.text_ends);
        if self.ranks.is_sorted() {
            put_counting(&mut index, rows);
        } else {
            put_column(&mut index, &order_by_rank(&self.ranks));
        }
        let mut group_ends = vec![rows as u32; types];
        if types <= 1 {
            put_counting(&mut index, rows);
        } else {
            put_column(&mut index, &group_by_type(&self.types, &mut group_ends));
        }
        index.extend(self.ids.iter().flat_map(|(_, row)| row.to_le_bytes()));
        put_column(&mut index, &group_ends);
        let mut name_end = 0u32;
        for name in self.codes.keys() {
            name_end += name.len() as u32;
            index.extend_from_slice(&name_end.to_le_bytes());
        }
        for name in self.codes.keys() {
            index.extend_from_slice(name);
        }
        debug_assert_eq!(u32_at(&index, 0, 0) as usize, rows);
        // The text grew by doubling; what is kept for long must not keep the slack.
        self.text.shrink_to_fit();
        Rows::from_built(Bytes::from(index), Bytes::from(self.text))
    }

    /// Puts the final codes of the types in place of the provisional ones.
    fn finish_codes(&mut self) {
        if self.codes.values().is_sorted() {
            return;
        }
        let mut final_codes = vec![0u32; self.codes.len()];
        for (code, &provisional) in self.codes.values().enumerate() {
            if let Some(entry) = final_codes.get_mut(provisional as usize) {
                *entry = code as u32;
            }
        }
        for code in &mut self.types {
            *code = final_codes.get(*code as usize).copied().unwrap_or_default();
        }
    }
}

/// The numbers from 0 on, which is an order that needs no sorting.
fn put_counting(index: &mut Vec<u8>, count: usize) {
    index.extend((0..count as u32).flat_map(u32::to_le_bytes));
}

fn put_column(index: &mut Vec<u8>, column: &[u32]) {
    index.extend(column.iter().flat_map(|value| value.to_le_bytes()));
}

/// The rows in the order of their ranks. Ranks are nearly dense in practice, and then no comparison is needed; but only their order
/// counts.
fn order_by_rank(ranks: &[u32]) -> Vec<u32> {
    let slots = ranks.iter().max().map_or(0, |&last| last as usize + 1);
    if slots / 2 <= ranks.len() {
        let mut rows = vec![u32::MAX; slots];
        for (row, &rank) in ranks.iter().enumerate() {
            if let Some(slot) = rows.get_mut(rank as usize) {
                *slot = row as u32;
            }
        }
        rows.retain(|&row| row != u32::MAX);
        return rows;
    }
    let mut rows: Vec<u32> = (0..ranks.len() as u32).collect();
    rows.sort_unstable_by_key(|&row| ranks.get(row as usize));
    rows
}

/// A counting sort of the rows by type; `ends` becomes where each group ends.
fn group_by_type(types: &[u32], ends: &mut [u32]) -> Vec<u32> {
    ends.fill(0);
    for &code in types {
        if let Some(size) = ends.get_mut(code as usize) {
            *size += 1;
        }
    }
    let mut next = vec![0u32; ends.len()];
    let mut total = 0;
    for (end, next) in ends.iter_mut().zip(&mut next) {
        *next = total;
        total += *end;
        *end = total;
    }
    let mut rows = vec![0u32; types.len()];
    for (row, &code) in types.iter().enumerate() {
        let Some(place) = next.get_mut(code as usize) else { continue };
        if let Some(slot) = rows.get_mut(*place as usize) {
            *slot = row as u32;
        }
        *place += 1;
    }
    rows
}
