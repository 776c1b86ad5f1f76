//! Erasures: nothing shows the events any more, and their bytes leave the medium in time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed, Tuning, back_up, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Operand, PayloadFilter, PayloadPath, Scan, Test, TypeTest};
use argus_core::repository::{CommitError, Erased, ExpiryCause, Gap, Maintenance as _, Repository as _};
use argus_core::storage::{MemoryStorage, StorageReader as _, StorageWriter as _};
use argus_testing::{
    Draft, Ending, Faults, NOW, Pace, SMALL, SimStorage, UNCOMPACTED, all_events, all_gaps, blob, count_erased,
    flipped, generate, get, maintain, segments, with_blob, with_log,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A text that is in the payload, the id and the type of erased events, and in the filter.
const SECRET: &str = "s3cr3t";

fn after(passed: Duration) -> Moment {
    let nanos = NOW.as_nanos() + i64::try_from(passed.as_nanos()).unwrap();
    Moment { wall: Timestamp::from_nanos(nanos), uptime: passed }
}

/// Event `index` of a user.
fn event(user: &str, index: usize) -> Draft {
    Draft {
        event_type: "view".into(),
        timestamp: Timestamp::from_nanos(NOW.as_nanos() - 1_000 + i64::try_from(index).unwrap()),
        payload: format!(r#"{{"user":"{user}","n":{index}}}"#),
        id: index.is_multiple_of(2).then(|| format!("{user}-{index}")),
    }
}

/// Commits `count` batches of four events each, every second one with an event of the secret user.
fn fill(engine: &mut Engine<SimStorage>, count: usize) {
    for batch in 0..count {
        let user = if batch % 2 == 0 { SECRET } else { "ann" };
        let events: Vec<Draft> =
            [user, "bob", "carl", "dora"].iter().enumerate().map(|(at, user)| event(user, batch * 4 + at)).collect();
        engine.commit(NOW, &[generate::batch(&events)]).unwrap();
    }
}

fn by_user(user: &str) -> Filter {
    let test = Test::Eq(Operand::new(user));
    Filter { payload: vec![PayloadFilter { path: PayloadPath::parse("user").unwrap(), test }], ..Filter::default() }
}

fn open(medium: &SimStorage, tuning: Tuning) -> Engine<SimStorage> {
    Engine::open_with(medium.clone(), Seed(1), tuning).unwrap()
}

fn holds_secret(medium: &SimStorage) -> bool {
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    medium.raw_bytes().iter().any(|bytes| has(bytes))
}

fn erase(engine: &mut Engine<SimStorage>, filter: &Filter) -> u64 {
    let erased = engine.erase(NOW, filter).unwrap();
    count_erased(&erased, filter, Pace::UNBROKEN).unwrap()
}

fn pending(engine: &Engine<SimStorage>) -> u64 {
    engine.snapshot().stats().unwrap().erasures.pending
}

#[test]
fn the_bytes_of_erased_events_leave_the_medium_in_time_whatever_was_sealed() {
    // Blocks of plain text: compression would hide the secret.
    for (batches, sealed_before, later) in [(8, false, 0), (8, true, 0), (8, true, 3), (1, false, 1), (8, false, 2)] {
        let medium = SimStorage::new(1, Faults::NONE);
        let mut engine = open(&medium, SMALL);
        fill(&mut engine, batches);
        if sealed_before {
            maintain(&mut engine, after(Duration::ZERO)).unwrap();
        }
        let all = engine.snapshot().stats().unwrap().events;
        let expected = u64::try_from(batches.div_ceil(2)).unwrap();
        assert_eq!(erase(&mut engine, &by_user(SECRET)), expected);
        for index in 0..later {
            engine.commit(NOW, &[generate::batch(&[event("late", index)])]).unwrap();
        }
        let is_erased = |engine: &Engine<SimStorage>| {
            let snapshot = engine.snapshot();
            assert_eq!(get(&*snapshot, &format!("{SECRET}-0")).unwrap(), None);
            let events = all_events(&snapshot).unwrap();
            assert!(events.iter().all(|event| !event.payload.contains(SECRET)));
            assert_eq!(events.len() as u64, all - expected + later as u64);
        };
        is_erased(&engine);
        assert!(holds_secret(&medium), "it is still there, or the test searches for the wrong bytes");
        // Other erasures of this hour will share the work.
        maintain(&mut engine, after(HOUR / 2 - Duration::from_secs(1))).unwrap();
        assert_eq!((pending(&engine), holds_secret(&medium)), (1, true));
        maintain(&mut engine, after(HOUR / 2)).unwrap();
        assert_eq!((pending(&engine), holds_secret(&medium)), (0, false), "{batches} {sealed_before} {later}");
        is_erased(&engine);
        assert_eq!(engine.snapshot().stats().unwrap().events, all - expected + later as u64);
        drop(engine);
        let mut engine = open(&medium.restart(Ending::Power), SMALL);
        is_erased(&engine);
        assert_eq!(pending(&engine), 0);
        assert_eq!(erase(&mut engine, &by_user(SECRET)), 0);
        assert_eq!(engine.snapshot().erasures(), 2, "numbers are not used again");
    }
}

#[test]
fn an_erasure_after_the_last_sealed_event_is_completed_though_later_events_are_not_sealed() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, SMALL);
    fill(&mut engine, SMALL.seal_events / 4);
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    assert_eq!(erase(&mut engine, &by_user(SECRET)), 2);
    drop(engine);
    let medium = medium.restart(Ending::Power);
    let mut engine = open(&medium, SMALL);
    engine.commit(NOW, &[generate::batch(&[event("late", 0)])]).unwrap();
    maintain(&mut engine, after(HOUR)).unwrap();
    assert_eq!((pending(&engine), holds_secret(&medium)), (0, false));
    let medium = medium.restart(Ending::Power);
    assert_eq!(all_events(&open(&medium, SMALL).snapshot()).unwrap().len(), SMALL.seal_events - 2 + 1);
}

