//! A small store, and what it must answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use argus_core::engine::{Engine, Loss, Salvage, Seed, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Order, Scan, TypeTest};
use argus_core::repository::{ReadError, Repository as _, Snapshot};
use argus_core::storage::{MemoryStorage, Storage as _};
use argus_testing::{
    Answer, Draft, NOW, Pace, StoredEvent, UNCOMPACTED, all_events, collect, generate, get, maintain, segments, steady,
};

/// A store and its right answers.
pub(crate) struct Store {
    pub(crate) medium: MemoryStorage,
    /// In order of sequence numbers.
    pub(crate) events: Vec<StoredEvent>,
    answers: Vec<Answer>,
    /// The end of each record left in the log, and the last sequence number in it.
    pub(crate) records: Vec<(u64, u64)>,
    /// The end of the last record with events; a durability mark follows.
    pub(crate) events_end: u64,
}

/// A store of three segments, and some records after them in the log.
pub(crate) fn store() -> Store {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), UNCOMPACTED).unwrap();
    let mut number = 0;
    let mut records = Vec::new();
    let mut commit = |engine: &mut Engine<MemoryStorage>, count: i64| {
        let drafts: Vec<Draft> = (number..number + count).map(draft).collect();
        number += count;
        engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
        (engine.storage().log_end(), engine.snapshot().stats().unwrap().last_seq)
    };
    for _ in 0..3 {
        commit(&mut engine, 5);
        commit(&mut engine, 3);
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    for count in [2, 1, 3] {
        records.push(commit(&mut engine, count));
    }
    let events_end = engine.storage().log_end();
    engine.on_idle().unwrap();
    let medium = engine.storage().clone();
    assert_eq!(segments(&medium).len(), 3);
    let snapshot = engine.snapshot();
    let events = all_events(&snapshot).unwrap();
    assert_eq!(events.len(), 30);
    let answers = answers(&snapshot).into_iter().map(Result::unwrap).collect();
    Store { medium, events, answers, records, events_end }
}

/// One of three types, a time out of order, and an id for some.
pub(crate) fn draft(number: i64) -> Draft {
    Draft {
        event_type: ["view", "click", "buy"][number as usize * 7 % 3].into(),
        timestamp: Timestamp::from_nanos(NOW.as_nanos() + number * 5 % 7 * 1_000_000_000),
        payload: format!("{{\"n\":{number}}}"),
        id: (number % 3 == 0).then(|| format!("id-{number}")),
    }
}

/// The answers to queries of all kinds.
fn answers(snapshot: &Arc<dyn Snapshot>) -> Vec<Result<Answer, ReadError>> {
    let time = |seconds: i64| Some(Timestamp::from_nanos(NOW.as_nanos() + seconds * 1_000_000_000));
    let queries = [
        Scan::default(),
        Scan { order: Order::TimeDescending, ..Scan::default() },
        Scan { order: Order::Sequence, ..Scan::default() },
        Scan::from(Filter { types: Some([TypeTest::Eq("buy".into())].into()), ..Filter::default() }),
        Scan::from(Filter { start: time(2), end: time(4), ..Filter::default() }),
    ];
    queries.iter().map(|query| collect(snapshot, query, Pace::UNBROKEN)).collect()
}

impl Store {
    /// Checks that answers are right or errors; returns whether none was an error. From event `from` on, one in
    /// `stride` is also looked up by its id.
    pub(crate) fn says_nothing_wrong(
        &self,
        medium: &MemoryStorage,
        place: &str,
        (from, stride): (usize, usize),
    ) -> bool {
        let Ok(engine) = Engine::open_with(medium.clone(), Seed(0), UNCOMPACTED) else { return false };
        let snapshot = engine.snapshot();
        let mut all = true;
        for (found, expected) in answers(&snapshot).iter().zip(&self.answers) {
            match found {
                Ok(found) => assert_eq!(found, expected, "{place}"),
                Err(_) => all = false,
            }
        }
        for event in self.events.iter().skip(from % stride).step_by(stride) {
            match get(snapshot.as_ref(), &event.id.text()) {
                Ok(found) => assert_eq!(found.as_ref(), Some(event), "{place}"),
                Err(_) => all = false,
            }
        }
        assert!(matches!(get(snapshot.as_ref(), "id-1"), Ok(None) | Err(_)), "{place}: an unknown id");
        all
    }

    /// Salvages the store; returns the sequence numbers that are lost.
    pub(crate) fn salvaged(&self, medium: &MemoryStorage, place: &str) -> BTreeSet<u64> {
        let mut copy = MemoryStorage::default();
        let Salvage { source, copy: report, losses, has_other_ids, .. } = salvage(medium, &mut copy, Seed(0)).unwrap();
        assert!(!has_other_ids && report.is_whole() && source == check(medium), "{place}");
        let engine = Engine::open_with(copy, Seed(0), UNCOMPACTED).unwrap();
        let recovery = engine.recovery();
        assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false), "{place}");
        let saved = all_events(&engine.snapshot()).unwrap();
        let numbers: BTreeSet<u64> = saved.iter().map(|event| event.seq).collect();
        assert_eq!(saved.len(), numbers.len(), "{place}");
        for event in &saved {
            assert_eq!(self.events.get(event.seq as usize - 1), Some(event), "{place}");
            assert_eq!(get(engine.snapshot().as_ref(), &event.id.text()).unwrap().as_ref(), Some(event), "{place}");
        }
        // The report lists exactly the missing events.
        let lost: BTreeSet<u64> = (1..=self.events.len() as u64).filter(|seq| !numbers.contains(seq)).collect();
        assert_eq!(listed(&losses), lost, "{place}");
        assert!(engine.snapshot().stats().unwrap().last_seq >= self.events.len() as u64, "{place}");
        lost
    }
}

/// The sequence numbers in a list of losses.
pub(crate) fn listed(losses: &[Loss]) -> BTreeSet<u64> {
    losses.iter().flat_map(|loss| loss.seqs.iter().flat_map(|&(first, last)| first..=last)).collect()
}
