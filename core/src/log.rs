//! A batch as a record of the log: a head, then the batch's index and text as they are.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `ARGR` |
//! | 4, 4 | length of the index, length of the text; both zero in a *mark*, a record without events |
//! | 4 | CRC-32C of index and text |
//! | 8 | offset of this record in the log |
//! | 8 | everything in the log before this offset was durable when the record was made |
//! | 8 | sequence number of the first event; in a mark, of the next one |
//! | 8 | time of the commit, milliseconds since the epoch |
//! | 4 | CRC-32C of the head before, or what the manifest says for the first record |
//! | 4 | CRC-32C of the 52 bytes before |
//!
//! All integers are little-endian.
//!
//! A medium may give back what a log file held in an earlier life; such a stale record is told by its offset. That a
//! record is the very one that was written behind its predecessor is told by the chain of checksums. What was durable
//! once is damaged if it is wrong, and what was not may be torn: which of the two holds for a place is said by the
//! records behind it. Not every whole head among the bytes behind it is one of a record, though: callers choose
//! timestamps, which lie in the log as they are.

use bytes::Bytes;

use crate::batch::Batch;
use crate::checksum::Crc32c;
use crate::column::{i64_at, u32_at, u64_at};
use crate::segment::{INDEX_HEADER_BYTES, Rows};

const MAGIC: &[u8; 4] = b"ARGR";

/// Length of a record's head.
pub(crate) const HEAD_BYTES: usize = 56;

/// Length of what is looked at behind a head to see whether it is one.
pub(crate) const BODY_HEAD_BYTES: usize = INDEX_HEADER_BYTES;

/// What a row takes in an index without its id, its type and its text.
const ROW_BYTES: u64 = 28;

/// A place in the log where a record begins, or began, and the sequence number of the first event from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) next_seq: u64,
}

/// A record's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHead {
    pub(crate) index_len: u32,
    pub(crate) text_len: u32,
    pub(crate) body_crc: u32,
    pub(crate) offset: u64,
    pub(crate) durable: u64,
    pub(crate) first_seq: u64,
    pub(crate) millis: i64,
    pub(crate) chain: u32,
}

impl RecordHead {
    /// A head without events.
    pub(crate) fn mark(offset: u64, durable: u64, next_seq: u64, millis: i64, chain: u32) -> Self {
        let body_crc = Crc32c::of(&[]);
        Self { index_len: 0, text_len: 0, body_crc, offset, durable, first_seq: next_seq, millis, chain }
    }

    /// The same head with the events of a batch behind it.
    pub(crate) fn with(self, batch: &Batch) -> Self {
        let (index, text) = (batch.rows().index(), batch.rows().text());
        Self { index_len: index.len() as u32, text_len: text.len() as u32, body_crc: batch.crc(), ..self }
    }

    /// The bytes, and their checksum, which is the next record's chain.
    pub(crate) fn encode(&self) -> ([u8; HEAD_BYTES], u32) {
        let mut head = [0; HEAD_BYTES];
        let mut rest = head.as_mut_slice();
        put(&mut rest, MAGIC);
        put(&mut rest, &self.index_len.to_le_bytes());
        put(&mut rest, &self.text_len.to_le_bytes());
        put(&mut rest, &self.body_crc.to_le_bytes());
        put(&mut rest, &self.offset.to_le_bytes());
        put(&mut rest, &self.durable.to_le_bytes());
        put(&mut rest, &self.first_seq.to_le_bytes());
        put(&mut rest, &self.millis.to_le_bytes());
        put(&mut rest, &self.chain.to_le_bytes());
        let (covered, place) = head.split_at_mut(HEAD_BYTES - 4);
        let crc = Crc32c::of(covered);
        place.copy_from_slice(&crc.to_le_bytes());
        (head, crc)
    }

