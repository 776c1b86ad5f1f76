//! Which parts and blocks a scan looks at, and the memory that it accounts for.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::batch::{BatchBuilder, NewEvent};
use crate::clock::Moment;
use crate::engine::erasure::Erasures;
use crate::engine::{Engine, Seed, Tuning};
use crate::event::{EventType, Payload, Timestamp};
use crate::query::{Filter, Order, TypeTest};
use crate::repository::{MaintenanceQueue, Repository as _};
use crate::segment::{Epoch, RowsBuilder, Segment};
use crate::storage::MemoryStorage;

/// Why a scan can begin.
const INTACT: &str = "memory does not fail";

const ORDERS: [Order; 3] = [Order::TimeAscending, Order::TimeDescending, Order::Sequence];

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// What a scan takes itself, apart from blocks and segments.
const RUN_BYTES_MAX: usize = 2048;

fn segment(seq: u64, event_type: &str, time: i64) -> Arc<Segment> {
    let mut rows = RowsBuilder::default();
    let code = rows.intern(event_type.as_bytes());
    rows.push(time, 0, code, b"", b"{}");
    Arc::new(Segment::new(seq, rows.finish_sorted(), [Epoch { ordinal: 0, millis: 0 }].into()))
}

fn event<'a>(event_type: &'a str, time: i64, payload: &'a str) -> NewEvent<'a> {
    NewEvent {
        event_type: EventType::parse(event_type).expect("a type"),
        timestamp: Timestamp::from_nanos(time),
        payload: Payload::parse(payload).expect("a payload"),
        id: None,
    }
}

/// An engine with these events in a fresh segment.
fn engine<'a>(tuning: Tuning, events: impl Iterator<Item = NewEvent<'a>>) -> Engine<MemoryStorage> {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).expect("memory opens");
    let mut batch = BatchBuilder::new();
    events.for_each(|event| batch.push(event).expect("a small batch"));
    engine.commit(NOW, &[batch.finish()]).expect("memory has room");
    engine
}

/// Seals all segments that are full.
fn seal(engine: &mut Engine<MemoryStorage>) {
    let mut maintenance = MaintenanceQueue::default();
    let now = Moment { wall: NOW, uptime: core::time::Duration::ZERO };
    while maintenance.step(engine, now, 1_000).expect("memory has room").is_pending() {}
}

#[test]
fn only_parts_with_rows_that_can_match_are_held() {
    let fresh = [segment(1, "a", 10), segment(2, "b", 20), segment(3, "a", 30)];
    let parts = Parts::new(Arc::default(), fresh.into(), IdentityKey::new(Seed(1)), Erasures::new([].into()));
    let since = |time| Some(Timestamp::from_nanos(time));
    for (filter, held) in [
        (Filter::default(), 3),
        (Filter { types: Some(alloc::vec![TypeTest::Eq("a".into())]), ..Filter::default() }, 2),
        (Filter { start: since(20), ..Filter::default() }, 2),
        (Filter { types: Some(alloc::vec![TypeTest::Eq("b".into())]), start: since(21), ..Filter::default() }, 0),
        (Filter { after_seq: Some(2), ..Filter::default() }, 1),
    ] {
        let mut run = Run::new(&parts, &Scan::from(filter.clone())).expect(INTACT);
        assert_eq!(run.parts.len(), held, "{filter:?}");
        let mut found = 0;
        let mut count = |_: Event<'_>| {
            found += 1;
            Flow::More
        };
        while run.poll_events(100, &mut count).expect("all is in memory").is_pending() {}
        assert_eq!(found, held, "{filter:?}");
    }
}

