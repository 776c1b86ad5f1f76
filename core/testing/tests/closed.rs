//! A closed repository: the next opening notices a lost end of the log, and nothing else.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::batch::Batch;
use argus_core::damage::Affected;
use argus_core::engine::{Engine, OpenError, Seed, back_up, check, is_blob_name, salvage};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Repository as _};
use argus_core::storage::{MemoryStorage, Storage, StorageError, StorageReader as _, StorageWriter as _};
use argus_testing::{
    Draft, Ending, Faults, InjectedFault, NOW, Phase, SMALL, SimStorage, blob, generate, maintain, steady, with_log,
};

fn batch(count: i64) -> Batch {
    let draft = |number| Draft {
        event_type: "click".into(),
        timestamp: Timestamp::from_nanos(number),
        payload: format!("{{\"n\":{number}}}"),
        id: None,
    };
    generate::batch(&(0..count).map(draft).collect::<Vec<_>>())
}

/// Three commits of two events each on a medium that was closed, and the end of each in the log.
fn closed() -> (MemoryStorage, [u64; 3]) {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    let ends = [0; 3].map(|_| {
        engine.commit(NOW, &[batch(2)]).unwrap();
        engine.storage().log_end()
    });
    engine.close().unwrap();
    (engine.storage().clone(), ends)
}

#[test]
fn every_blob_of_a_repository_has_a_known_kind_of_name() {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), SMALL).unwrap();
    for _ in 0..20 {
        engine.commit(NOW, &[batch(20)]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    engine.close().unwrap();
    let names = engine.storage().list().unwrap();
    for kind in ["manifest-a", "segment-", "log-end"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "{kind} is not among {names:?}");
    }
    assert_eq!(names.iter().find(|name| !is_blob_name(name)), None);
    assert!(!is_blob_name("notes.txt") && !is_blob_name("log-end.bak"));
}

#[test]
fn a_lost_tail_is_noticed_wherever_it_starts() {
    let (medium, ends) = closed();
    for from in 0..medium.log().len() {
        for is_cut in [false, true] {
            let mut log = medium.log().to_vec();
            log.get_mut(from..).unwrap().fill(0);
            log.truncate(if is_cut { from } else { log.len() });
            let place = format!("from {from}, {}", if is_cut { "cut" } else { "zeros" });
            let lost = with_log(&medium, &log);
            // Zeros replaced by zeros change nothing.
            let is_whole = |&&end: &&u64| log.get(..end as usize) == medium.log().get(..end as usize);
            let left = 2 * ends.iter().filter(is_whole).count() as u64;
            let report = check(&lost);
            assert_eq!((report.events, report.last_seq), (left, 6), "{place}");
            let mut copy = MemoryStorage::default();
            let salvaged = salvage(&lost, &mut copy, Seed(9)).unwrap();
            assert_eq!((salvaged.copy.events, salvaged.source), (left, report.clone()), "{place}");
            if left == 6 {
                assert!(report.is_whole() && salvaged.losses.is_empty(), "{place}: only the durability mark is lost");
                assert_eq!(Engine::open(lost, Seed(0)).unwrap().snapshot().stats().unwrap().events, 6, "{place}");
                continue;
            }
            let affected: Vec<Affected> = report.damage().map(|finding| finding.affected).collect();
            assert_eq!(affected, [Affected::all(left + 1, 6)], "{place}");
            let [loss] = &salvaged.losses[..] else { panic!("{place}: {:?}", salvaged.losses) };
            assert_eq!((&loss.seqs[..], loss.is_exact), (&[(left + 1, 6)][..], true), "{place}");
            let Err(OpenError::Damaged { place: named, reason, .. }) = Engine::open(lost.clone(), Seed(0)) else {
                panic!("{place}: it was opened");
            };
            assert!(named.starts_with("the log at offset "), "{named}");
            assert!(reason.contains(&format!("; events {} to 6 are affected", left + 1)), "{place}: {reason}");
            let refusal = back_up(&lost, &mut MemoryStorage::default()).unwrap_err().to_string();
            assert!(refusal.contains("but the log ended at offset "), "{place}: {refusal}");
            assert!(refusal.contains(&format!("; events {} to 6 are affected", left + 1)), "{place}: {refusal}");
        }
    }
}

