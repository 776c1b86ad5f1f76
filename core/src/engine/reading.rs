//! Reads log records, for recovery, backups and checks, and whole blobs.

use alloc::format;
use alloc::string::String;
use core::ops::{ControlFlow, Range};
use core::{fmt, iter};

use bytes::Bytes;

use super::log_end::LogEnd;
use crate::log::{BODY_HEADER_BYTES, HEADER_BYTES, LogPosition, RecordHeader, find_header};
use crate::segment::Rows;
use crate::storage::{Blob, StorageError, StorageReader};

/// How much of the log or a blob is read at a time.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// All bytes of a blob, in chunks of at most [`WINDOW_BYTES`].
pub(super) fn chunks(blob: &dyn Blob) -> impl Iterator<Item = Result<Bytes, StorageError>> {
    let len = blob.len();
    (0..len).step_by(WINDOW_BYTES).map(move |start| blob.read(start..len.min(start + WINDOW_BYTES as u64)))
}

/// Buffers part of the log, because records may be many and short.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(super) fn read<O: StorageReader>(&mut self, log: &O, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let index = offset.checked_sub(self.start).and_then(|index| usize::try_from(index).ok());
        if let Some(from) = index
            && let Some(end) = from.checked_add(len).filter(|&end| end <= self.bytes.len())
        {
            return Ok(self.bytes.slice(from..end));
        }
        self.bytes = log.read_log(offset, len.max(WINDOW_BYTES))?;
        self.start = offset;
        Ok(self.bytes.slice(..len.min(self.bytes.len())))
    }
}

/// An intact record. The caller checks whether it follows the one before.
pub(super) struct Record {
    pub(super) header: RecordHeader,
    /// The checksum of its header.
    pub(super) crc: u32,
    /// Its events; `None` in a durability mark.
    pub(super) rows: Option<Rows>,
}

/// The reason for an error: the log should begin at an offset outside of this range, which is all that is readable.
pub(super) fn out_of_range(readable: &Range<u64>) -> String {
    format!("the medium has only bytes {readable:?} of the log")
}

/// The intact record that was written at this offset, if there is one.
pub(super) fn record_at<O: StorageReader>(
    log: &O,
    window: &mut Window,
    offset: u64,
) -> Result<Option<Record>, StorageError> {
    let Some((header, crc)) = RecordHeader::decode(&window.read(log, offset, HEADER_BYTES)?) else { return Ok(None) };
    if header.offset != offset {
        return Ok(None);
    }
    if header.is_mark() {
        return Ok(Some(Record { header, crc, rows: None }));
    }
    let Ok(body_len) = usize::try_from(header.body_len()) else { return Ok(None) };
    let body = window.read(log, offset + HEADER_BYTES as u64, body_len)?;
    if !header.matches_body(&body) {
        return Ok(None);
    }
    Ok(header.decode_body(&body).map(|rows| Record { header, crc, rows: Some(rows) }))
}

/// The result of searching the log after its last intact record.
#[derive(Default)]
pub(super) struct Ahead {
    /// Evidence that a record is missing there.
    pub(super) evidence: Option<Evidence>,
    /// Whether a header from another part of the log was found: the space was reused.
    pub(super) is_stale: bool,
}

/// Evidence that the log was durable beyond an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A later record: its offset and its first sequence number.
    Record(u64, u64),
    /// Where the log ended when it was closed.
    End(LogEnd),
}

impl Evidence {
    /// A lower bound of the sequence number of the first event after the gap.
    pub(super) fn next_seq(self) -> u64 {
        match self {
            Self::Record(_, next_seq) => next_seq,
            Self::End(end) => end.next_seq,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(at, _) => write!(f, "the record at offset {at} says that it was durable"),
            Self::End(end) => {
                write!(f, "there is no intact record, but the log ended at offset {} when it was closed", end.offset)
            }
        }
    }
}

