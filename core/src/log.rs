//! Log records: a header, and then the index and the text of a batch, an erasure, or a skip.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `ARGR` |
//! | 4, 4 | length of the index, length of the text; both 0 in a *durability mark*, a record without a body |
//! | 4 | CRC-32C of index and text |
//! | 8 | offset of this record in the log |
//! | 8 | the log before this offset was durable when the record was written |
//! | 8 | sequence number of the first event; in a record without events, of the next one |
//! | 8 | time of the commit, milliseconds since the Unix epoch |
//! | 4 | chain: CRC-32C of the header before; for the first record, the manifest has it |
//! | 4 | CRC-32C of the 52 bytes before |
//!
//! An *erasure* erases the stored events that a filter selects. Its index has 32 bytes, fewer than that of any batch,
//! and its text is the filter as JSON:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | 0: no events |
//! | 4 | `ERAS` |
//! | 8 | number of the erasure: 1 for the first one, 2 for the second one, … |
//! | 4 | length of the text |
//! | 12 | zero |
//!
//! A *skip* says that the next events have higher numbers: those between have no events, and never had any here. It is
//! written when events are imported with their numbers. Its index has 32 bytes, and it has no text:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | 0: no events |
//! | 4 | `SKIP` |
//! | 8 | sequence number of the next event |
//! | 16 | zero |
//!
//! All integers are little-endian.
//!
//! The offset identifies stale records: a medium may return old content of a reused log file. The chain proves that a
//! record was written right after the one before it. Later records tell damage from a torn tail: bytes that are wrong
//! are damaged if a later record says that they were durable. Otherwise they may be torn. An intact header need not be
//! that of a record, because callers choose timestamps, and the log has their bytes unchanged.

use bytes::Bytes;

use crate::batch::Batch;
use crate::checksum::Crc32c;
use crate::column::{i64_at, u32_at, u64_at};
use crate::segment::{INDEX_HEADER_BYTES, Rows};

const MAGIC: &[u8; 4] = b"ARGR";

/// Marks the index of an erasure.
const ERASURE_MAGIC: &[u8; 4] = b"ERAS";

/// Marks the index of a skip.
const SKIP_MAGIC: &[u8; 4] = b"SKIP";

/// The highest sequence number to which a skip may lead. The timestamps of a batch can only imitate a header with a
/// higher one, see [`RecordHeader::is_credible`].
pub(crate) const SKIP_SEQ_MAX: u64 = (1 << 37) - 1;

/// Length of a record's header.
pub(crate) const HEADER_BYTES: usize = 56;

/// The number of bytes after a header that show whether it belongs to a record.
pub(crate) const BODY_HEADER_BYTES: usize = INDEX_HEADER_BYTES;

/// Bytes of a row in the index, without id, type and text.
const ROW_BYTES: u64 = 28;

/// The most events for which a part of the log of this length has space.
pub(crate) fn events_max_in(bytes: u64) -> u64 {
    bytes / ROW_BYTES
}

/// An offset in the log at which a record begins, and the sequence number of the first event from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogPosition {
    pub(crate) offset: u64,
    pub(crate) next_seq: u64,
    /// The number of the first erasure from there on.
    pub(crate) next_erasure: u64,
}

/// What an intact record has after its header.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Nothing: it is a durability mark.
    Mark,
    /// At least one event.
    Events(Rows),
    /// The number of an erasure, and its filter as JSON.
    Erasure(u64, Bytes),
    /// A skip to this sequence number.
    Skip(u64),
    /// Something that this version does not know.
    Unknown,
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) index_len: u32,
    pub(crate) text_len: u32,
    pub(crate) body_crc: u32,
    pub(crate) offset: u64,
    pub(crate) durable: u64,
    pub(crate) first_seq: u64,
    pub(crate) millis: i64,
    pub(crate) chain: u32,
}

impl RecordHeader {
    /// The header of a durability mark.
    pub(crate) fn mark(offset: u64, durable: u64, next_seq: u64, millis: i64, chain: u32) -> Self {
        let body_crc = Crc32c::of(&[]);
        Self { index_len: 0, text_len: 0, body_crc, offset, durable, first_seq: next_seq, millis, chain }
    }

    /// The same header for a record with the events of a batch.
    pub(crate) fn with(self, batch: &Batch) -> Self {
        let (index, text) = (batch.rows().index(), batch.rows().text());
        Self { index_len: index.len() as u32, text_len: text.len() as u32, body_crc: batch.crc(), ..self }
    }

