//! The log as it is read: by recovery, and by who makes a copy, and by who checks.

use core::ops::{ControlFlow, Range};
use core::{fmt, iter};

use bytes::Bytes;

use super::log_end::LogEnd;
use crate::log::{BODY_HEAD_BYTES, HEAD_BYTES, Place, RecordHead, find_head};
use crate::segment::Rows;
use crate::storage::{StorageError, StorageReader};

/// How much of the log is read at a time.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// A stretch of the log, read at once: most records are short, and there may be many.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(super) fn read<O: StorageReader>(&mut self, log: &O, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let inside = offset.checked_sub(self.start).and_then(|behind| usize::try_from(behind).ok());
        if let Some(from) = inside
            && let Some(end) = from.checked_add(len).filter(|&end| end <= self.bytes.len())
        {
            return Ok(self.bytes.slice(from..end));
        }
        self.bytes = log.read_log(offset, len.max(WINDOW_BYTES))?;
        self.start = offset;
        Ok(self.bytes.slice(..len.min(self.bytes.len())))
    }
}

/// A record as it lies in the log. Whether it follows the one before is for the reader to see.
pub(super) struct Record {
    pub(super) head: RecordHead,
    /// The checksum of its head.
    pub(super) crc: u32,
    /// Its events; `None` in a mark.
    pub(super) rows: Option<Rows>,
}

/// The record at this offset, if there is a whole one that was written there.
pub(super) fn record_at<O: StorageReader>(
    log: &O,
    window: &mut Window,
    offset: u64,
) -> Result<Option<Record>, StorageError> {
    let Some((head, crc)) = RecordHead::decode(&window.read(log, offset, HEAD_BYTES)?) else { return Ok(None) };
    if head.offset != offset {
        return Ok(None);
    }
    if head.is_mark() {
        return Ok(Some(Record { head, crc, rows: None }));
    }
    let Ok(body_len) = usize::try_from(head.body_len()) else { return Ok(None) };
    let body = window.read(log, offset + HEAD_BYTES as u64, body_len)?;
    if !head.vouches_for(&body) {
        return Ok(None);
    }
    Ok(head.decode_body(&body).map(|rows| Record { head, crc, rows: Some(rows) }))
}

/// What there is behind the last record.
#[derive(Default)]
pub(super) struct Behind {
    /// What says that what is missing was durable.
    pub(super) claim: Option<Claim>,
    /// Another part of the log has lain here before.
    pub(super) is_stale: bool,
}

/// Something that says of a place in the log that it was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A record behind it: its offset, and its first sequence number.
    Record(u64, u64),
    /// Where the log ended when it was closed.
    End(LogEnd),
}

impl Claim {
    /// The sequence number of the first event behind what is missing, at least.
    pub(super) fn next_seq(self) -> u64 {
        match self {
            Self::Record(_, next_seq) => next_seq,
            Self::End(end) => end.next_seq,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(at, _) => write!(f, "the record at offset {at} says that it was durable before"),
            Self::End(end) => {
                write!(f, "there is no good record, and when the log was closed it ended at offset {}", end.offset)
            }
        }
    }
}

/// Looks for heads behind `place`, where there is no record, and before `end`: whole ones, whose offset is where they
/// stand, or is not. `closed_at` is where the log ended when it was closed, if that is known.
///
/// This tells damage from the end of the log.
pub(super) fn look_behind<O: StorageReader>(
    log: &O,
    place: Place,
    end: u64,
    closed_at: Option<LogEnd>,
) -> Result<Behind, StorageError> {
    let mut behind = Behind::default();
    find_heads(log, place.offset..end, Some(place), |found| {
        match found {
            FoundHead::Stale(_) => behind.is_stale = true,
            FoundHead::Credible(at, head) if head.durable > place.offset => {
                behind.claim = Some(Claim::Record(at, head.first_seq));
                return ControlFlow::Break(());
            }
            FoundHead::Credible(..) => {}
        }
        ControlFlow::Continue(())
    })?;
    // Where no event is missing, but a mark, the log may end before.
    behind.claim = behind.claim.or(closed_at.filter(|closed| closed.next_seq > place.next_seq).map(Claim::End));
    Ok(behind)
}

/// A whole head among other bytes.
pub(super) enum FoundHead {
    /// One that was written where it stands, and where that is.
    Credible(u64, RecordHead),
    /// One that another part of the log has left here.
    Stale(u64),
}

