//! Blocks: some hundred compressed events with a checksum.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::checksum::Crc32c;
use crate::codec::{
    Corrupt, Cursor, Packed, PayloadEncoder, Payloads, Texts, TextsEncoder, encode_texts, pack, put_varint,
};
use crate::damage::Damage;
use crate::segment::tally::Tally;
use crate::segment::{RowText, SortKey, damaged_text};

use super::put_crc;

/// The most rows of a block. Indexes of rows must fit into 16 bits.
pub(super) const ROWS_MAX: usize = 4096;

/// Some rows of a sealed segment, sorted by time and then by sequence number, which are read and checked together. A
/// block is self-contained, so that it can be copied to another segment as it is.
///
/// | bytes | what |
/// |---|---|
/// | 4 | CRC-32C of all bytes that follow |
/// | varint | number of rows n, 1 to 4096 |
/// | varint | number of types t |
/// | varint, … | t times: length of a type's name, and the name |
/// | packed | n timestamps, nanoseconds since the Unix epoch, with the sign bit flipped |
/// | packed | n sequence numbers |
/// | packed | n times of the commits, milliseconds since the Unix epoch |
/// | packed | n types, as indexes into the names; absent if t is 1 |
/// | 1 | whether any row has a caller's id, 0 or 1 |
/// | texts | n callers' ids, empty where there is none; absent if no row has one |
/// | payloads | n payloads |
#[derive(Clone, Debug)]
pub(crate) struct Block {
    names: Vec<Bytes>,
    times: Packed,
    seqs: Packed,
    millis: Packed,
    types: Option<Packed>,
    ids: Option<Texts>,
    payloads: Payloads,
    /// Its memory in bytes.
    memory_bytes: usize,
}

/// An event to be written to a sealed segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) sort_key: SortKey,
    /// When it was committed.
    pub(crate) millis: i64,
    /// The code of its type in the writer's plan.
    pub(crate) code: u32,
    /// The caller's id; empty if there is none.
    pub(crate) id: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// Collects the rows of a block. The buffers are reused for the next one.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    times: Vec<u64>,
    seqs: Vec<u64>,
    millis: Vec<u64>,
    types: Vec<u64>,
    /// The codes of the block's types, in the order of first use.
    codes: Vec<u32>,
    ids: Vec<u8>,
    id_ends: Vec<u32>,
    payloads: Vec<u8>,
    payload_ends: Vec<u32>,
}

/// Encoders of columns, which keep their buffers from block to block.
#[derive(Debug, Default)]
pub(super) struct Encoders {
    ids: TextsEncoder,
    payloads: PayloadEncoder,
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

/// Flipping the sign bit maps signed integers to unsigned ones in the same order.
const SIGN: u64 = 1 << 63;

impl Summary {
    /// The number of rows, and the bytes of their ids and payloads.
    pub(crate) fn tally(&self) -> Tally {
        Tally { events: self.rows as u64, bytes: self.text_bytes }
    }
}

impl BlockBuilder {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Bytes of ids and payloads so far.
    pub(super) fn text_bytes(&self) -> usize {
        self.ids.len() + self.payloads.len()
    }

    /// Appends a row. Rows must come in order, and the text must stay below 4 GiB.
    pub(super) fn push(&mut self, row: &Row<'_>) {
        self.times.push(row.sort_key.time as u64 ^ SIGN);
        self.seqs.push(row.sort_key.seq);
        self.millis.push(u64::try_from(row.millis).expect("no event is committed before 1970"));
        let known = self.codes.iter().rposition(|&code| code == row.code);
        let local = known.unwrap_or_else(|| {
            self.codes.push(row.code);
            self.codes.len() - 1
        });
        self.types.push(local as u64);
        self.ids.extend_from_slice(row.id);
        self.id_ends.push(self.ids.len() as u32);
        self.payloads.extend_from_slice(row.payload);
        self.payload_ends.push(self.payloads.len() as u32);
    }

    /// The rows' sequence numbers.
    pub(super) fn seqs(&self) -> &[u64] {
        &self.seqs
    }

    /// The callers' ids with their rows.
    pub(super) fn ids(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        let ids = self.id_ends.iter().map(move |&end| {
            let range = core::mem::replace(&mut start, end as usize)..end as usize;
            self.ids.get(range).expect("ends of ids ascend and lie within the buffer")
        });
        ids.enumerate().filter(|(_, id)| !id.is_empty())
    }