/// Tells damage from a torn tail: searches for intact record headers from `position`, where there is no record, to
/// `end`. `closed_at` is where the log ended when it was closed, if known.
pub(super) fn scan_ahead<O: StorageReader>(
    log: &O,
    position: LogPosition,
    end: u64,
    closed_at: Option<LogEnd>,
) -> Result<Ahead, StorageError> {
    let mut ahead = Ahead::default();
    find_headers(log, position.offset..end, Some(position), |found| {
        match found {
            FoundHeader::Stale(_) => ahead.is_stale = true,
            FoundHeader::Credible(at, header) if header.durable > position.offset => {
                ahead.evidence = Some(Evidence::Record(at, header.first_seq));
                return ControlFlow::Break(());
            }
            FoundHeader::Credible(..) => {}
        }
        ControlFlow::Continue(())
    })?;
    // If only a durability mark is missing, no event is lost.
    let is_missing_events = |closed: &LogEnd| closed.next_seq > position.next_seq;
    ahead.evidence = ahead.evidence.or(closed_at.filter(is_missing_events).map(Evidence::End));
    Ok(ahead)
}

/// An intact record header among other bytes.
pub(super) enum FoundHeader {
    /// The offset, and a header that was written there.
    Credible(u64, RecordHeader),
    /// The offset of a header that was written to another part of the log, whose space was reused.
    Stale(u64),
}

/// Passes every intact header in `range` to `sink`, until `sink` breaks. `before` is a known position in the log before
/// the range, if there is one. Bytes of events that look like a header are skipped.
pub(super) fn find_headers<O: StorageReader>(
    log: &O,
    range: Range<u64>,
    before: Option<LogPosition>,
    mut sink: impl FnMut(FoundHeader) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let Range { start: mut window_at, end } = range;
    while window_at < end {
        let window = log.read_log(window_at, WINDOW_BYTES)?;
        let is_last = window.len() < WINDOW_BYTES;
        let mut rest = window.as_ref();
        while let Some(found) = find_header(rest) {
            let bytes = rest.get(found..).unwrap_or_default();
            let at = window_at + (window.len() - bytes.len()) as u64;
            // The next window has the whole header.
            if bytes.len() < HEADER_SEEN_BYTES && !is_last {
                break;
            }
            let header = RecordHeader::decode(bytes).map(|(header, _)| header);
            let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
            let found = match header {
                Some(header) if header.offset != at => Some(FoundHeader::Stale(at)),
                Some(header) if header.is_credible(at, body, before) => Some(FoundHeader::Credible(at, header)),
                Some(_) | None => None,
            };
            if found.is_some_and(|found| sink(found).is_break()) {
                return Ok(());
            }
            rest = bytes.get(1..).unwrap_or_default();
        }
        if is_last {
            break;
        }
        // A header may cross the end of the window.
        window_at += window.len().saturating_sub(HEADER_SEEN_BYTES - 1).max(1) as u64;
    }
    Ok(())
}

/// Finds out to which log offsets these bytes were written, by the record headers in them. Yields for each header its
/// index in `bytes` and the offset that it names.
///
/// A reused log file may still have old headers, which name lower offsets than the new ones.
pub fn written_offsets(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let anywhere = Some(LogPosition { offset: 0, next_seq: 1 });
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            at += find_header(bytes.get(at..)?)?;
            let index = at;
            let found = bytes.get(index..)?;
            at += 1;
            let Some((header, _)) = RecordHeader::decode(found) else { continue };
            if header.is_credible(header.offset, found.get(HEADER_BYTES..)?, anywhere) {
                return Some((index, header.offset));
            }
        }
    })
}

/// [`written_offsets`] needs this many bytes from the start of a header.
pub const HEADER_SEEN_BYTES: usize = HEADER_BYTES + BODY_HEADER_BYTES;

/// The bytes that the medium has after the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// How many bytes may belong to a record whose write was interrupted. At most [`WINDOW_BYTES`] are counted.
    pub(super) bytes: u64,
    /// The full length of that record, if its header is intact. Otherwise the bytes may be old content of the medium.
    pub(super) record: Option<u64>,
}