/// However many types are requested, a scan takes little more than their ranges.
#[test]
fn many_types_are_found_by_their_prefix() {
    const TYPES: usize = 2_000;
    let names: Vec<_> = (0..TYPES).map(|n| format!("{}{n}", if n % 4 == 0 { "few." } else { "many." })).collect();
    let mut rows = RowsBuilder::default();
    for (n, name) in (0..).zip(&names) {
        let code = rows.intern(name.as_bytes());
        rows.push(n.into(), n, code, b"", b"{}");
    }
    let segment = Arc::new(Segment::new(1, rows.finish_sorted(), [Epoch { ordinal: 0, millis: 0 }].into()));
    let fresh_bytes = segment.memory_bytes();
    let fresh = Parts::new(Arc::default(), [segment].into(), IdentityKey::new(Seed(1)), Erasures::new([].into()));
    let events = (0..).zip(&names).map(|(n, name)| event(name, n, "{}"));
    let mut engine = engine(Tuning { seal_events: TYPES, ..Tuning::default() }, events);
    seal(&mut engine);
    let sealed = engine.reader().take().expect("the current snapshot");

    let prefixes = [("", 2_000), ("many.", 1_500), ("few.", 500), ("few.0", 1), ("few.2", 28), ("n", 0)];
    let scans = ORDERS.iter().flat_map(|&order| prefixes.map(|prefix| (order, prefix)));
    for ((order, (prefix, expected)), is_sealed) in scans.flat_map(|scan| [(scan, false), (scan, true)]) {
        let types = Some(alloc::vec![TypeTest::Prefix(prefix.into()), TypeTest::Eq("none".into())]);
        let scan = Scan { order, ..Scan::from(Filter { types, ..Filter::default() }) };
        let mut run: Box<dyn ScanRun> = if is_sealed {
            Arc::clone(&sealed).scan(&scan).expect("all is in memory")
        } else {
            Box::new(Run::new(&fresh, &scan).expect(INTACT))
        };
        let bytes_max = 4 * RUN_BYTES_MAX + if is_sealed { 0 } else { fresh_bytes };
        assert!(run.held_bytes() < bytes_max, "{} for {prefix:?}, sealed: {is_sealed}", run.held_bytes());
        let mut found = alloc::vec![];
        let mut collect = |event: Event<'_>| {
            assert!(event.event_type.as_str().starts_with(prefix));
            found.push(event.timestamp);
            Flow::More
        };
        while run.poll_events(100, &mut collect).expect("all is in memory").is_pending() {}
        assert_eq!(found.len(), expected, "{prefix:?} in {order:?}");
        let in_order = match order {
            Order::TimeAscending | Order::Sequence => found.is_sorted(),
            Order::TimeDescending => found.iter().rev().is_sorted(),
        };
        assert!(in_order, "{prefix:?} in {order:?}");
    }
}

#[test]
fn a_fresh_segment_counts_in_part_while_others_hold_it_too() {
    for order in ORDERS {
        let mut rows = RowsBuilder::default();
        let code = rows.intern(b"a");
        (0..1000_u16).for_each(|row| rows.push(row.into(), row.into(), code, b"", b"{\"a\":[1,2,3]}"));
        let segment = Arc::new(Segment::new(1, rows.finish_sorted(), [Epoch { ordinal: 0, millis: 0 }].into()));
        let bytes = segment.memory_bytes();
        assert!(bytes > 10 * RUN_BYTES_MAX);
        let parts = Parts::new(Arc::default(), [segment].into(), IdentityKey::new(Seed(1)), Erasures::new([].into()));
        let scan = Scan { order, ..Scan::default() };
        let [first, second] = [(); 2].map(|()| Run::new(&parts, &scan).expect(INTACT));
        let shared = first.held_bytes() + second.held_bytes();
        assert!((bytes / 2..bytes).contains(&shared), "{order:?}: {shared} of {bytes} in two scans");
        drop(parts);
        let shared = first.held_bytes() + second.held_bytes();
        assert!(
            (bytes - 8..bytes + 2 * RUN_BYTES_MAX).contains(&shared),
            "{order:?}: {shared} of {bytes} in two scans"
        );
        drop(second);
        let alone = first.held_bytes();
        assert!((bytes - 8..bytes + RUN_BYTES_MAX).contains(&alone), "{order:?}: {alone} of {bytes} in one scan");
    }
}

#[test]
fn a_block_counts_while_it_is_open() {
    const BLOCK_BYTES: usize = 8192;
    let tuning = Tuning { seal_events: 1_000, block_bytes: BLOCK_BYTES, ..Tuning::default() };
    let payloads: Vec<_> = (0..1_000_u64)
        .map(|number| {
            // Numbers that can hardly be compressed.
            let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("\"{noise:016x}{:016x}\"", noise.wrapping_mul(noise | 1))
        })
        .collect();
    let mut engine = engine(tuning, (0..).zip(&payloads).map(|(number, payload)| event("a", number, payload)));
    seal(&mut engine);
    for order in ORDERS {
        let snapshot = engine.reader().take().expect("the current snapshot");
        let mut run: Box<dyn ScanRun> = snapshot.scan(&Scan { order, ..Scan::default() }).expect("all is in memory");
        assert!(run.held_bytes() < RUN_BYTES_MAX, "{order:?}: no block is open");
        // A walk by sequence numbers keeps blocks open, others only the one that they read.
        let blocks_max = if order == Order::Sequence { 8 } else { 1 };
        let (mut steps, mut open) = (0, 0);
        while run.poll_events(1, &mut |_| Flow::Stop).expect("all is in memory").is_pending() {
            let held = run.held_bytes();
            assert!(held < RUN_BYTES_MAX + blocks_max * 4 * BLOCK_BYTES, "{order:?}: {held}");
            steps += 1;
            open += u32::from(held > BLOCK_BYTES / 2);
        }
        assert!(steps >= 1_000 && open > steps / 10 * 9, "{order:?}: a block is open at {open} of {steps} steps");
    }
}