#[test]
fn without_time_the_work_begins_at_once_and_a_restart_does_not_delay_it() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, SMALL);
    engine.erase_within(Duration::ZERO);
    fill(&mut engine, 4);
    erase(&mut engine, &by_user(SECRET));
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    assert_eq!((pending(&engine), holds_secret(&medium)), (0, false));

    fill(&mut engine, 2);
    engine.erase_within(HOUR);
    erase(&mut engine, &by_user(SECRET));
    drop(engine);
    let medium = medium.restart(Ending::Power);
    let mut engine = open(&medium, SMALL);
    // The process has just started, but the erasure is old.
    let Moment { wall, .. } = after(HOUR);
    maintain(&mut engine, Moment { wall, uptime: Duration::ZERO }).unwrap();
    assert_eq!((pending(&engine), holds_secret(&medium)), (0, false));
}

#[test]
fn a_clock_that_was_set_back_does_not_delay_the_work() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, SMALL);
    fill(&mut engine, 4);
    erase(&mut engine, &by_user(SECRET));
    let set_back = |uptime| Moment { wall: Timestamp::from_nanos(0), uptime };
    maintain(&mut engine, set_back(Duration::ZERO)).unwrap();
    assert_eq!(pending(&engine), 1);
    maintain(&mut engine, set_back(HOUR / 2)).unwrap();
    assert_eq!((pending(&engine), holds_secret(&medium)), (0, false));
}

#[test]
fn an_erased_id_is_new_again_and_leads_to_the_new_event() {
    for sealed in [false, true] {
        let mut engine = open(&SimStorage::new(1, Faults::NONE), SMALL);
        let commit = |engine: &mut Engine<SimStorage>, payload: &str| {
            let draft = Draft { id: Some("order-1".into()), payload: payload.into(), ..event("ann", 0) };
            let receipt = engine.commit(NOW, &[generate::batch(&[draft])]).unwrap().remove(0);
            if sealed {
                maintain(engine, after(HOUR)).unwrap();
            }
            (receipt.stored, receipt.duplicates.len())
        };
        let ids = Filter { ids: Some(vec!["order-1".into()]), ..Filter::default() };
        for round in 0..4 {
            assert_eq!(commit(&mut engine, &round.to_string()), (1, 0));
            assert_eq!(commit(&mut engine, "null"), (0, 1));
            let snapshot = engine.snapshot();
            assert_eq!(get(&*snapshot, "order-1").unwrap().unwrap().payload, round.to_string());
            assert_eq!(all_events(&snapshot).unwrap().len(), 1);
            assert_eq!(erase(&mut engine, &ids), 1);
            assert_eq!(get(&*engine.snapshot(), "order-1").unwrap(), None);
        }
        let gaps = all_gaps(&engine.snapshot(), 0, 4, 1).unwrap();
        assert_eq!(gaps, [Gap { first: 1, last: 4 }]);
    }
}

