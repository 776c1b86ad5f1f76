//! A read goes on in a new snapshot once its own has been replaced for a second, and not before.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use argus_core::api::{Action, Api, Caller, ReadRun, ReadStep, RequestHead, ServiceState};
use argus_core::clock::Moment;
use argus_core::engine::{Engine, Retention, Seed};
use argus_core::event::{Event, Timestamp};
use argus_core::query::Scan;
use argus_core::repository::{GapRun, MaintenanceQueue, ReadError, Reader, Repository, ScanRun, Snapshot, Stats};
use argus_core::storage::MemoryStorage;
use argus_testing::{LIMITS, Random, SMALL, generate, steady};
use proptest::prelude::*;

/// Requests that find a hundred events at least.
const TARGETS: [&str; 6] = [
    "/events",
    "/events?order=desc",
    "/events?order=seq",
    "/events?limit=100",
    "/events?limit=100&order=desc",
    "/events?limit=100&order=seq",
];

const WALL: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// A snapshot that counts the scans that begin on it.
struct Counted {
    snapshot: Arc<dyn Snapshot>,
    scans: Arc<AtomicU32>,
}

impl Snapshot for Counted {
    fn stats(&self) -> Result<Stats, ReadError> {
        self.snapshot.stats()
    }

    fn last_seq(&self) -> u64 {
        self.snapshot.last_seq()
    }

    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun> {
        Arc::clone(&self.snapshot).gaps(after, up_to)
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        self.snapshot.get(id, sink)
    }

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.snapshot).scan(scan)
    }
}

/// A read under way: what it has answered, and on how many snapshots.
struct Reading {
    run: ReadRun,
    body: Vec<u8>,
    is_over: bool,
    scans: Arc<AtomicU32>,
}

impl Reading {
    fn begin(target: &str) -> Self {
        let headers = [("host", b"x".as_slice()), ("accept", b"application/jsonl".as_slice())];
        let head = RequestHead { method: "GET", target, headers: &headers, http_10: false, peer: None };
        let Action::Read(read) = Api::new(LIMITS).handle_request(&head, &ServiceState::default()).0 else {
            panic!("{target} reads")
        };
        Self { run: read.begin(at(0)), body: Vec::new(), is_over: false, scans: Arc::default() }
    }

    /// The current snapshot of an engine, which counts the scans of this read.
    fn reader(&self, engine: &Engine<MemoryStorage>) -> Reader {
        let snapshot = engine.reader().take().unwrap();
        Reader::Current(Arc::new(Counted { snapshot, scans: Arc::clone(&self.scans) }))
    }

    fn poll(&mut self, reader: &Reader, millis: u64, budget: u32) {
        match self.run.poll(reader, at(millis), budget).unwrap() {
            Poll::Pending | Poll::Ready(ReadStep::Start(_)) => {}
            Poll::Ready(ReadStep::Chunk(chunk)) => self.body.extend_from_slice(&chunk),
            Poll::Ready(ReadStep::Whole(draft)) => {
                self.body.extend_from_slice(&Caller::default().finish(draft).body);
                self.is_over = true;
            }
            Poll::Ready(ReadStep::Done) => self.is_over = true,
            Poll::Ready(ReadStep::Stopped(refusal)) => panic!("{refusal:?}"),
        }
    }

    /// The events of the answer, a line each.
    fn finish(mut self, reader: &Reader, millis: u64) -> Vec<String> {
        while !self.is_over {
            self.poll(reader, millis, 7);
        }
        String::from_utf8(self.body).unwrap().lines().map(str::to_owned).collect()
    }

    fn scans(&self) -> u32 {
        self.scans.load(Ordering::Relaxed)
    }
}

/// The events of an answer that nothing disturbs.
fn whole(target: &str, engine: &Engine<MemoryStorage>) -> Vec<String> {
    let reading = Reading::begin(target);
    let reader = reading.reader(engine);
    reading.finish(&reader, 0)
}

fn at(millis: u64) -> Moment {
    Moment { wall: WALL, uptime: Duration::from_millis(millis) }
}

fn store(engine: &mut Engine<MemoryStorage>, count: usize, source: &mut Random<'_>) {
    let drafts: Vec<_> = (0..count).map(|_| generate::draft(source)).collect();
    drop(engine.commit(WALL, &[generate::batch(&drafts)]).unwrap());
}

fn maintain(engine: &mut Engine<MemoryStorage>) {
    let mut maintenance = MaintenanceQueue::default();
    while maintenance.step(engine, steady(WALL), 1_000).unwrap().is_pending() {}
}

/// An engine with some hundred events, most of them sealed.
fn filled(source: &mut Random<'_>) -> Engine<MemoryStorage> {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), SMALL).unwrap();
    for _ in 0..30 {
        store(&mut engine, 10, source);
    }
    maintain(&mut engine);
    store(&mut engine, 10, source);
    engine
}