/// Hands over every whole head in a part of the log, of which a place is known or not, until it is told to stop. What
/// stands where it says, and was not written there as a head, is none.
pub(super) fn find_heads<O: StorageReader>(
    log: &O,
    range: Range<u64>,
    place: Option<Place>,
    mut sink: impl FnMut(FoundHead) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    const LOOKED_AT: usize = HEAD_SEEN_BYTES;
    let Range { start: mut window_at, end } = range;
    while window_at < end {
        let window = log.read_log(window_at, WINDOW_BYTES)?;
        let is_last = window.len() < WINDOW_BYTES;
        let mut rest = window.as_ref();
        while let Some(found) = find_head(rest) {
            let bytes = rest.get(found..).unwrap_or_default();
            let at = window_at + (window.len() - bytes.len()) as u64;
            // The next window has all of it.
            if bytes.len() < LOOKED_AT && !is_last {
                break;
            }
            let head = RecordHead::decode(bytes).map(|(head, _)| head);
            let body = bytes.get(HEAD_BYTES..).unwrap_or_default();
            let found = match head {
                Some(head) if head.offset != at => Some(FoundHead::Stale(at)),
                Some(head) if head.is_credible(at, body, place) => Some(FoundHead::Credible(at, head)),
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
        // A head may lie across the end of the window.
        window_at += window.len().saturating_sub(LOOKED_AT - 1).max(1) as u64;
    }
    Ok(())
}

/// Where bytes of a log were written, as far as heads among them tell: for each of these, its place in `bytes` and the
/// offset in the log that it says of itself.
///
/// What a log file held in an earlier life tells of lower offsets than what was written later.
pub fn written_offsets(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let anywhere = Some(Place { offset: 0, next_seq: 1 });
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            at += find_head(bytes.get(at..)?)?;
            let place = at;
            let found = bytes.get(at..)?;
            at += 1;
            let Some((head, _)) = RecordHead::decode(found) else { continue };
            if head.is_credible(head.offset, found.get(HEAD_BYTES..)?, anywhere) {
                return Some((place, head.offset));
            }
        }
    })
}

/// So many bytes from the beginning of a head on are enough for [`written_offsets`] to see it.
pub const HEAD_SEEN_BYTES: usize = HEAD_BYTES + BODY_HEAD_BYTES;

/// What there is behind the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Bytes that may be of a record that was not written to its end; of a long one perhaps fewer.
    pub(super) bytes: u64,
    /// The length of that record, if its head is whole. Otherwise the bytes may be what the medium held there before.
    pub(super) record: Option<u64>,
}

