//! Blocks: up to some thousand compressed events.

mod builder;
mod head;
mod v2;

use alloc::vec::Vec;

use bytes::Bytes;

pub(crate) use builder::Row;
pub(super) use builder::{BlockBuilder, Encoders};
pub(super) use head::{Head, Page};

use super::Version;
use crate::codec::{Corrupt, Cursor, Documents, Packed, Payloads, Places, Texts, decode_series};
use crate::damage::Damage;
pub(super) use crate::row_group::ROWS_MAX;
use crate::segment::tally::Tally;
use crate::segment::{RowText, SortKey, damaged_text};

/// Some rows of a sealed segment, sorted by time and then by sequence number. A block is self-contained, so that it can
/// be copied to another segment as it is. It has a [head](head::Head), and a [page](head::Page) for each column, which
/// can be read and checked by itself.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    names: Vec<Bytes>,
    /// Nanoseconds since the Unix epoch, with the sign bit flipped.
    times: Vec<u64>,
    seqs: Vec<u64>,
    commits: Commits,
    types: Option<Packed>,
    ids: Option<Texts>,
    payloads: PayloadColumns,
    /// Its memory in bytes.
    memory_bytes: usize,
}

/// When the rows were committed, in milliseconds since the Unix epoch.
///
/// | bytes | what |
/// |---|---|
/// | varint | number of runs r |
/// | series | r sequence numbers, ascending |
/// | series | r times |
///
/// A run is that of the rows from its sequence number on, up to the next run.
#[derive(Clone, Debug)]
enum Commits {
    Runs {
        starts: Vec<u64>,
        millis: Vec<u64>,
    },
    /// For each row, in segments of [version 2](v2).
    Rows(Packed),
}

#[derive(Clone, Debug)]
enum PayloadColumns {
    Documents(Documents),
    /// In segments of [version 2](v2).
    Shapes(Payloads),
}

/// The entry of a block in the segment's index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) rows: usize,
    /// Bytes of their ids and payloads.
    pub(crate) text_bytes: u64,
    /// The sort keys of the first and of the last row.
    pub(crate) first: SortKey,
    pub(crate) last: SortKey,
    /// The lowest and the highest sequence number.
    pub(crate) seqs: (u64, u64),
    /// The codes of the rows' types in the segment, ascending.
    pub(crate) codes: Vec<u32>,
    /// Whether any row has a caller's id.
    pub(crate) has_ids: bool,
}

/// Why a row can be found.
const ROW: &str = "callers ask for rows below the number of rows";

/// Flipping the sign bit maps signed integers to unsigned ones in the same order.
const SIGN: u64 = 1 << 63;

impl Summary {
    /// The number of rows, and the bytes of their ids and payloads.
    pub(crate) fn tally(&self) -> Tally {
        Tally { events: self.rows as u64, bytes: self.text_bytes }
    }
}

impl Block {
    /// Checks and decodes a block of this version that has exactly these bytes.
    pub(super) fn decode(bytes: &Bytes, version: Version) -> Result<Self, Corrupt> {
        match version {
            Version::Two => v2::decode(bytes),
            Version::Three => {
                let head = Head::decode(bytes)?;
                let is_whole = head.block_len() == bytes.len();
                if is_whole { Self::decode_pages(head, bytes) } else { Err(Corrupt("it has unused bytes")) }
            }
        }
    }

    /// Checks and decodes a block of this version at the beginning of these bytes; also returns its length.
    pub(super) fn decode_front(bytes: &Bytes, version: Version) -> Result<(Self, usize), Corrupt> {
        match version {
            Version::Two => v2::decode_front(bytes),
            Version::Three => {
                let head = Head::find(bytes)?;
                let len = head.block_len();
                Ok((Self::decode_pages(head, bytes)?, len))
            }
        }
    }