impl Tail {
    /// Examines the bytes after the end of a log. If another part of the log used the space before (`is_stale`), or the
    /// log was closed here (`is_closed`), only an intact header proves an interrupted record.
    pub(super) fn at<O: StorageReader>(
        log: &O,
        offset: u64,
        is_stale: bool,
        is_closed: bool,
    ) -> Result<Self, StorageError> {
        let bytes = log.read_log(offset, WINDOW_BYTES)?;
        let begun = RecordHeader::decode(&bytes).filter(|(header, _)| header.offset == offset);
        let record = begun.map(|(header, _)| HEADER_BYTES as u64 + header.body_len());
        let max = match record {
            Some(len) => len,
            None if is_stale || is_closed => 0,
            None => u64::MAX,
        };
        let bytes = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| max.min(last as u64 + 1));
        Ok(Self { bytes, record })
    }

    /// The range of the record that may have been started at `offset`, where the log ends; at least its header.
    pub(super) fn reach(self, offset: u64) -> Range<u64> {
        offset..offset.saturating_add(self.record.unwrap_or(HEADER_BYTES as u64))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::string::ToString as _;
    use alloc::vec::Vec;

    use super::super::manifest::Manifest;
    use super::super::{Engine, Seed, back_up, check, salvage};
    use super::*;
    use crate::batch::{Batch, BatchBuilder, NewEvent};
    use crate::column::i64_at;
    use crate::damage::Affected;
    use crate::event::{EventType, Payload, Timestamp};
    use crate::repository::Repository as _;
    use crate::storage::{MemoryStorage, Storage as _, StorageWriter as _};

    const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

    /// Timestamps whose bytes form a header: the number of timestamps before them, the header, and its distance in
    /// bytes from the start of the first of them.
    struct Planted {
        fillers: usize,
        header: RecordHeader,
        shift: usize,
    }

    fn batch(timestamps: impl IntoIterator<Item = i64>) -> Batch {
        let mut builder = BatchBuilder::new();
        for nanos in timestamps {
            let event = NewEvent {
                event_type: EventType::parse("click").unwrap(),
                timestamp: Timestamp::from_nanos(nanos),
                payload: Payload::parse("{}").unwrap(),
                id: None,
            };
            builder.push(event).unwrap();
        }
        builder.finish()
    }

    impl Planted {
        /// The log offset of the header in a record at `offset`.
        fn header_offset(offset: u64, fillers: usize, shift: usize) -> u64 {
            offset + (HEADER_BYTES + BODY_HEADER_BYTES + 8 * fillers + shift) as u64
        }

        /// A header that begins with a timestamp. It claims that the log was durable up to `beyond` bytes after its own
        /// offset, and that `before` events precede it.
        fn aligned(offset: u64, beyond: u64, before: u64) -> Self {
            let at = Self::header_offset(offset, 100, 0);
            let durable = at + beyond;
            let header = RecordHeader {
                index_len: 1 << 31,
                durable,
                first_seq: before.max(durable),
                millis: 1 << 60,
                ..mark(at)
            };
            Self { fillers: 100, header, shift: 0 }
        }

        /// A header that begins at the eighth byte of a timestamp, so that only the lowest bytes of its fields have to
        /// ascend. All its claims are plausible.
        fn unaligned(offset: u64) -> Self {
            let is_low = |&fillers: &usize| (0x43..0x70).contains(&(Self::header_offset(offset, fillers, 7) & 0xff));
            let fillers = (500..).find(is_low).unwrap();
            let at = Self::header_offset(offset, fillers, 7);
            let header = RecordHeader { text_len: 0x42, first_seq: at & 0xff, millis: 0x7e, chain: 0x7f, ..mark(at) };
            Self { fillers, header, shift: 7 }
        }

        /// A batch with these timestamps, which ascend.
        fn batch(&self) -> Batch {
            let words = |chain| {
                let mut bytes = alloc::vec![0; self.shift];
                bytes.extend(RecordHeader { chain, ..self.header }.encode().0);
                bytes.resize(bytes.len().next_multiple_of(8), 0x7f);
                (0..bytes.len() / 8).map(|word| i64_at(&bytes, 0, word)).collect()
            };
            let words = (self.header.chain..).map(words).find(|words: &Vec<i64>| words.is_sorted()).unwrap();
            batch((0..self.fillers as i64).map(|filler| i64::MIN + filler).chain(words))
        }
    }

    fn mark(at: u64) -> RecordHeader {
        RecordHeader::mark(at, at, 0, 0, 0)
    }

    /// A log with a header planted in it.
    struct Stored {
        medium: MemoryStorage,
        /// The offset of the second record, which contains the header.
        second: u64,
        /// The offset of the header.
        at: u64,
        /// The offset of the third record.
        third: u64,
        /// The number of events in the second record.
        count: u64,
    }

    /// Logs of one event, a batch with a header planted in it, and one more event: a log for each kind of header.
    fn stored() -> Vec<Stored> {
        let ways: [&dyn Fn(u64) -> Planted; 5] = [
            &|offset| Planted::aligned(offset, 0, 0),
            &|offset| Planted::aligned(offset, 0, 1 << 40),
            &|offset| Planted::aligned(offset, 1, 0),
            &|offset| Planted::aligned(offset, 1 << 20, 0),
            &Planted::unaligned,
        ];
        let stored = ways.into_iter().map(|plant| {
            let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
            engine.commit(NOW, &[batch([0])]).unwrap();
            let second = engine.storage().log_end();
            let planted = plant(second);
            let at = planted.header.offset;
            let batch_with_header = planted.batch();
            let count = batch_with_header.len() as u64;
            engine.commit(NOW, &[batch_with_header]).unwrap();
            let third = engine.storage().log_end();
            engine.commit(NOW, &[batch([0])]).unwrap();
            engine.on_idle().unwrap();
            let bytes = &engine.storage().log()[at as usize..];
            assert!(RecordHeader::decode(bytes).is_some_and(|(header, _)| header.offset == at && header.durable >= at));
            Stored { medium: engine.storage().clone(), second, at, third, count }
        });
        stored.collect()
    }

    /// The same medium with another log.
    fn with_log(from: &MemoryStorage, log: &[u8]) -> MemoryStorage {
        let mut storage = MemoryStorage::default();
        for name in from.list().unwrap() {
            let blob = from.open(&name).unwrap().unwrap();
            storage.insert(&name, blob.read(0..blob.len()).unwrap());
        }
        storage.append(&[log]).unwrap();
        storage
    }

    /// Salvages the medium. Returns the next sequence number and the time of the last commit.
    fn salvaged(medium: &MemoryStorage) -> (u64, i64) {
        let mut copy = MemoryStorage::default();
        salvage(medium, &mut copy, Seed(0)).unwrap();
        let manifest = Manifest::load(&copy).unwrap().unwrap().manifest;
        (manifest.next_seq, manifest.last_millis)
    }

    #[test]
    fn timestamps_that_look_like_a_header_do_not_turn_a_torn_tail_into_damage() {
        for Stored { medium, second, at, third, .. } in stored() {
            let mut log = medium.log()[..third as usize].to_vec();
            log[second as usize..at as usize - 8].fill(0);
            let torn = with_log(&medium, &log);
            let engine = Engine::open(torn.clone(), Seed(0)).unwrap();
            assert_eq!(engine.snapshot().stats().unwrap().last_seq, 1);
            assert_eq!(engine.recovery().cut_bytes, third - second);
            let mut copy = MemoryStorage::default();
            assert_eq!(back_up(&torn, &mut copy).unwrap().last_seq, 1);
            let report = check(&torn);
            assert!(report.is_whole() && report.last_seq == 1, "{report:?}");
            assert_eq!(salvaged(&torn), (2, NOW.as_nanos() / 1_000_000));
        }
    }

    #[test]
    fn timestamps_that_look_like_a_header_give_no_written_offset() {
        for Stored { medium, second, third, .. } in stored() {
            let offsets: Vec<(usize, u64)> = written_offsets(medium.log()).collect();
            let records = [0, second, third, medium.log().len() as u64 - HEADER_BYTES as u64];
            assert_eq!(offsets, records.map(|at| (at as usize, at)));
            assert_eq!(written_offsets(&medium.log()[7..]).next(), Some((second as usize - 7, second)));
        }
    }

    #[test]
    fn timestamps_that_look_like_a_header_do_not_change_which_events_damage_affects() {
        for Stored { medium, second, count, .. } in stored() {
            for (damaged_at, events) in [(0, 1..2), (second, 2..2 + count)] {
                let mut log = medium.log().to_vec();
                log[damaged_at as usize] ^= 1;
                let damaged = with_log(&medium, &log);
                let affected = format!("; {}", Affected::all(events.start, events.end - 1));
                let refusal = Engine::open(damaged.clone(), Seed(0)).unwrap_err().to_string();
                assert!(refusal.contains(&affected), "{refusal}");
                let mut copy = MemoryStorage::default();
                let refusal = back_up(&damaged, &mut copy).unwrap_err().to_string();
                assert!(refusal.contains(&affected), "{refusal}");
                let report = check(&damaged);
                assert_eq!(report.findings.len(), 1, "{report:?}");
                assert_eq!((report.events, report.last_seq), (count + 2 - (events.end - events.start), count + 2));
                assert_eq!(salvaged(&damaged), (count + 3, NOW.as_nanos() / 1_000_000));
            }
        }
    }
}