#[test]
fn a_generated_id_can_be_erased() {
    let mut engine = open(&SimStorage::new(1, Faults::NONE), SMALL);
    fill(&mut engine, 2);
    let events = all_events(&engine.snapshot()).unwrap();
    let id = events.iter().find(|event| event.seq == 2).unwrap().id.text();
    let ids = Filter { ids: Some(vec![id.as_str().into(), id.to_uppercase().into()]), ..Filter::default() };
    assert_eq!((erase(&mut engine, &ids), erase(&mut engine, &ids)), (1, 0));
    assert_eq!(get(&*engine.snapshot(), &id).unwrap(), None);
    assert_eq!(all_gaps(&engine.snapshot(), 0, 8, 3).unwrap(), [Gap { first: 2, last: 2 }]);
}

#[test]
fn an_erasure_that_can_match_nothing_is_not_recorded() {
    let mut engine = open(&SimStorage::new(1, Faults::NONE), SMALL);
    assert!(matches!(engine.erase(NOW, &Filter::default()).unwrap(), Erased::Exactly(0)));
    fill(&mut engine, 1);
    for filter in
        [Filter { types: Some(vec![]), ..Filter::default() }, Filter { ids: Some(vec![]), ..Filter::default() }]
    {
        assert!(matches!(engine.erase(NOW, &filter).unwrap(), Erased::Exactly(0)));
    }
    assert_eq!((pending(&engine), engine.snapshot().erasures()), (0, 0));
}

#[test]
fn too_many_erasures_are_refused_until_maintenance_has_caught_up() {
    let mut engine = open(&SimStorage::new(1, Faults::NONE), SMALL);
    fill(&mut engine, 2);
    let filter = |number: usize| by_user(&format!("user {number}"));
    for number in 0..1_000 {
        assert_eq!(erase(&mut engine, &filter(number)), 0);
    }
    let Err(CommitError::Unavailable { cause, in_doubt: false }) = engine.erase(NOW, &filter(0)) else {
        panic!("the thousand and first one was accepted")
    };
    assert!(cause.to_string().contains("1000 erasures are not complete"), "{cause}");
    // There are so many that the work is due at once.
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    assert_eq!((pending(&engine), erase(&mut engine, &filter(0))), (0, 0));
    let long = by_user(&"x".repeat(5 << 20));
    assert!(matches!(engine.erase(NOW, &long), Err(CommitError::Unavailable { in_doubt: false, .. })));
}

#[test]
fn segments_without_erased_events_are_not_rewritten() {
    let medium = SimStorage::new(1, Faults::NONE);
    let tuning = Tuning { fan_in: 100, ..SMALL };
    let mut engine = open(&medium, tuning);
    for round in 0..3 {
        let user = if round == 1 { SECRET } else { "ann" };
        let events: Vec<Draft> = (0..tuning.seal_events).map(|index| event(user, round * 1_000 + index)).collect();
        engine.commit(NOW, &[generate::batch(&events)]).unwrap();
        maintain(&mut engine, after(Duration::ZERO)).unwrap();
    }
    let before = medium.contents().blobs;
    let names = |blobs: &std::collections::BTreeMap<String, _>| {
        blobs.keys().filter(|name: &&String| name.starts_with("segment")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&before).len(), 3);
    let (first, last) = (names(&before)[0].clone(), names(&before)[2].clone());
    // Half of the events of the middle segment.
    let some =
        Filter { ids: None, end: Some(event(SECRET, 1_000 + tuning.seal_events / 2).timestamp), ..by_user(SECRET) };
    assert!(erase(&mut engine, &some) > 0);
    let mut removed = Vec::new();
    while let Some(mut task) = engine.next_task(after(HOUR)) {
        while task.step(10).is_pending() {}
        removed.extend(engine.install(task).unwrap());
    }
    let after = names(&medium.contents().blobs);
    assert_eq!((&after[0], &after[1]), (&first, &last), "they are the same blobs as before");
    assert_eq!((after.len(), pending(&engine)), (3, 0));
    assert_eq!(removed.len(), 1);
    assert_eq!(
        (removed[0].events, removed[0].cause),
        (u64::try_from(tuning.seal_events / 2 + 1).unwrap(), ExpiryCause::Erasure)
    );
}