#[test]
fn bytes_after_the_end_of_a_closed_log_are_ignored() {
    let (medium, ends) = closed();
    // Zeros, old contents of a file without a record head, and the head of another part of the log.
    let middle = medium.log().get(60..ends[0] as usize).unwrap();
    for behind in [&[0; 600][..], middle, medium.log()] {
        let room = with_log(&medium, &[medium.log(), behind].concat());
        assert!(check(&room).findings.is_empty());
        let engine = Engine::open(room, Seed(0)).unwrap();
        let recovery = engine.recovery();
        assert_eq!((recovery.was_closed, recovery.cut_bytes, recovery.cut_record), (true, 0, false));
        assert_eq!(engine.storage().log(), medium.log());
    }
    // A record that starts there is different: the next process wrote it.
    let mut engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    engine.commit(NOW, &[batch(1)]).unwrap();
    let (torn, _) = engine.storage().log().split_at(engine.storage().log().len() - 1);
    let engine = Engine::open(with_log(&medium, torn), Seed(0)).unwrap();
    let torn = (torn.len() - medium.log().len()) as u64;
    assert_eq!((engine.recovery().cut_bytes, engine.recovery().cut_record), (torn, true));
    // Without the recorded end, this cannot be told.
    let mut medium = medium.clone();
    medium.delete("log-end")().unwrap();
    let engine = Engine::open(with_log(&medium, &[medium.log(), middle].concat()), Seed(0)).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.was_closed, recovery.cut_bytes, recovery.cut_record), (false, middle.len() as u64, false));
}

#[test]
fn after_more_commits_a_lost_part_before_the_recorded_end_is_still_noticed() {
    let (medium, ends) = closed();
    let mut engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    engine.commit(NOW, &[batch(3)]).unwrap();
    let medium = engine.storage().clone();
    let engine = Engine::open(medium.clone(), Seed(0)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.recovery().was_closed), (9, false));
    // What came after the recorded end cannot be known.
    let log = medium.log().get(..medium.log().len() - 1).unwrap();
    assert_eq!(Engine::open(with_log(&medium, log), Seed(0)).unwrap().snapshot().stats().unwrap().events, 6);
    let log = medium.log().get(..ends[1] as usize).unwrap();
    assert!(Engine::open(with_log(&medium, log), Seed(0)).is_err());
}

#[test]
fn a_lost_durability_mark_does_not_make_later_events_missing() {
    let (medium, ends) = closed();
    let log = medium.log().get(..ends[2] as usize).unwrap();
    let mut engine = Engine::open(with_log(&medium, log), Seed(0)).unwrap();
    engine.commit(NOW, &[batch(1)]).unwrap();
    let engine = Engine::open(engine.storage().clone(), Seed(0)).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().events, 7);
    assert!(check(engine.storage()).is_whole());
}

#[test]
fn a_damaged_end_note_is_reported_and_rewritten() {
    let (mut medium, _) = closed();
    let note = blob(&medium, "log-end");
    for bytes in [&b"rotten"[..], b"", note.get(..35).unwrap()] {
        medium.insert("log-end", bytes.to_vec().into());
        let report = check(&medium);
        let damage: Vec<&str> = report.damage().map(|finding| finding.place.as_str()).collect();
        assert_eq!((damage, report.events), (vec!["log-end"], 6));
        let mut copy = MemoryStorage::default();
        assert!(back_up(&medium, &mut copy).unwrap().end_is_unknown);
        assert!(check(&copy).findings.is_empty() && Engine::open(copy, Seed(0)).unwrap().recovery().was_closed);
        let mut engine = Engine::open(medium.clone(), Seed(0)).unwrap();
        assert!(engine.recovery().end_is_unknown && !engine.recovery().was_closed);
        engine.close().unwrap();
        assert_eq!(blob(engine.storage(), "log-end"), note);
        assert!(check(engine.storage()).findings.is_empty());
    }
}

#[test]
fn an_unreadable_end_note_is_neither_missing_nor_damaged() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = Engine::open(medium.clone(), Seed(7)).unwrap();
    engine.commit(NOW, &[batch(2)]).unwrap();
    engine.close().unwrap();
    drop(engine);
    let mut medium = medium.restart(Ending::Process);
    medium.truncate(10).unwrap();
    let before = medium.contents();
    // The manifest is looked up and read twice, the clock's doubt is looked up, on which nothing depends, and then the
    // note is read.
    for call in [5, 6] {
        medium.inject(InjectedFault::ReadError, call);
        let opened = Engine::open(medium.clone(), Seed(0));
        assert!(matches!(opened, Err(OpenError::Storage(StorageError::Failed(_)))), "call {call}: {opened:?}");
        assert_eq!(medium.contents(), before, "call {call}");
    }
    medium.inject(InjectedFault::ReadError, 4);
    for _ in 0..2 {
        assert!(matches!(Engine::open(medium.clone(), Seed(0)), Err(OpenError::Damaged { .. })));
    }
}

