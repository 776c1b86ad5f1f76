//! Altered data from the medium is noticed: no flipped bit of the log gives a wrong answer.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::task::Poll;

use argus_core::batch::Batch;
use argus_core::engine::{Engine, OpenError, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Maintenance as _, Repository as _};
use argus_core::storage::{MemoryStorage, Storage as _, StorageError, StorageWriter as _};
use argus_testing::{
    Draft, Ending, Faults, InjectedFault, NOW, Phase, SimStorage, blob, flipped, generate, maintain, steady, with_blob,
    with_log,
};

/// Three commits: one event, several out of order with ids, one more. Returns the length of the log then, and the
/// medium after `on_idle`.
fn stored() -> (usize, MemoryStorage) {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    for (count, id) in [(1, None), (3, Some("order-")), (1, Some("last-"))] {
        engine.commit(NOW, &[batch(count, id)]).unwrap();
    }
    let events_end = engine.storage().log().len();
    engine.on_idle().unwrap();
    (events_end, engine.storage().clone())
}

fn batch(count: i64, id: Option<&str>) -> Batch {
    let draft = |index| Draft {
        event_type: "click".into(),
        timestamp: Timestamp::from_nanos(1_000 - index),
        payload: r#"{"page":"/"}"#.into(),
        id: id.map(|prefix| format!("{prefix}{index}")),
    };
    generate::batch(&(0..count).map(draft).collect::<Vec<_>>())
}

/// Writes a durable blob.
fn put(medium: &mut SimStorage, name: &str, bytes: &[u8]) {
    let mut draft = medium.create(name).unwrap();
    draft.write(bytes).unwrap();
    let published = draft.finish().unwrap();
    medium.adopt(published);
}

#[test]
fn a_flipped_bit_of_the_log_is_located() {
    let (events_end, storage) = stored();
    for bit in 0..storage.log().len() * 8 {
        let opened = Engine::open(with_log(&storage, &flipped(storage.log(), bit)), Seed(0));
        if bit / 8 < events_end {
            let Err(OpenError::Damaged { place, reason, .. }) = opened else { panic!("bit {bit} went unnoticed") };
            assert!(place.starts_with("the log at offset ") && reason.contains("; event"), "{place}: {reason}");
        } else {
            // The durability mark may be damaged: it only tells corruption from a torn tail.
            let engine = opened.unwrap();
            assert_eq!(engine.snapshot().stats().unwrap().events, 5, "bit {bit}");
            assert!(engine.recovery().cut_bytes > 0);
        }
    }
}

#[test]
fn recovery_confirms_the_last_record_as_durable() {
    let (events_end, storage) = stored();
    let torn = [&storage.log()[..events_end], b"torn"].concat();
    let mut engine = Engine::open(with_log(&storage, &torn), Seed(0)).unwrap();
    assert_eq!(engine.recovery().cut_bytes, 4);
    engine.on_idle().unwrap();
    assert!(engine.storage().log() == storage.log());
    // Once is enough for all later recoveries.
    let mut engine = Engine::open(engine.storage().clone(), Seed(0)).unwrap();
    engine.on_idle().unwrap();
    assert!(engine.storage().log() == storage.log());
}

#[test]
fn a_torn_tail_costs_the_last_record_and_nothing_before() {
    let (events_end, storage) = stored();
    let mut most = 0;
    for end in 0..=events_end {
        let engine = Engine::open(with_log(&storage, storage.log().get(..end).unwrap()), Seed(0)).unwrap();
        let events = engine.snapshot().stats().unwrap().events;
        assert!([0, 1, 4, 5].contains(&events), "{events} events of {end} bytes are no whole records");
        assert!(events >= most, "a longer log must not give fewer events");
        most = events;
        // The result can be opened again and stays the same.
        let again = Engine::open(engine.storage().clone(), Seed(0)).unwrap();
        assert_eq!(again.snapshot().stats().unwrap(), engine.snapshot().stats().unwrap());
        assert_eq!(again.recovery().cut_bytes, 0);
        assert_eq!(again.storage().log(), engine.storage().log());
    }
    assert_eq!(most, 5);
}

#[test]
fn a_cut_tail_never_comes_back() {
    // Nothing was synced, so a crash may tear any of it.
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.defer_syncs();
    for _ in 0..4 {
        engine.commit(NOW, &[batch(1, None)]).unwrap();
    }
    let storage = engine.storage().clone();
    for torn_at in 0..storage.log().len() {
        let mut engine = Engine::open(with_log(&storage, storage.log().get(..torn_at).unwrap()), Seed(0)).unwrap();
        let kept = engine.snapshot().stats().unwrap().events;
        engine.commit(Timestamp::from_nanos(NOW.as_nanos() + 1_000_000), &[batch(1, None)]).unwrap();
        // All records have the same length, so that old records continue exactly where the new one ends.
        let mut log = engine.storage().log().to_vec();
        log.extend_from_slice(storage.log().get(log.len()..).unwrap_or_default());
        let engine = Engine::open(with_log(engine.storage(), &log), Seed(0)).unwrap();
        assert_eq!(engine.snapshot().stats().unwrap().events, kept + 1, "torn at {torn_at}");
    }
}