#[test]
fn a_backup_has_pending_erasures_and_a_salvage_leaves_the_events_out() {
    for sealed in [false, true] {
        let medium = SimStorage::new(1, Faults::NONE);
        let mut engine = open(&medium, SMALL);
        fill(&mut engine, 8);
        if sealed {
            maintain(&mut engine, after(Duration::ZERO)).unwrap();
        }
        erase(&mut engine, &by_user(SECRET));
        // The record of the second erasure is the last one of the log.
        erase(&mut engine, &Filter { types: Some(vec![TypeTest::Eq("nobody".into())]), ..by_user("bob") });
        engine.close().unwrap();
        let expected = all_events(&engine.snapshot()).unwrap();

        let mut copy = MemoryStorage::default();
        back_up(&medium, &mut copy).unwrap();
        assert_eq!((check(&copy).findings, check(&copy).erasures), (vec![], 2));
        let opened = Engine::open_with(copy.clone(), Seed(2), SMALL).unwrap();
        assert!(opened.recovery().was_closed);
        assert_eq!(all_events(&opened.snapshot()).unwrap(), expected);
        assert_eq!(opened.snapshot().stats().unwrap().erasures.pending, 2);

        let mut saved = MemoryStorage::default();
        let salvaged = salvage(&copy, &mut saved, Seed(3)).unwrap();
        assert_eq!((salvaged.erased, salvaged.may_miss_erasures, salvaged.losses), (4, false, vec![]));
        let opened = Engine::open_with(saved.clone(), Seed(4), SMALL).unwrap();
        assert_eq!(all_events(&opened.snapshot()).unwrap(), expected);
        assert_eq!(opened.snapshot().stats().unwrap().erasures.pending, 0);
        assert!(segments(&saved).iter().all(|name| {
            let blob = blob(&saved, name);
            !blob.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        }));

        // Without a manifest, it is unknown which erasures there were.
        let lost = with_blob(&with_blob(&copy, "manifest-a", vec![0]), "manifest-b", vec![0]);
        let salvaged = salvage(&lost, &mut MemoryStorage::default(), Seed(3)).unwrap();
        assert!(salvaged.may_miss_erasures && salvaged.has_other_ids);
    }
}

#[test]
fn a_lost_erasure_is_not_forgotten_when_others_follow() {
    for later in 1..3 {
        let medium = SimStorage::new(1, Faults::NONE);
        let mut engine = open(&medium, SMALL);
        fill(&mut engine, 1);
        let before = medium.contents().log.len();
        erase(&mut engine, &by_user(SECRET));
        let after = medium.contents().log.len();
        fill(&mut engine, 1);
        for _ in 0..later {
            erase(&mut engine, &by_user("bob"));
        }
        engine.close().unwrap();
        let mut copy = MemoryStorage::default();
        back_up(&medium, &mut copy).unwrap();
        assert!(!salvage(&copy, &mut MemoryStorage::default(), Seed(3)).unwrap().may_miss_erasures);
        // The last byte of the record.
        let log = flipped(copy.log(), (after - 1) * 8);
        assert!(before < after);
        let salvaged = salvage(&with_log(&copy, &log), &mut MemoryStorage::default(), Seed(3)).unwrap();
        assert!(salvaged.may_miss_erasures, "{later} later ones");
    }
}

#[test]
fn a_lost_log_may_have_had_erasures() {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), UNCOMPACTED).unwrap();
    let drafts: Vec<Draft> = (0..8).map(|index| event(SECRET, index)).collect();
    engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    engine.erase(NOW, &by_user(SECRET)).unwrap();
    // The process is killed, and all files of the log are lost.
    let medium = engine.storage();
    assert!(medium.log_range().unwrap().start > 0, "the events are sealed");
    let mut lost = MemoryStorage::default();
    for name in medium.list().unwrap() {
        lost.insert(&name, blob(medium, &name));
    }
    assert!(salvage(&lost, &mut MemoryStorage::default(), Seed(3)).unwrap().may_miss_erasures);
}

#[test]
fn a_lost_erasure_at_the_end_of_a_closed_log_is_damage() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, SMALL);
    fill(&mut engine, 1);
    let before = medium.contents().log.len();
    erase(&mut engine, &by_user(SECRET));
    engine.close().unwrap();
    let mut copy = MemoryStorage::default();
    back_up(&medium, &mut copy).unwrap();
    let log = copy.read_log(0, before).unwrap();
    let cut = with_log(&copy, &log);
    let error = Engine::open_with(cut.clone(), Seed(2), SMALL).unwrap_err().to_string();
    assert!(error.contains("there is no intact record, but the log ended at offset"), "{error}");
    let salvaged = salvage(&cut, &mut MemoryStorage::default(), Seed(3)).unwrap();
    assert!(salvaged.may_miss_erasures && !salvaged.has_other_ids);
}