    /// The head in these bytes and its checksum, if they are one and were not changed.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let (covered, crc) = bytes.get(..HEAD_BYTES)?.split_at(HEAD_BYTES - 4);
        let crc = u32_at(crc, 0, 0);
        if !covered.starts_with(MAGIC) || Crc32c::of(covered) != crc {
            return None;
        }
        let head = Self {
            index_len: u32_at(covered, 4, 0),
            text_len: u32_at(covered, 8, 0),
            body_crc: u32_at(covered, 12, 0),
            offset: u64_at(covered, 16, 0),
            durable: u64_at(covered, 24, 0),
            first_seq: u64_at(covered, 32, 0),
            millis: i64_at(covered, 40, 0),
            chain: u32_at(covered, 48, 0),
        };
        Some((head, crc))
    }

    /// Length of what follows the head.
    pub(crate) fn body_len(&self) -> u64 {
        u64::from(self.index_len) + u64::from(self.text_len)
    }

    /// Most events that can follow the head: each takes so many bytes of the index at least.
    pub(crate) fn events_max(&self) -> u64 {
        u64::from(self.index_len) / ROW_BYTES
    }

    /// Whether there are no events.
    pub(crate) fn is_mark(&self) -> bool {
        self.body_len() == 0
    }

    /// Whether this is the head of a record that was written at `at`, and not one that a caller has made there. `body`
    /// is what follows it, or the first [`BODY_HEAD_BYTES`] of that; `place` is one before it, or any that is known of
    /// the log.
    ///
    /// Its offset is where it stands, it says of nothing behind itself that it was durable, no more events come before
    /// it than there is room for, and what follows begins as a body does. All of that holds for each head that an
    /// engine writes. A caller, who cannot write zeros into texts, can make a whole head of timestamps; but a mark, and
    /// what a body begins with, have twelve zeros in a row behind bytes that are not all zero. Timestamps ascend, so
    /// that there one would be less than one before it; in a column of ordinals, two would be equal; and a hash would
    /// have to take one given value in nearly all of its bits. There remain batches of so few events that the zeros are
    /// found in their types: then the head says that it was durable itself, or its sequence number is 2³⁷ at least, for
    /// which a log has no room.
    ///
    /// The price: a head that was torn off from the first bytes of its body says nothing any more about the records
    /// before it.
    pub(crate) fn is_credible(&self, at: u64, body: &[u8], place: Option<Place>) -> bool {
        let room = |place: Place| at.saturating_sub(place.offset) / ROW_BYTES;
        let seq_max = place.map_or(u64::MAX, |place| place.next_seq.saturating_add(room(place)));
        let begins_well = if self.is_mark() {
            self.body_crc == Crc32c::of(&[])
        } else {
            Rows::may_begin_with(body, self.index_len, self.text_len)
        };
        self.offset == at && self.durable <= at && self.first_seq <= seq_max && begins_well
    }

    /// Whether not a bit of what follows the head has changed.
    pub(crate) fn vouches_for(&self, body: &Bytes) -> bool {
        body.len() as u64 == self.body_len() && Crc32c::of(body) == self.body_crc
    }

    /// The rows in what follows the head, if it is any; a record without rows is none.
    pub(crate) fn decode_body(&self, body: &Bytes) -> Option<Rows> {
        if body.len() as u64 != self.body_len() {
            return None;
        }
        let index_len = self.index_len as usize;
        Rows::open(body.slice(..index_len), body.slice(index_len..)).ok().filter(|rows| !rows.is_empty())
    }
}

/// Where the next head may begin in these bytes.
pub(crate) fn find_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, MAGIC)
}

/// Writes a field, and moves behind it.
fn put(rest: &mut &mut [u8], field: &[u8]) {
    let (place, behind) = core::mem::take(rest).split_at_mut(field.len());
    place.copy_from_slice(field);
    *rest = behind;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::batch::{BatchBuilder, NewEvent};
    use crate::event::{EventType, Payload, Timestamp};

    #[test]
    fn a_head_survives_and_every_changed_bit_is_noticed() {
        let head = RecordHead {
            index_len: 1,
            text_len: 2,
            body_crc: 3,
            offset: u64::MAX,
            durable: 5,
            first_seq: 6,
            millis: -7,
            chain: 8,
        };
        let (bytes, crc) = head.encode();
        assert_eq!(RecordHead::decode(&bytes), Some((head, crc)));
        assert_eq!(head.body_len(), 3);
        for bit in 0..HEAD_BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHead::decode(&changed), None, "bit {bit}");
        }
        assert_eq!(RecordHead::decode(&bytes[..HEAD_BYTES - 1]), None);
    }

    #[test]
    fn a_head_is_credible_where_it_stands_and_with_what_follows_it() {
        let place = Some(Place { offset: 1000, next_seq: 5 });
        let mark = RecordHead::mark(1280, 1280, 15, 0, 0);
        assert!(mark.is_credible(1280, b"whatever", place));
        assert!(!mark.is_credible(1281, b"", place), "it stands elsewhere");
        assert!(!RecordHead { durable: 1281, ..mark }.is_credible(1280, b"", place), "it was not yet there");
        let beyond = RecordHead { first_seq: 16, ..mark };
        assert!(!beyond.is_credible(1280, b"", place), "ten events have room before it");
        assert!(beyond.is_credible(1280, b"", None));
        assert!(!RecordHead { body_crc: 1, ..mark }.is_credible(1280, b"", place), "nothing has another checksum");
        let mut builder = BatchBuilder::new();
        let event = NewEvent {
            event_type: EventType::parse("click").unwrap(),
            timestamp: Timestamp::from_nanos(7),
            payload: Payload::parse("{}").unwrap(),
            id: None,
        };
        builder.push(event).unwrap();
        let batch = builder.finish();
        let head = mark.with(&batch);
        let body = &batch.rows().index()[..BODY_HEAD_BYTES];
        assert!(head.is_credible(1280, body, place));
        assert!(!head.is_credible(1280, &body[..BODY_HEAD_BYTES - 1], place));
        for byte in 0..BODY_HEAD_BYTES {
            let mut changed = body.to_vec();
            changed[byte] ^= 1;
            assert!(!head.is_credible(1280, &changed, place), "byte {byte}");
        }
    }

    #[test]
    fn a_head_is_found_among_other_bytes() {
        let (bytes, _) = RecordHead::mark(9, 9, 1, 0, 0).encode();
        let mut haystack = b"ARG AARGX".to_vec();
        haystack.extend_from_slice(&bytes);
        assert_eq!(find_head(&haystack), Some(9));
        assert!(RecordHead::decode(haystack.get(9..).unwrap()).unwrap().0.is_mark());
        assert_eq!(find_head(b"ARGA"), None);
    }
}