    /// The same header for a record of an erasure with this number, and the index of that record. `text` is the filter
    /// as JSON.
    pub(crate) fn with_erasure(self, number: u64, text: &[u8]) -> (Self, [u8; INDEX_HEADER_BYTES]) {
        let mut index = [0; INDEX_HEADER_BYTES];
        let mut rest = index.as_mut_slice();
        put(&mut rest, &0u32.to_le_bytes());
        put(&mut rest, ERASURE_MAGIC);
        put(&mut rest, &number.to_le_bytes());
        put(&mut rest, &(text.len() as u32).to_le_bytes());
        let mut crc = Crc32c::new();
        crc.update(&index);
        crc.update(text);
        let (index_len, text_len) = (index.len() as u32, text.len() as u32);
        (Self { index_len, text_len, body_crc: crc.finish(), ..self }, index)
    }

    /// The same header for a record of a skip to this sequence number, and the index of that record.
    pub(crate) fn with_skip(self, next_seq: u64) -> (Self, [u8; INDEX_HEADER_BYTES]) {
        let mut index = [0; INDEX_HEADER_BYTES];
        let mut rest = index.as_mut_slice();
        put(&mut rest, &0u32.to_le_bytes());
        put(&mut rest, SKIP_MAGIC);
        put(&mut rest, &next_seq.to_le_bytes());
        (Self { index_len: index.len() as u32, text_len: 0, body_crc: Crc32c::of(&index), ..self }, index)
    }

    /// The encoded header and its checksum, which is the chain of the next record.
    pub(crate) fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut header = [0; HEADER_BYTES];
        let mut rest = header.as_mut_slice();
        put(&mut rest, MAGIC);
        put(&mut rest, &self.index_len.to_le_bytes());
        put(&mut rest, &self.text_len.to_le_bytes());
        put(&mut rest, &self.body_crc.to_le_bytes());
        put(&mut rest, &self.offset.to_le_bytes());
        put(&mut rest, &self.durable.to_le_bytes());
        put(&mut rest, &self.first_seq.to_le_bytes());
        put(&mut rest, &self.millis.to_le_bytes());
        put(&mut rest, &self.chain.to_le_bytes());
        let (covered, crc_field) = header.split_at_mut(HEADER_BYTES - 4);
        let crc = Crc32c::of(covered);
        crc_field.copy_from_slice(&crc.to_le_bytes());
        (header, crc)
    }

    /// The header at the start of these bytes and its checksum, if it is intact.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let (covered, crc) = bytes.get(..HEADER_BYTES)?.split_at(HEADER_BYTES - 4);
        let crc = u32_at(crc, 0, 0);
        if !covered.starts_with(MAGIC) || Crc32c::of(covered) != crc {
            return None;
        }
        let header = Self {
            index_len: u32_at(covered, 4, 0),
            text_len: u32_at(covered, 8, 0),
            body_crc: u32_at(covered, 12, 0),
            offset: u64_at(covered, 16, 0),
            durable: u64_at(covered, 24, 0),
            first_seq: u64_at(covered, 32, 0),
            millis: i64_at(covered, 40, 0),
            chain: u32_at(covered, 48, 0),
        };
        Some((header, crc))
    }

    /// Length of the body, which follows the header.
    pub(crate) fn body_len(&self) -> u64 {
        u64::from(self.index_len) + u64::from(self.text_len)
    }

    /// The most events that the body can have: each takes at least [`ROW_BYTES`] of the index, after its fixed part.
    pub(crate) fn events_max(&self) -> u64 {
        events_max_in(u64::from(self.index_len).saturating_sub(INDEX_HEADER_BYTES as u64))
    }

    /// Whether this is a durability mark.
    pub(crate) fn is_mark(&self) -> bool {
        self.body_len() == 0
    }

    /// Whether this header, found at offset `at`, belongs to a record that was written there, and is not formed by the
    /// timestamps of a batch. `body` has the bytes after the header, at least [`BODY_HEADER_BYTES`] of them if there
    /// are as many. `before` is a position in the log at or before `at`, if one is known.
    ///
    /// The header of a record names its own offset, and says that the log was durable up to that offset at most. Its
    /// sequence number leaves space for the events between `before` and `at`, or a skip there may lead to it. If it is
    /// no durability mark, an index follows.
    ///
    /// A caller cannot imitate this. A durability mark, and the beginning of an index, also that of an erasure or a
    /// skip, have twelve zero bytes in a row after bytes that are not all zero. These zeros cannot be in
    ///
    /// - timestamps, which ascend: one with such zeros would be less than an earlier one;
    /// - ordinals: two of them would be equal;
    /// - the hash of an id: nearly all of its bits would have to be chosen;
    /// - texts, also those of filters, which have no zero bytes.
    ///
    /// They can only be in the column of types of a batch with very few events. The header before them then says that
    /// the log was durable beyond its own offset, or has a sequence number of at least 2³⁷, which no log has space for,
    /// and to which no skip leads.
    ///
    /// The price: a header without the first bytes of its body proves nothing about the records before it.
    pub(crate) fn is_credible(&self, at: u64, body: &[u8], before: Option<LogPosition>) -> bool {
        let events_max = |before: LogPosition| events_max_in(at.saturating_sub(before.offset));
        let seq_max =
            before.map_or(u64::MAX, |before| before.next_seq.saturating_add(events_max(before)).max(SKIP_SEQ_MAX));
        let has_body = if self.is_mark() {
            self.body_crc == Crc32c::of(&[])
        } else {
            Rows::may_begin_with(body, self.index_len, self.text_len)
                || self.begins_erasure(body)
                || self.skip_target(body).is_some()
        };
        self.offset == at && self.durable <= at && self.first_seq <= seq_max && has_body
    }

    /// Whether the body matches its checksum.
    pub(crate) fn matches_body(&self, body: &Bytes) -> bool {
        body.len() as u64 == self.body_len() && Crc32c::of(body) == self.body_crc
    }

    /// The content of a body that [matches](Self::matches_body) its checksum; `None` if it has invalid rows.
    pub(crate) fn decode_body(&self, body: &Bytes) -> Option<Body> {
        if self.is_mark() {
            return Some(Body::Mark);
        }
        if body.len() as u64 != self.body_len() {
            return None;
        }
        let index_len = self.index_len as usize;
        let (index, text) = (body.slice(..index_len), body.slice(index_len..));
        if let Some(number) = self.erasure_number(&index) {
            return Some(Body::Erasure(number, text));
        }
        if let Some(next_seq) = self.skip_target(&index) {
            return Some(Body::Skip(next_seq));
        }
        // No version has written a batch without events.
        if index.starts_with(&[0; 4]) {
            return Some(Body::Unknown);
        }
        Rows::open(index, text).filter(|rows| !rows.is_empty()).map(Body::Events)
    }

    /// The number of the erasure, if the body begins with these bytes and is that of an erasure.
    pub(crate) fn erasure_number(&self, body: &[u8]) -> Option<u64> {
        self.begins_erasure(body).then(|| u64_at(body, 8, 0))
    }

    /// The sequence number of the next event, if these bytes are the body of a skip.
    pub(crate) fn skip_target(&self, body: &[u8]) -> Option<u64> {
        let (fields, zeros) = body.get(..INDEX_HEADER_BYTES)?.split_at_checked(16)?;
        let next_seq = u64_at(fields, 8, 0);
        let is_skip = self.index_len as usize == INDEX_HEADER_BYTES
            && self.text_len == 0
            && u32_at(fields, 0, 0) == 0
            && fields.get(4..8) == Some(SKIP_MAGIC.as_slice())
            && next_seq > self.first_seq
            && next_seq <= SKIP_SEQ_MAX
            && zeros.iter().all(|&byte| byte == 0);
        is_skip.then_some(next_seq)
    }

    /// Whether the body of an erasure can begin with these bytes.
    fn begins_erasure(&self, body: &[u8]) -> bool {
        let Some((fields, zeros)) = body.get(..INDEX_HEADER_BYTES).and_then(|index| index.split_at_checked(20)) else {
            return false;
        };
        self.index_len as usize == INDEX_HEADER_BYTES
            && self.text_len > 0
            && u32_at(fields, 0, 0) == 0
            && fields.get(4..8) == Some(ERASURE_MAGIC.as_slice())
            && u32_at(fields, 16, 0) == self.text_len
            && zeros.iter().all(|&byte| byte == 0)
    }
}