impl Tail {
    /// What there is at the end of a log. Where another part of the log has lain (`is_stale`), or where the log was
    /// closed (`is_closed`), nothing else than the head of such a record tells it from what was left there.
    pub(super) fn at<O: StorageReader>(
        log: &O,
        offset: u64,
        is_stale: bool,
        is_closed: bool,
    ) -> Result<Self, StorageError> {
        let bytes = log.read_log(offset, WINDOW_BYTES)?;
        let begun = RecordHead::decode(&bytes).filter(|(head, _)| head.offset == offset);
        let record = begun.map(|(head, _)| HEAD_BYTES as u64 + head.body_len());
        let most = match record {
            Some(len) => len,
            None if is_stale || is_closed => 0,
            None => u64::MAX,
        };
        let bytes = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| most.min(last as u64 + 1));
        Ok(Self { bytes, record })
    }

    /// Up to where a record reaches that may have been begun at `offset`, where the log ends, and at least its head.
    pub(super) fn reach(self, offset: u64) -> Range<u64> {
        offset..offset.saturating_add(self.record.unwrap_or(HEAD_BYTES as u64))
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
    use crate::damage::Concerned;
    use crate::event::{EventType, Payload, Timestamp};
    use crate::repository::Repository as _;
    use crate::storage::{MemoryStorage, Storage as _, StorageWriter as _};

    const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

    /// Timestamps in which a head lies: how many other ones come before, the head, and its place among the bytes of its
    /// timestamps.
    struct Planted {
        fillers: usize,
        head: RecordHead,
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
        /// Where the head stands in a record at `offset`.
        fn place(offset: u64, fillers: usize, shift: usize) -> u64 {
            offset + (HEAD_BYTES + BODY_HEAD_BYTES + 8 * fillers + shift) as u64
        }

        /// Word by word: it says that so much more than all before it was durable, and that so many events come before.
        fn in_words(offset: u64, beyond: u64, before: u64) -> Self {
            let at = Self::place(offset, 100, 0);
            let durable = at + beyond;
            let head =
                RecordHead { index_len: 1 << 31, durable, first_seq: before.max(durable), millis: 1 << 60, ..mark(at) };
            Self { fillers: 100, head, shift: 0 }
        }

        /// All but a byte off the words, so that only the lowest bytes of its fields have to ascend. It says nothing
        /// that could not be.
        fn askew(offset: u64) -> Self {
            let is_low = |&fillers: &usize| (0x43..0x70).contains(&(Self::place(offset, fillers, 7) & 0xff));
            let fillers = (500..).find(is_low).unwrap();
            let at = Self::place(offset, fillers, 7);
            let head = RecordHead { text_len: 0x42, first_seq: at & 0xff, millis: 0x7e, chain: 0x7f, ..mark(at) };
            Self { fillers, head, shift: 7 }
        }

        /// The events, whose timestamps ascend already.
        fn batch(&self) -> Batch {
            let words = |chain| {
                let mut bytes = alloc::vec![0; self.shift];
                bytes.extend(RecordHead { chain, ..self.head }.encode().0);
                bytes.resize(bytes.len().next_multiple_of(8), 0x7f);
                (0..bytes.len() / 8).map(|word| i64_at(&bytes, 0, word)).collect()
            };
            let words = (self.head.chain..).map(words).find(|words: &Vec<i64>| words.is_sorted()).unwrap();
            batch((0..self.fillers as i64).map(|filler| i64::MIN + filler).chain(words))
        }
    }

    fn mark(at: u64) -> RecordHead {
        RecordHead::mark(at, at, 0, 0, 0)
    }

    /// A log with a head planted in it.
    struct Stored {
        medium: MemoryStorage,
        /// Where the record begins that has it, where it stands, and where the next record begins.
        second: u64,
        at: u64,
        third: u64,
        /// The events in that record.
        count: u64,
    }

    /// One event, a batch with a head in it, and one more event, for each way to plant one.
    fn stored() -> Vec<Stored> {
        let ways: [&dyn Fn(u64) -> Planted; 5] = [
            &|offset| Planted::in_words(offset, 0, 0),
            &|offset| Planted::in_words(offset, 0, 1 << 40),
            &|offset| Planted::in_words(offset, 1, 0),
            &|offset| Planted::in_words(offset, 1 << 20, 0),
            &Planted::askew,
        ];
        let stored = ways.into_iter().map(|plant| {
            let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
            engine.commit(NOW, &[batch([0])]).unwrap();
            let second = engine.storage().log_end();
            let planted = plant(second);
            let at = planted.head.offset;
            let batch_with_head = planted.batch();
            let count = batch_with_head.len() as u64;
            engine.commit(NOW, &[batch_with_head]).unwrap();
            let third = engine.storage().log_end();
            engine.commit(NOW, &[batch([0])]).unwrap();
            engine.on_idle().unwrap();
            let bytes = &engine.storage().log()[at as usize..];
            assert!(RecordHead::decode(bytes).is_some_and(|(head, _)| head.offset == at && head.durable >= at));
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

    /// Saves what is whole; gives the next sequence number and the time of the last commit.
    fn saved(medium: &MemoryStorage) -> (u64, i64) {
        let mut copy = MemoryStorage::default();
        salvage(medium, &mut copy, Seed(0)).unwrap();
        let manifest = Manifest::load(&copy).unwrap().unwrap().manifest;
        (manifest.next_seq, manifest.last_millis)
    }

    #[test]
    fn timestamps_do_not_speak_for_a_torn_record() {
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
            assert_eq!(saved(&torn), (2, NOW.as_nanos() / 1_000_000));
        }
    }

    #[test]
    fn timestamps_do_not_say_where_a_log_was_written() {
        for Stored { medium, second, third, .. } in stored() {
            let offsets: Vec<(usize, u64)> = written_offsets(medium.log()).collect();
            let records = [0, second, third, medium.log().len() as u64 - HEAD_BYTES as u64];
            assert_eq!(offsets, records.map(|at| (at as usize, at)));
            assert_eq!(written_offsets(&medium.log()[7..]).next(), Some((second as usize - 7, second)));
        }
    }

    #[test]
    fn timestamps_say_nothing_of_what_is_lost_before_them() {
        for Stored { medium, second, count, .. } in stored() {
            for (rotten, events) in [(0, 1..2), (second, 2..2 + count)] {
                let mut log = medium.log().to_vec();
                log[rotten as usize] ^= 1;
                let rotten = with_log(&medium, &log);
                let concerned = alloc::format!("; {}", Concerned::all(events.start, events.end - 1));
                let refusal = Engine::open(rotten.clone(), Seed(0)).unwrap_err().to_string();
                assert!(refusal.contains(&concerned), "{refusal}");
                let mut copy = MemoryStorage::default();
                let refusal = back_up(&rotten, &mut copy).unwrap_err().to_string();
                assert!(refusal.contains(&concerned), "{refusal}");
                let report = check(&rotten);
                assert_eq!(report.findings.len(), 1, "{report:?}");
                assert_eq!((report.events, report.last_seq), (count + 2 - (events.end - events.start), count + 2));
                assert_eq!(saved(&rotten), (count + 3, NOW.as_nanos() / 1_000_000));
            }
        }
    }
}
