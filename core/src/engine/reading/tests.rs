//! Tests of logs with timestamps that look like record headers.

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
        let header =
            RecordHeader { index_len: 1 << 31, durable, first_seq: before.max(durable), millis: 1 << 60, ..mark(at) };
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