    fn decode_pages(head: Head, bytes: &Bytes) -> Result<Self, Corrupt> {
        let (rows, len) = (head.rows, head.block_len());
        let texts = |page, count| match head.page(bytes, page)? {
            Some(cursor) => whole(cursor, |cursor| Texts::decode(cursor, count)).map(Some),
            None => Ok(None),
        };
        let page = |page| head.page(bytes, page)?.ok_or(Corrupt("it lacks a page"));
        let places = whole(page(Page::Shapes)?, |cursor| Places::decode(cursor, &head.layout, rows))?;
        let whole_texts = texts(Page::Whole, places.whole())?;
        if whole_texts.is_none() && places.whole() > 0 {
            return Err(Corrupt("it lacks the payloads without a shape"));
        }
        let columns = places
            .leaves()
            .iter()
            .enumerate()
            .map(|(column, &count)| texts(Page::Column(column), count)?.ok_or(Corrupt("it lacks a column")));
        let columns = columns.collect::<Result<_, _>>()?;
        let mut block = Self {
            times: whole(page(Page::Times)?, |cursor| decode_series(cursor, rows))?,
            seqs: whole(page(Page::Seqs)?, |cursor| decode_series(cursor, rows))?,
            commits: whole(page(Page::Commits)?, |cursor| Commits::decode(cursor, rows))?,
            types: match head.page(bytes, Page::Types)? {
                Some(cursor) => Some(whole(cursor, |cursor| Packed::decode(cursor, rows))?),
                None => None,
            },
            ids: texts(Page::Ids, rows)?,
            payloads: PayloadColumns::Documents(Documents::new(head.layout.into(), places, whole_texts, columns)),
            names: head.names,
            memory_bytes: 0,
        };
        block.check()?;
        block.memory_bytes = size_of::<Self>() + len + block.columns_bytes();
        Ok(block)
    }

    /// Checks what the decoders of the columns do not.
    fn check(&self) -> Result<(), Corrupt> {
        if self.types.as_ref().is_some_and(|types| types.exceeds(self.names.len() as u64)) {
            return Err(Corrupt("it has an unknown type"));
        }
        let are_valid = match &self.commits {
            Commits::Runs { starts, millis } => {
                starts.is_sorted()
                    && starts.first() <= self.seqs.iter().min()
                    && !starts.is_empty()
                    && millis.iter().all(|&millis| millis < SIGN)
            }
            Commits::Rows(millis) => !millis.exceeds(SIGN),
        };
        if are_valid { Ok(()) } else { Err(Corrupt("the time of a commit is invalid")) }
    }

    /// The memory of the decoded columns in bytes, in addition to the encoded bytes.
    fn columns_bytes(&self) -> usize {
        let commits = match &self.commits {
            Commits::Runs { starts, .. } => 2 * size_of_val(starts.as_slice()),
            Commits::Rows(_) => 0,
        };
        let payloads = match &self.payloads {
            PayloadColumns::Documents(documents) => documents.memory_bytes(),
            PayloadColumns::Shapes(payloads) => payloads.memory_bytes(),
        };
        2 * size_of_val(self.times.as_slice()) + size_of_val(self.names.as_slice()) + commits + payloads
    }

    /// The length of the head of a block of this version that has these bytes; 0 if it has none.
    pub(super) fn head_len(bytes: &Bytes, version: Version) -> Result<usize, Corrupt> {
        match version {
            Version::Two => Ok(0),
            Version::Three => Ok(Head::decode(bytes)?.len()),
        }
    }