#[test]
fn the_snapshot_is_exchanged_after_a_second_and_not_before() {
    for target in TARGETS {
        let mut source = Random::seeded(7);
        let mut engine = filled(&mut source);
        let expected = whole(target, &engine);
        assert!(expected.len() >= 100, "{target}");
        let mut counting = Reading::begin(target);
        let old = counting.reader(&engine);
        let mut polls = 0;
        while !counting.is_over {
            counting.poll(&old, 0, 1);
            polls += 1;
        }

        // Near the end, so that a page has been chosen.
        let mut reading = Reading::begin(target);
        let old = reading.reader(&engine);
        for _ in 0..polls - 50 {
            reading.poll(&old, 0, 1);
        }
        store(&mut engine, 40, &mut source);
        maintain(&mut engine);
        let new = reading.reader(&engine);
        reading.poll(&new, 999, 1);
        assert_eq!(reading.scans(), 1, "{target}: before a second has passed");
        reading.poll(&old, 5_000, 1);
        assert_eq!(reading.scans(), 1, "{target}: while it is the current one");
        reading.poll(&new, 1_000, 1);
        assert_eq!(reading.scans(), 2, "{target}: after a second");
        assert!(!reading.is_over);
        assert_eq!(reading.finish(&new, 1_000), expected, "{target}");
    }
}

#[test]
fn a_scan_without_progress_keeps_its_snapshot() {
    let mut source = Random::seeded(7);
    let mut engine = filled(&mut source);
    let mut reading = Reading::begin("/events?order=desc");
    let mut reader = reading.reader(&engine);
    for _ in 0..80 {
        reading.poll(&reader, 0, 1);
    }
    let (mut millis, mut kept) = (0, 0);
    while !reading.is_over {
        // Each second the snapshot is replaced.
        millis += 1_000;
        store(&mut engine, 1, &mut source);
        reader = reading.reader(&engine);
        let (was_starting, scans) = (reading.run.is_starting(), reading.scans());
        reading.poll(&reader, millis, 1);
        assert_eq!(reading.scans(), scans + u32::from(!was_starting));
        kept += u32::from(was_starting);
    }
    assert!(kept > 0 && reading.scans() > 10, "{kept} and {}", reading.scans());
}

#[test]
fn a_page_that_is_being_chosen_goes_on_in_a_new_snapshot() {
    for target in TARGETS.iter().filter(|target| target.contains("limit")) {
        let mut source = Random::seeded(7);
        let mut engine = filled(&mut source);
        let expected = whole(target, &engine);
        let mut reading = Reading::begin(target);
        let mut reader = reading.reader(&engine);
        for second in 0..20 {
            // Some events at a time, a hundred are sought.
            (0..10).for_each(|_| reading.poll(&reader, second * 1_000, 1));
            store(&mut engine, 1, &mut source);
            reader = reading.reader(&engine);
        }
        assert!(reading.scans() > 5 && reading.body.is_empty(), "{target}");
        assert_eq!(reading.finish(&reader, 20_000), expected, "{target}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever retention removes meanwhile.
    #[test]
    fn what_is_still_stored_is_in_the_answer(
        seed: u64,
        target in prop::sample::select(TARGETS.to_vec()),
        drawn in prop::collection::vec(any::<u8>(), 0..=400),
    ) {
        let mut events = Random::seeded(seed);
        let mut engine = filled(&mut events);
        engine.retain(Retention { age: None, bytes: Some(4_000) });
        // If events are removed while a page is being chosen, it reaches further.
        let unlimited = target.replace("limit=100&", "").replace("?limit=100", "");
        let expected = whole(&unlimited, &engine);

        let mut source = Random::bytes(&drawn);
        let mut reading = Reading::begin(target);
        let first = reading.reader(&engine);
        reading.poll(&first, 0, 1);
        let mut millis = 0;
        while !reading.is_over {
            if source.one_in(3) {
                store(&mut engine, 20, &mut events);
                maintain(&mut engine);
            }
            if source.one_in(4) {
                drop(reading.run.suspend());
            }
            millis += source.pick(&[0, 300, 1_000]);
            let reader = reading.reader(&engine);
            reading.poll(&reader, millis, source.pick(&[1, 10, 60]));
        }
        let reader = reading.reader(&engine);
        let found = reading.finish(&reader, millis);
        let stored = whole("/events", &engine);
        let is_page = unlimited != target;
        prop_assert!(!is_page || found.len() <= 100);
        let mut left = found.iter().peekable();
        for event in &expected {
            if is_page && left.peek().is_none() {
                break;
            }
            let is_found = left.next_if(|found| *found == event).is_some();
            prop_assert!(is_found || !stored.contains(event), "{} is missing", event);
        }
        prop_assert_eq!(left.next(), None, "an event of no first snapshot, or out of order");
    }
}