#[test]
fn an_end_note_without_a_manifest_is_not_an_empty_repository() {
    let (mut medium, _) = closed();
    for name in ["manifest-a", "manifest-b"] {
        medium.delete(name)().unwrap();
    }
    let refusal = Engine::open(with_log(&medium, b""), Seed(0)).unwrap_err().to_string();
    assert!(refusal.contains("it is missing, although there is a log"), "{refusal}");
}

#[test]
fn a_copy_is_closed() {
    let (medium, _) = closed();
    let engine = Engine::open(medium, Seed(0)).unwrap();
    for medium in [engine.storage().clone(), MemoryStorage::default()] {
        let mut engine = Engine::open(medium, Seed(0)).unwrap();
        engine.commit(NOW, &[batch(2)]).unwrap();
        let mut copy = MemoryStorage::default();
        assert!(!back_up(engine.storage(), &mut copy).unwrap().end_is_unknown);
        let restored = Engine::open(copy, Seed(0)).unwrap();
        assert!(restored.recovery().was_closed);
        assert_eq!(restored.snapshot().stats().unwrap(), engine.snapshot().stats().unwrap());
    }
}

#[test]
fn closing_without_room_writes_no_end_note_and_does_not_fail() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = Engine::open(medium.clone(), Seed(7)).unwrap();
    engine.commit(NOW, &[batch(2)]).unwrap();
    medium.set_free(Some(0));
    engine.close().unwrap();
    assert!(!medium.contents().blobs.contains_key("log-end"));
    // Room is freed, before the end or before the next opening.
    medium.set_free(None);
    engine.close().unwrap();
    let engine = Engine::open(medium.restart(Ending::Power), Seed(0)).unwrap();
    assert_eq!((engine.recovery().was_closed, engine.snapshot().stats().unwrap().events), (true, 2));
}

#[test]
fn a_failed_storage_is_not_closed() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = Engine::open(medium.clone(), Seed(7)).unwrap();
    engine.commit(NOW, &[batch(2)]).unwrap();
    medium.inject(InjectedFault::SyncError, 0);
    engine.commit(NOW, &[batch(1)]).unwrap_err();
    assert!(matches!(engine.close(), Err(CommitError::Failed { .. })));
    assert!(!medium.contents().blobs.contains_key("log-end"));
    let engine = Engine::open(medium.restart(Ending::Process), Seed(0)).unwrap();
    assert!(!engine.recovery().was_closed);
}

#[test]
fn closing_survives_a_power_failure_at_every_call() {
    for is_deferred in [false, true] {
        let run = |crash: Option<(u64, Phase)>| {
            let medium = SimStorage::new(3, Faults::ALL);
            let mut engine = Engine::open(medium.clone(), Seed(7)).unwrap();
            if is_deferred {
                engine.defer_syncs();
            }
            engine.commit(NOW, &[batch(2)]).unwrap();
            engine.close().unwrap();
            engine.commit(NOW, &[batch(3)]).unwrap();
            medium.crash_at(crash.map(|(call, phase)| (medium.calls() + call, phase)));
            let before = medium.calls();
            let closed = engine.close();
            drop(engine);
            (medium.calls() - before, closed, medium.restart(Ending::Power))
        };
        let (calls, ..) = run(None);
        assert!(calls > 3, "{calls}");
        for (call, phase) in (0..calls).flat_map(|call| Phase::ALL.map(|phase| (call, phase))) {
            let place = format!("{phase:?} call {call}");
            let (_, closed, medium) = run(Some((call, phase)));
            assert!(closed.is_err(), "{place}");
            let engine = Engine::open(medium.clone(), Seed(0)).unwrap_or_else(|error| panic!("{place}: {error}"));
            let events = engine.snapshot().stats().unwrap().events;
            assert!(events == 5 || (is_deferred && events == 2), "{place}: {events} events");
        }
        let (_, closed, medium) = run(None);
        closed.unwrap();
        let engine = Engine::open(medium, Seed(0)).unwrap();
        assert_eq!((engine.snapshot().stats().unwrap().events, engine.recovery().was_closed), (5, true));
    }
}
