//! How a failed engine reports its reason: to operators with the place, to callers without it but with what became of
//! their events.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::task::Poll;

use argus_core::batch::Batch;
use argus_core::cause::Cause;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Failure, Maintenance as _, MaintenanceTask, Repository as _};
use argus_core::storage::MemoryStorage;
use argus_testing::{
    Draft, Faults, InjectedFault, NOW, SimStorage, UNCOMPACTED, blob, flipped, generate, maintain, segments, steady,
    with_blob,
};

/// Any two segments are compacted.
const COMPACTED: Tuning = Tuning { fan_in: 2, ..UNCOMPACTED };

/// Eight events with ids. Equal numbers give equal batches.
fn batch(number: i64) -> Batch {
    let draft = |event: i64| Draft {
        event_type: "click".into(),
        timestamp: Timestamp::from_nanos(event),
        payload: format!("{{\"n\":{event}}}"),
        id: Some(format!("id-{event}")),
    };
    generate::batch(&(8 * number..8 * number + 8).map(draft).collect::<Vec<_>>())
}

/// Two segments of eight events.
fn sealed() -> MemoryStorage {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), UNCOMPACTED).unwrap();
    for number in 0..2 {
        engine.commit(NOW, &[batch(number)]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    assert_eq!(engine.snapshot().stats().unwrap().segments, 2);
    engine.storage().clone()
}

/// The same with a changed byte in the first segment, at each place where opening does not notice it.
fn damaged() -> Vec<(String, MemoryStorage)> {
    let medium = sealed();
    let name = &segments(&medium)[0];
    let bytes = blob(&medium, name);
    let changed = (0..bytes.len()).filter_map(|at| {
        let medium = with_blob(&medium, name, flipped(&bytes, at * 8));
        Engine::open_with(medium.clone(), Seed(0), UNCOMPACTED).ok().map(|_| (format!("byte {at} of {name}"), medium))
    });
    changed.collect()
}

/// Checks how damage in a segment is reported.
fn assert_reported(cause: &Cause, what: &str, place: &str) {
    let damage = cause.damage().unwrap_or_else(|| panic!("{place}: {cause}"));
    assert!(damage.place.starts_with("segment-") && damage.offset.is_some(), "{place}: {damage}");
    assert_eq!(cause.to_string(), format!("{what}: {damage}"), "{place}");
    let told = cause.public_text();
    assert!(told.starts_with(&format!("{what}: part of what is stored is damaged: ")), "{place}: {told}");
    assert!(told.ends_with(&format!("; {}", damage.affected)), "{place}: {told}");
    assert!(!told.contains("segment-") && !told.contains("offset"), "{place}: {told}");
}

#[test]
fn damage_found_by_a_commit_is_reported_and_nothing_is_stored() {
    let mut found = 0;
    for (place, medium) in damaged() {
        let mut engine = Engine::open_with(medium, Seed(0), UNCOMPACTED).unwrap();
        let before = engine.storage().log().len();
        let Err(error) = engine.commit(NOW, &[batch(0)]) else { continue };
        let CommitError::Failed { cause, in_doubt: false } = &error else { panic!("{place}: {error}") };
        assert_reported(cause, "look-up of ids", &place);
        assert_eq!(engine.failure(), Some(&Failure::Failed(cause.clone())), "{place}");
        assert_eq!(engine.storage().log().len(), before, "{place}");
        // Later callers get the same error, and recovery fails.
        assert_eq!(engine.recover(), Err(error.clone()), "{place}");
        assert_eq!(engine.commit(NOW, &[batch(9)]), Err(error), "{place}");
        found += 1;
    }
    assert!(found > 100, "{found}");
}

#[test]
fn damage_found_by_a_task_is_reported() {
    let mut found = 0;
    for (place, medium) in damaged() {
        let mut engine = Engine::open_with(medium, Seed(0), COMPACTED).unwrap();
        let Err(error) = maintain(&mut engine, steady(NOW)) else { continue };
        let CommitError::Failed { cause, .. } = error else { panic!("{place}: {error}") };
        assert_reported(&cause, "maintenance", &place);
        assert_eq!(engine.commit(NOW, &[batch(9)]), Err(CommitError::failed(cause)), "{place}");
        found += 1;
    }
    assert!(found > 100, "{found}");
}

/// Swapped blocks are each undamaged, but in the wrong place.
#[test]
fn a_misplaced_block_is_damage_and_is_not_copied() {
    let medium = sealed();
    let name = &segments(&medium)[0];
    let bytes = blob(&medium, name);
    let mut found = 0;
    // The first block follows the head. Its length is found by trying: both blocks are undamaged then.
    for len in 20..200 {
        let mut changed = bytes.to_vec();
        let (first, second) = changed[16..16 + 2 * len].split_at_mut(len);
        first.swap_with_slice(second);
        let mut engine = Engine::open_with(with_blob(&medium, name, changed), Seed(0), COMPACTED).unwrap();
        let Err(CommitError::Failed { cause, .. }) = maintain(&mut engine, steady(NOW)) else {
            panic!("{len}: it was copied")
        };
        assert_reported(&cause, "maintenance", name);
        found += u32::from(cause.to_string().contains("it has other events than the index says"));
    }
    assert_eq!(found, 1);
}

#[test]
fn a_commit_is_in_doubt_only_if_its_append_was_started() {
    let in_doubt = |fault: InjectedFault, id: Option<&str>| {
        let medium = SimStorage::new(1, Faults::NONE);
        let mut engine = Engine::open_with(medium.clone(), Seed(7), UNCOMPACTED).unwrap();
        for number in 0..2 {
            engine.commit(NOW, &[batch(number)]).unwrap();
        }
        maintain(&mut engine, steady(NOW)).unwrap();
        medium.inject(fault, 0);
        let draft = Draft { event_type: "click".into(), timestamp: NOW, payload: "1".into(), id: id.map(Into::into) };
        match engine.commit(NOW, &[generate::batch(&[draft])]) {
            Err(CommitError::Failed { in_doubt, .. }) => in_doubt,
            outcome => panic!("{outcome:?}"),
        }
    };
    assert!(!in_doubt(InjectedFault::ReadError, Some("id-3")), "a look-up");
    assert!(in_doubt(InjectedFault::WriteError, None), "an append");
    assert!(in_doubt(InjectedFault::SyncError, None), "a sync");
}

/// A task that no engine created.
#[derive(Debug)]
struct Foreign;

impl MaintenanceTask for Foreign {
    fn step(&mut self, _: u32) -> Poll<()> {
        Poll::Ready(())
    }

    fn is_urgent(&self) -> bool {
        true
    }
}

#[test]
fn a_foreign_task_fails_the_engine() {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), UNCOMPACTED).unwrap();
    let Err(CommitError::Failed { cause, .. }) = engine.install(Box::new(Foreign)) else { panic!("it was installed") };
    assert!(cause.public_text().contains("a maintenance task of another repository"), "{cause}");
    assert_eq!(engine.commit(NOW, &[batch(0)]), Err(CommitError::failed(cause)));
}