#[test]
fn one_copy_of_the_manifest_is_enough_and_none_is_an_error() {
    let (_, storage) = stored();
    let bytes = blob(&storage, "manifest-a");
    for at in 0..bytes.len() {
        let changed = flipped(&bytes, at * 8);
        let damaged = with_blob(&storage, "manifest-a", changed.clone());
        let engine = Engine::open(damaged.clone(), Seed(0)).unwrap();
        assert!(engine.recovery().manifest_repaired);
        assert_eq!(blob(engine.storage(), "manifest-a"), bytes);
        assert_eq!(engine.snapshot().stats().unwrap().events, 5);
        let damaged = with_blob(&damaged, "manifest-b", changed);
        assert!(matches!(Engine::open(damaged, Seed(0)), Err(OpenError::Damaged { .. })), "byte {at}");
    }
    let mut missing = storage.clone();
    missing.delete("manifest-a")().unwrap();
    missing.delete("manifest-b")().unwrap();
    assert!(matches!(Engine::open(missing, Seed(0)), Err(OpenError::Damaged { .. })));
}

#[test]
fn an_unreadable_copy_of_the_manifest_is_repaired_from_the_other() {
    // Each copy is looked up and read, one after the other.
    for (call, name) in ["manifest-a", "manifest-a", "manifest-b", "manifest-b"].into_iter().enumerate() {
        let medium = SimStorage::new(1, Faults::NONE);
        let mut engine = Engine::open(medium.clone(), Seed(7)).unwrap();
        engine.commit(NOW, &[batch(3, None)]).unwrap();
        drop(engine);
        let mut medium = medium.restart(Ending::Process);
        let blobs = medium.contents().blobs;
        put(&mut medium, name, b"unreadable");
        medium.inject(InjectedFault::ReadError, call as u32);
        let engine = Engine::open(medium.clone(), Seed(0)).unwrap();
        assert_eq!(
            (engine.snapshot().stats().unwrap().events, engine.recovery().manifest_repaired),
            (3, true),
            "call {call}"
        );
        assert_eq!((medium.failures(), medium.contents().blobs), (1, blobs), "call {call}");
    }
}

#[test]
fn an_unreadable_manifest_is_not_a_missing_one() {
    for other in [None, Some(&b"rotten"[..])] {
        let medium = SimStorage::new(1, Faults::NONE);
        drop(Engine::open(medium.clone(), Seed(7)).unwrap());
        let mut medium = medium.restart(Ending::Process);
        medium.delete("manifest-a")().unwrap();
        other.into_iter().for_each(|bytes| put(&mut medium, "manifest-a", bytes));
        let blobs = medium.contents().blobs;
        // The last read of either copy.
        medium.inject(InjectedFault::ReadError, if other.is_some() { 3 } else { 2 });
        let opened = Engine::open(medium.clone(), Seed(0));
        assert!(matches!(opened, Err(OpenError::Storage(StorageError::Failed(_)))), "{opened:?}");
        assert_eq!(medium.contents().blobs, blobs);
    }
}

/// A medium after a power failure between the two copies of a manifest that lists the first segment, of three events.
fn between_two_copies() -> SimStorage {
    let tuning = Tuning { seal_events: 1, ..Tuning::default() };
    let media = (0..100).map(|call| {
        let medium = SimStorage::new(1, Faults::NONE);
        medium.crash_at(Some((call, Phase::Before)));
        if let Ok(mut engine) = Engine::open_with(medium.clone(), Seed(7), tuning)
            && engine.commit(NOW, &[batch(3, None)]).is_ok()
        {
            // The power may fail here as well.
            let _outcome = maintain(&mut engine, steady(NOW));
        }
        medium.restart(Ending::Power)
    });
    let differ = |medium: &SimStorage| {
        let blobs = medium.contents().blobs;
        blobs.contains_key("segment-000000000001") && blobs["manifest-a"] != blobs["manifest-b"]
    };
    media.into_iter().find(differ).unwrap()
}

#[test]
fn an_unreadable_copy_of_the_manifest_may_be_the_newer_one() {
    let tuning = Tuning { seal_events: 4, ..Tuning::default() };
    let medium = between_two_copies();
    medium.inject(InjectedFault::ReadError, 0);
    medium.set_free(Some(0));
    let mut engine = Engine::open_with(medium.clone(), Seed(0), tuning).unwrap();
    let recovery = engine.recovery();
    assert!((recovery.sealed_events, recovery.replayed_events) == (0, 3) && recovery.manifest_outdated);
    medium.set_free(None);
    engine.commit(NOW, &[batch(1, None)]).unwrap();
    // Before the copies are rewritten, four events are sealed.
    let _publication = engine.next_task(steady(NOW)).unwrap();
    let mut sealing = engine.next_task(steady(NOW)).unwrap();
    while sealing.step(1000) == Poll::Pending {}
    drop(engine);
    let engine = Engine::open_with(medium.restart(Ending::Power), Seed(0), tuning).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.sealed_events, recovery.replayed_events, recovery.orphans), (3, 1, 1));
}