#[test]
fn counting_is_exact_while_events_are_committed_and_erased() {
    let mut engine = open(&SimStorage::new(1, Faults::NONE), SMALL);
    fill(&mut engine, 4);
    let all = Filter::default();
    let first = engine.erase(NOW, &by_user(SECRET)).unwrap();
    let second = engine.erase(NOW, &all).unwrap();
    fill(&mut engine, 2);
    maintain(&mut engine, after(HOUR)).unwrap();
    let third = engine.erase(NOW, &all).unwrap();
    let counts = [(&third, &all), (&second, &all), (&first, &by_user(SECRET))]
        .map(|(erased, filter)| count_erased(erased, filter, Pace { budget: 1, stop_every: 1 }).unwrap());
    assert_eq!(counts, [8, 14, 2]);
    let snapshot = engine.snapshot();
    assert_eq!(all_events(&snapshot).unwrap(), []);
    assert_eq!(argus_testing::collect(&snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events, []);
}

/// An older copy of the manifest may list segments that the newer one does not list. They stay until both copies are
/// written again, and their events may be erased.
#[test]
fn what_a_full_medium_kept_when_it_was_opened_goes_without_another_opening() {
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, SMALL);
    let manifest = medium.contents().blobs["manifest-b"].clone();
    fill(&mut engine, 8);
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    drop(engine);
    // As if the process had ended between the two copies.
    let mut medium = medium.restart(Ending::Process);
    let segment = medium.contents().blobs.into_iter().find(|(name, _)| name.starts_with("segment-")).unwrap().1;
    for (name, bytes) in [("manifest-b", manifest), ("segment-000000000900", segment)] {
        let mut draft = medium.create(name).unwrap();
        draft.write(&bytes).unwrap();
        let published = draft.finish().unwrap();
        medium.adopt(published);
    }
    medium.set_free(Some(0));
    let mut engine = open(&medium, SMALL);
    assert!(engine.recovery().manifest_outdated);
    assert!(medium.contents().blobs.contains_key("segment-000000000900"), "a copy of the manifest may list it");
    medium.set_free(None);
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    assert!(!medium.contents().blobs.contains_key("segment-000000000900"));
    assert_eq!(erase(&mut engine, &by_user(SECRET)), 4);
    maintain(&mut engine, after(HOUR)).unwrap();
    assert_eq!(pending(&engine), 0);
    assert!(!holds_secret(&medium));
}

/// Neighbours in the order of arrival are far apart in time, so a page of the sequence index names very many blocks.
#[test]
fn each_step_of_the_search_for_gaps_reads_few_blocks_and_gets_further() {
    let tuning = Tuning { seal_events: 600, seal_bytes: 1 << 20, block_bytes: 100, ..UNCOMPACTED };
    let medium = SimStorage::new(1, Faults::NONE);
    let mut engine = open(&medium, tuning);
    let draft =
        |index: usize| Draft { timestamp: Timestamp::from_nanos((index * 7 % 600) as i64), ..event("ann", index) };
    engine.commit(NOW, &[generate::batch(&(0..600).map(draft).collect::<Vec<_>>())]).unwrap();
    maintain(&mut engine, after(Duration::ZERO)).unwrap();
    let test = Test::Lt(Operand::new("3"));
    let payload = vec![PayloadFilter { path: PayloadPath::parse("n").unwrap(), test }];
    assert_eq!(erase(&mut engine, &Filter { payload, ..Filter::default() }), 3);
    let (mut search, mut gaps, mut known_to) = (engine.snapshot().gaps(0, 600), VecDeque::new(), 0);
    let mut steps = 0;
    while known_to < 600 {
        let (before, reads) = (known_to, medium.calls());
        known_to = search.poll_gaps(4_096, &mut gaps).unwrap();
        assert!(known_to > before, "a step after {before} gets no further");
        assert!(medium.calls() - reads <= 40, "{} reads in one step", medium.calls() - reads);
        steps += 1;
    }
    assert_eq!(gaps, [Gap { first: 1, last: 3 }]);
    assert!(steps > 3, "{steps} steps");
}