    /// Checks every row, and returns the index entry that the block must have. `code` returns the code of a type; `ids`
    /// is called with each row that has a caller's id, and the id.
    pub(super) fn summarize(
        &self,
        code: impl FnMut(&[u8]) -> Option<u32>,
        mut ids: impl FnMut(usize, &[u8]),
    ) -> Result<Summary, Corrupt> {
        let codes: Option<Vec<u32>> = self.names().map(code).collect();
        let mut codes = codes.ok_or(Corrupt("it has an unknown type"))?;
        codes.sort_unstable();
        let (first, last) = (self.sort_key(0), self.sort_key(self.len().saturating_sub(1)));
        let mut summary = Summary {
            rows: self.len(),
            text_bytes: 0,
            first,
            last,
            seqs: (first.seq, first.seq),
            codes,
            has_ids: false,
        };
        let mut text = RowText::default();
        let mut before = None;
        for row in 0..self.len() {
            let key = self.sort_key(row);
            if before.replace(key).is_some_and(|before| before >= key) {
                return Err(Corrupt("its rows are out of order"));
            }
            text.load(self, row).map_err(|_| Corrupt("a text is invalid"))?;
            let (id, payload) = (text.id(), text.payload_bytes());
            let is_text =
                [id, payload, self.type_name(row)].into_iter().all(|bytes| core::str::from_utf8(bytes).is_ok());
            if !is_text || payload.is_empty() || self.type_name(row).is_empty() {
                return Err(Corrupt("a text is empty or not UTF-8"));
            }
            summary.seqs = (summary.seqs.0.min(key.seq), summary.seqs.1.max(key.seq));
            summary.text_bytes += (id.len() + payload.len()) as u64;
            if !id.is_empty() {
                summary.has_ids = true;
                ids(row, id);
            }
        }
        Ok(summary)
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Its memory in bytes: the encoded bytes, which it keeps, and the decoded columns.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// A row's sort key.
    pub(crate) fn sort_key(&self, row: usize) -> SortKey {
        let value = |column: &[u64]| *column.get(row).expect(ROW);
        SortKey { time: (value(&self.times) ^ SIGN) as i64, seq: value(&self.seqs) }
    }

    /// When a row was committed, in milliseconds since the Unix epoch.
    pub(crate) fn millis(&self, row: usize) -> i64 {
        match &self.commits {
            Commits::Rows(millis) => millis.get(row) as i64,
            Commits::Runs { starts, millis } => {
                let seq = self.sort_key(row).seq;
                let after = starts.partition_point(|&start| start <= seq);
                let run = after.checked_sub(1).and_then(|run| millis.get(run));
                *run.expect("decoding refuses a block whose first run begins after a row") as i64
            }
        }
    }

    /// A row's type, as an index into the block's names.
    pub(crate) fn type_index(&self, row: usize) -> usize {
        self.types.as_ref().map_or(0, |types| types.get(row) as usize)
    }

    /// The names of the rows' types.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// The name of a row's type.
    pub(crate) fn type_name(&self, row: usize) -> &[u8] {
        self.names.get(self.type_index(row)).expect("decoding refuses rows whose types are not named")
    }

    /// The row with this sequence number, if there is one.
    pub(crate) fn row_of_seq(&self, seq: u64) -> Option<usize> {
        self.seqs.iter().position(|&other| other == seq)
    }

    /// The columns of the payloads; `None` in version 2.
    pub(super) fn documents(&self) -> Option<&Documents> {
        match &self.payloads {
            PayloadColumns::Documents(documents) => Some(documents),
            PayloadColumns::Shapes(_) => None,
        }
    }

    /// Appends the caller's id of a row to `out`, if it has one.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the id cannot be decoded.
    pub(crate) fn append_id(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        match &self.ids {
            Some(ids) => ids.append(row, out).map_err(|error| damaged_text(self.sort_key(row).seq, &error)),
            None => Ok(()),
        }
    }

    /// Appends a row's payload to `out`.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the payload cannot be decoded.
    pub(crate) fn append_payload(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Damage> {
        let appended = match &self.payloads {
            PayloadColumns::Documents(documents) => documents.append(row, out),
            PayloadColumns::Shapes(payloads) => payloads.append(row, out),
        };
        appended.map_err(|error| damaged_text(self.sort_key(row).seq, &error))
    }
}

impl Commits {
    fn decode(cursor: &mut Cursor, rows: usize) -> Result<Self, Corrupt> {
        let runs = cursor.length(rows)?;
        let (starts, millis) = (decode_series(cursor, runs)?, decode_series(cursor, runs)?);
        Ok(Self::Runs { starts, millis })
    }
}

/// Decodes all of a page.
fn whole<T>(mut cursor: Cursor, decode: impl FnOnce(&mut Cursor) -> Result<T, Corrupt>) -> Result<T, Corrupt> {
    let decoded = decode(&mut cursor)?;
    if cursor.is_empty() { Ok(decoded) } else { Err(Corrupt("a page has unused bytes")) }
}