    /// Appends the encoded block to `out`, and begins the next one. `name` returns the name of a type.
    pub(super) fn encode<'a>(
        &mut self,
        name: impl Fn(u32) -> &'a [u8],
        encoders: &mut Encoders,
        out: &mut Vec<u8>,
    ) -> Summary {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        put_varint(self.len() as u64, out);
        put_varint(self.codes.len() as u64, out);
        for &code in &self.codes {
            let name = name(code);
            put_varint(name.len() as u64, out);
            out.extend_from_slice(name);
        }
        pack(&self.times, out);
        pack(&self.seqs, out);
        pack(&self.millis, out);
        if self.codes.len() > 1 {
            pack(&self.types, out);
        }
        out.push(u8::from(!self.ids.is_empty()));
        if !self.ids.is_empty() {
            encode_texts(&self.ids, &self.id_ends, &mut encoders.ids, out);
        }
        encoders.payloads.encode(&self.payloads, &self.payload_ends, out);
        put_crc(out, start);
        let summary = self.summary();
        self.clear();
        summary
    }

    fn summary(&self) -> Summary {
        let rows = "a block has rows";
        let key = |time: Option<&u64>, seq: Option<&u64>| SortKey {
            time: (time.expect(rows) ^ SIGN) as i64,
            seq: *seq.expect(rows),
        };
        let seqs = || self.seqs.iter().copied();
        let mut codes = self.codes.clone();
        codes.sort_unstable();
        Summary {
            rows: self.len(),
            text_bytes: self.text_bytes() as u64,
            first: key(self.times.first(), self.seqs.first()),
            last: key(self.times.last(), self.seqs.last()),
            seqs: (seqs().min().expect(rows), seqs().max().expect(rows)),
            codes,
            has_ids: !self.ids.is_empty(),
        }
    }

    fn clear(&mut self) {
        let Self { times, seqs, millis, types, codes, ids, id_ends, payloads, payload_ends } = self;
        [times, seqs, millis, types].into_iter().for_each(Vec::clear);
        [codes, id_ends, payload_ends].into_iter().for_each(Vec::clear);
        [ids, payloads].into_iter().for_each(Vec::clear);
    }
}

impl Block {
    /// Checks and decodes a block that has exactly these bytes.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Corrupt> {
        let (crc, content) = bytes.split_first_chunk::<4>().ok_or(Corrupt("it ends too early"))?;
        if Crc32c::of(content) != u32::from_le_bytes(*crc) {
            return Err(Corrupt("its checksum is wrong"));
        }
        Ok(Self::parse(bytes)?.0)
    }

    /// Checks and decodes a block at the beginning of these bytes; also returns its length.
    pub(super) fn decode_front(bytes: &Bytes) -> Result<(Self, usize), Corrupt> {
        let (block, len) = Self::parse(bytes)?;
        Self::decode(&bytes.slice(..len))?;
        Ok((block, len))
    }

    /// Decodes a block at the beginning of these bytes without checking the checksum; also returns its length.
    fn parse(bytes: &Bytes) -> Result<(Self, usize), Corrupt> {
        let mut cursor = Cursor::new(bytes.clone());
        let _crc = cursor.take(4)?;
        let rows = cursor.length(ROWS_MAX)?;
        let types = cursor.length(rows)?;
        if rows == 0 || types == 0 {
            return Err(Corrupt("it has no rows"));
        }
        let mut names = Vec::new();
        for _ in 0..types {
            let len = cursor.length(bytes.len())?;
            names.push(cursor.take(len)?);
        }
        let mut block = Self {
            names,
            times: Packed::decode(&mut cursor, rows)?,
            seqs: Packed::decode(&mut cursor, rows)?,
            millis: Packed::decode(&mut cursor, rows)?,
            types: if types > 1 { Some(Packed::decode(&mut cursor, rows)?) } else { None },
            ids: if cursor.byte()? > 0 { Some(Texts::decode(&mut cursor, rows)?) } else { None },
            payloads: Payloads::decode(&mut cursor, rows)?,
            memory_bytes: 0,
        };
        if block.types.as_ref().is_some_and(|types| types.exceeds(block.names.len() as u64)) {
            return Err(Corrupt("it has an unknown type"));
        }
        if block.millis.exceeds(1 << 63) {
            return Err(Corrupt("the time of a commit is invalid"));
        }
        let len = bytes.len() - cursor.len();
        block.memory_bytes =
            size_of::<Self>() + len + block.names.len() * size_of::<Bytes>() + block.payloads.memory_bytes();
        Ok((block, len))
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
        SortKey { time: (self.times.get(row) ^ SIGN) as i64, seq: self.seqs.get(row) }
    }

    /// When a row was committed, in milliseconds since the Unix epoch.
    pub(crate) fn millis(&self, row: usize) -> i64 {
        self.millis.get(row) as i64
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
        self.seqs.iter().position(|other| other == seq)
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
        self.payloads.append(row, out).map_err(|error| damaged_text(self.sort_key(row).seq, &error))
    }
}