#[test]
fn the_log_is_kept_while_a_copy_of_the_manifest_needs_it() {
    let tuning = Tuning { seal_events: 4, ..Tuning::default() };
    let medium = between_two_copies();
    let start = medium.contents().range.start;
    medium.set_free(Some(0));
    let mut engine = Engine::open_with(medium.clone(), Seed(0), tuning).unwrap();
    assert!((engine.recovery().sealed_events, engine.recovery().manifest_outdated) == (3, true));
    assert!(matches!(maintain(&mut engine, steady(NOW)), Err(CommitError::Full(_))));
    assert_eq!(medium.contents().range.start, start);
    // The newer copy is damaged, so the older one is used.
    drop(engine);
    let mut medium = medium.restart(Ending::Power);
    medium.set_free(None);
    put(&mut medium, "manifest-a", b"rotten");
    let mut engine = Engine::open_with(medium.clone(), Seed(0), tuning).unwrap();
    assert_eq!(engine.recovery().replayed_events, 3);
    engine.commit(NOW, &[batch(1, None)]).unwrap();
    maintain(&mut engine, steady(NOW)).unwrap();
    assert!(medium.contents().range.start > start, "both copies are new");
}

#[test]
fn a_full_medium_can_be_opened_with_an_old_copy_of_the_manifest() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine =
        Engine::open_with(medium.clone(), Seed(7), Tuning { seal_events: 1, ..Tuning::default() }).unwrap();
    let before = medium.contents().blobs["manifest-b"].clone();
    engine.commit(NOW, &[batch(3, None)]).unwrap();
    maintain(&mut engine, steady(NOW)).unwrap();
    drop(engine);
    // As if the process had ended between the two copies, and the blobs that the older one lists still existed.
    let mut medium = medium.restart(Ending::Process);
    for (name, bytes) in [("manifest-b", &before), ("segment-000000000900", &before)] {
        put(&mut medium, name, bytes);
    }
    medium.set_free(Some(0));
    let mut blobs = medium.contents().blobs;
    let engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.recovery().orphans), (3, 0));
    assert!(!engine.recovery().manifest_repaired && engine.recovery().manifest_outdated);
    assert_eq!(medium.contents().blobs, blobs);
    drop(engine);
    let medium = medium.restart(Ending::Process);
    medium.set_free(None);
    let engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    assert_eq!((engine.recovery().manifest_repaired, engine.recovery().orphans), (true, 1));
    blobs.remove("segment-000000000900");
    blobs.insert("manifest-b".into(), blobs["manifest-a"].clone());
    assert_eq!(medium.contents().blobs, blobs);
}

#[test]
fn an_old_copy_of_the_manifest_is_repaired_when_there_is_room() {
    let mut medium = SimStorage::new(1, Faults::NONE);
    drop(Engine::open(medium.clone(), Seed(7)).unwrap());
    medium = medium.restart(Ending::Process);
    medium.delete("manifest-a")().unwrap();
    medium.set_free(Some(0));
    let mut engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    assert!(maintain(&mut engine, steady(NOW)).is_err() && engine.recovery().manifest_outdated);
    medium.set_free(None);
    maintain(&mut engine, steady(NOW)).unwrap();
    assert!(!engine.recovery().manifest_outdated);
    let blobs = medium.contents().blobs;
    assert!(blobs.contains_key("manifest-a") && blobs["manifest-a"] == blobs["manifest-b"]);
}

#[test]
fn leftovers_of_an_earlier_part_of_the_log_are_no_torn_tail() {
    let (_, storage) = stored();
    let mut engine = Engine::open(storage.clone(), Seed(0)).unwrap();
    engine.commit(NOW, &[batch(2, None)]).unwrap();
    let next = engine.storage().log().get(storage.log().len()..).unwrap();
    // As in a reused file: after the end of the log comes what stood there before.
    let mut log = storage.log().to_vec();
    log.extend_from_slice(storage.log());
    let engine = Engine::open(with_log(&storage, &log), Seed(0)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.recovery().cut_bytes), (5, 0));
    // A record that starts there is different.
    let mut log = storage.log().to_vec();
    log.extend_from_slice(next.get(..next.len() - 1).unwrap());
    log.extend_from_slice(storage.log());
    let engine = Engine::open(with_log(&storage, &log), Seed(0)).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().events, 5);
    assert_eq!(engine.recovery().cut_bytes, next.len() as u64);
}