/// The index of the next bytes that look like a header.
pub(crate) fn find_header(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, MAGIC)
}

/// Writes a field and advances past it.
fn put(rest: &mut &mut [u8], field: &[u8]) {
    let (target, after) = core::mem::take(rest).split_at_mut(field.len());
    target.copy_from_slice(field);
    *rest = after;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::batch::{BatchBuilder, NewEvent};
    use crate::event::{EventType, Payload, Timestamp};

    #[test]
    fn a_header_round_trips_and_every_flipped_bit_is_detected() {
        let header = RecordHeader {
            index_len: 1,
            text_len: 2,
            body_crc: 3,
            offset: u64::MAX,
            durable: 5,
            first_seq: 6,
            millis: -7,
            chain: 8,
        };
        let (bytes, crc) = header.encode();
        assert_eq!(RecordHeader::decode(&bytes), Some((header, crc)));
        assert_eq!(header.body_len(), 3);
        for bit in 0..HEADER_BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::decode(&changed), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&bytes[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn a_header_is_credible_only_at_its_offset_and_before_its_body() {
        let before = Some(LogPosition { offset: 1000, next_seq: 5, next_erasure: 1 });
        let mark = RecordHeader::mark(1280, 1280, 15, 0, 0);
        assert!(mark.is_credible(1280, b"any bytes", before));
        assert!(!mark.is_credible(1281, b"", before), "it names another offset");
        assert!(!RecordHeader { durable: 1281, ..mark }.is_credible(1280, b"", before), "durable beyond its offset");
        let skipped = RecordHeader { first_seq: SKIP_SEQ_MAX, ..mark };
        assert!(skipped.is_credible(1280, b"", before), "a skip may lead there");
        let beyond = RecordHeader { first_seq: SKIP_SEQ_MAX + 1, ..mark };
        assert!(!beyond.is_credible(1280, b"", before), "no skip leads there, and there is space for ten events");
        let far = Some(LogPosition { offset: 1000, next_seq: SKIP_SEQ_MAX, next_erasure: 1 });
        assert!(beyond.is_credible(1280, b"", far));
        assert!(beyond.is_credible(1280, b"", None));
        assert!(!RecordHeader { body_crc: 1, ..mark }.is_credible(1280, b"", before), "not the checksum of no bytes");
        let mut builder = BatchBuilder::new();
        let event = NewEvent {
            event_type: EventType::parse("click").unwrap(),
            timestamp: Timestamp::from_nanos(7),
            payload: Payload::parse("{}").unwrap(),
            id: None,
        };
        builder.push(event).unwrap();
        let batch = builder.finish();
        let header = mark.with(&batch);
        let body = &batch.rows().index()[..BODY_HEADER_BYTES];
        assert!(header.is_credible(1280, body, before));
        assert!(!header.is_credible(1280, &body[..BODY_HEADER_BYTES - 1], before));
        for byte in 0..BODY_HEADER_BYTES {
            let mut changed = body.to_vec();
            changed[byte] ^= 1;
            assert!(!header.is_credible(1280, &changed, before), "byte {byte}");
        }
    }

    #[test]
    fn an_erasure_round_trips_and_is_credible_only_before_its_index() {
        let text = Bytes::from_static(b"{}");
        let mark = RecordHeader::mark(1280, 1280, 15, 0, 0);
        let (header, index) = mark.with_erasure(7, &text);
        let body = Bytes::from([index.as_slice(), &text].concat());
        assert!(header.matches_body(&body) && header.is_credible(1280, &body, None));
        assert_eq!(header.events_max(), 0);
        let Some(Body::Erasure(7, decoded)) = header.decode_body(&body) else { panic!("it is an erasure") };
        assert_eq!(decoded, text);
        for byte in (0..8).chain(16..BODY_HEADER_BYTES) {
            let mut changed = body.to_vec();
            changed[byte] ^= 1;
            assert!(!header.is_credible(1280, &changed, None), "byte {byte}");
        }
    }

    #[test]
    fn a_skip_round_trips_and_is_credible_only_before_its_index() {
        let mark = RecordHeader::mark(1280, 1280, 15, 0, 0);
        let (header, index) = mark.with_skip(70);
        let body = Bytes::copy_from_slice(&index);
        assert!(header.matches_body(&body) && header.is_credible(1280, &body, None));
        assert_eq!(header.events_max(), 0);
        assert!(matches!(header.decode_body(&body), Some(Body::Skip(70))));
        for byte in (0..8).chain(16..BODY_HEADER_BYTES) {
            let mut changed = index;
            changed[byte] ^= 1;
            assert!(!header.is_credible(1280, &changed, None), "byte {byte}");
        }
        let (backwards, index) = mark.with_skip(15);
        assert!(!backwards.is_credible(1280, &index, None), "it leads nowhere");
        assert!(matches!(backwards.decode_body(&Bytes::copy_from_slice(&index)), Some(Body::Unknown)));
    }

    #[test]
    fn a_body_of_another_kind_is_told_apart_from_damage() {
        let mark = RecordHeader::mark(0, 0, 1, 0, 0);
        let (header, index) = mark.with_erasure(7, b"{}");
        let mut body = [index.as_slice(), b"{}"].concat();
        body[4..8].copy_from_slice(b"NEWS");
        assert!(matches!(header.decode_body(&body.into()), Some(Body::Unknown)));
        let rows = RecordHeader { index_len: 40, text_len: 0, ..mark };
        assert!(rows.decode_body(&Bytes::from_static(&[1; 40])).is_none());
    }

    #[test]
    fn a_header_is_found_among_other_bytes() {
        let (bytes, _) = RecordHeader::mark(9, 9, 1, 0, 0).encode();
        let mut haystack = b"ARG AARGX".to_vec();
        haystack.extend_from_slice(&bytes);
        assert_eq!(find_header(&haystack), Some(9));
        assert!(RecordHeader::decode(haystack.get(9..).unwrap()).unwrap().0.is_mark());
        assert_eq!(find_header(b"ARGA"), None);
    }
}
