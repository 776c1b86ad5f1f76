//! A batch as a record of the log: a head, then the batch's index and text as they are.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `ARGR` |
//! | 4, 4 | length of the index, length of the text |
//! | 4 | CRC-32C of index and text |
//! | 8 | sequence number of the first event |
//! | 8 | time of the commit, milliseconds since the epoch |
//! | 4 | zero |
//! | 4 | CRC-32C of the 36 bytes before |
//!
//! All integers are little-endian.

use bytes::Bytes;

use crate::batch::Batch;
use crate::checksum::Crc32c;
use crate::column::{i64_at, u32_at, u64_at};
use crate::segment::Rows;

const MAGIC: &[u8; 4] = b"ARGR";

/// Length of a record's head.
pub(crate) const HEAD_BYTES: usize = 40;

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) index_len: u32,
    pub(crate) text_len: u32,
    pub(crate) crc: u32,
    pub(crate) first_seq: u64,
    pub(crate) millis: i64,
}

impl RecordHead {
    /// The head for a batch at its place.
    pub(crate) fn new(batch: &Batch, first_seq: u64, millis: i64) -> Self {
        let (index, text) = (batch.rows().index(), batch.rows().text());
        Self { index_len: index.len() as u32, text_len: text.len() as u32, crc: batch.crc(), first_seq, millis }
    }

    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        let fields: [&[u8]; 7] = [
            MAGIC,
            &self.index_len.to_le_bytes(),
            &self.text_len.to_le_bytes(),
            &self.crc.to_le_bytes(),
            &self.first_seq.to_le_bytes(),
            &self.millis.to_le_bytes(),
            &[0; 4],
        ];
        for (slot, byte) in head.iter_mut().zip(fields.into_iter().flatten()) {
            *slot = *byte;
        }
        let (covered, crc) = head.split_at_mut(HEAD_BYTES - 4);
        crc.copy_from_slice(&Crc32c::of(covered).to_le_bytes());
        head
    }

    /// The head in these bytes, if they are one and were not changed.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.get(..HEAD_BYTES)?.split_at(HEAD_BYTES - 4);
        if !covered.starts_with(MAGIC) || Crc32c::of(covered) != u32_at(crc, 0, 0) {
            return None;
        }
        Some(Self {
            index_len: u32_at(covered, 4, 0),
            text_len: u32_at(covered, 8, 0),
            crc: u32_at(covered, 12, 0),
            first_seq: u64_at(covered, 16, 0),
            millis: i64_at(covered, 24, 0),
        })
    }

    /// Length of what follows the head.
    pub(crate) fn body_len(&self) -> usize {
        self.index_len as usize + self.text_len as usize
    }

    /// The rows in what follows the head, if not a bit of it has changed.
    pub(crate) fn decode_body(&self, body: &Bytes) -> Option<Rows> {
        if body.len() != self.body_len() || Crc32c::of(body) != self.crc {
            return None;
        }
        let index_len = self.index_len as usize;
        Rows::open(body.slice(..index_len), body.slice(index_len..)).ok()
    }
}
