//! The simulated medium keeps the promises of a medium, and nothing beyond them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use argus_core::storage::{StorageError, StorageReader as _, StorageWriter as _};
use argus_testing::{Ending, FaultClass, Faults, InjectedFault, Phase, SimStorage};
use bytes::Bytes;

const SECTOR: usize = 512;

fn log(medium: &SimStorage) -> Bytes {
    medium.contents().log
}

fn put(medium: &mut SimStorage, name: &str, content: &[u8]) -> Result<(), StorageError> {
    let mut draft = medium.create(name)?;
    draft.write(content)?;
    let published = draft.finish()?;
    medium.adopt(published);
    Ok(())
}

fn blob(medium: &SimStorage, name: &str) -> Option<Bytes> {
    medium.contents().blobs.get(name).cloned()
}

/// What may be left of three sectors that were appended after a durable half sector, over many seeds: one letter for
/// each piece.
fn left_of_three(faults: Faults) -> BTreeSet<String> {
    let left = |seed| {
        let mut medium = SimStorage::new(seed, faults);
        medium.append(&[&[b'd'; SECTOR / 2]]).unwrap();
        medium.sync().unwrap();
        medium.append(&[&[b'a'; SECTOR / 2], &[b'b'; SECTOR], &[b'c'; SECTOR]]).unwrap();
        let after = log(&medium.restart(Ending::Power)).to_vec();
        assert!(after.starts_with(&[b'd'; SECTOR / 2]), "synced bytes stay");
        let mut letters: Vec<u8> = after.iter().map(|byte| if *byte == 0 { b'0' } else { *byte }).collect();
        letters.dedup();
        String::from_utf8(letters).unwrap()
    };
    (0..300).map(left).collect()
}

#[test]
fn unsynced_sectors_survive_as_a_prefix_or_in_any_subset() {
    let prefixes = left_of_three(Faults::of(&[FaultClass::Crash]));
    assert_eq!(prefixes, BTreeSet::from(["d", "da", "dab", "dabc"].map(String::from)));
    let subsets = left_of_three(Faults::of(&[FaultClass::Crash, FaultClass::Subset]));
    let expected = ["d", "da", "dab", "dabc", "d0b", "d0bc", "d0c", "da0c"].map(String::from);
    assert_eq!(subsets, BTreeSet::from(expected));
    // With `Ahead`, zeros can follow the end.
    assert!(left_of_three(Faults::of(&[FaultClass::Crash, FaultClass::Ahead])).iter().any(|left| left.ends_with('0')));
    let torn = left_of_three(Faults::of(&[FaultClass::Crash, FaultClass::Subset, FaultClass::Torn]));
    assert!(torn.iter().any(|left| left.contains("b0c")), "{torn:?}");
}

#[test]
fn a_failed_sync_is_not_repaired_by_the_next() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut medium = SimStorage::new(seed, Faults::ALL.without(FaultClass::Stale));
        medium.inject(InjectedFault::SyncError, 0);
        medium.append(&[&[b'a'; SECTOR]]).unwrap();
        medium.sync().unwrap_err();
        medium.sync().unwrap();
        medium.append(&[&[b'b'; SECTOR]]).unwrap();
        medium.sync().unwrap();
        assert_eq!(log(&medium).len(), 2 * SECTOR);
        assert!(log(&medium).starts_with(&[b'a'; SECTOR]), "it reads well");
        let after = log(&medium.restart(Ending::Power));
        assert_eq!(after.get(SECTOR..2 * SECTOR).unwrap(), [b'b'; SECTOR]);
        lost += usize::from(!after.starts_with(&[b'a'; SECTOR]));
    }
    assert!((20..95).contains(&lost), "{lost} of 100");
}

#[test]
fn a_name_is_durable_when_its_draft_is_finished_and_in_doubt_before() {
    let mut seen = BTreeSet::new();
    for seed in 0..60 {
        for phase in Phase::ALL {
            let mut medium = SimStorage::new(seed, Faults::ALL);
            put(&mut medium, "name", b"old").unwrap();
            // After create and write comes finish.
            medium.inject(InjectedFault::Crash(phase), 2);
            put(&mut medium, "name", b"new").unwrap_err();
            assert!(medium.is_off() && medium.list().is_err(), "no call works without power");
            seen.insert((phase.name(), blob(&medium.restart(Ending::Power), "name").unwrap()));
        }
    }
    let (old, new) = (Bytes::from("old"), Bytes::from("new"));
    let expected = [("before", old.clone()), ("during", old), ("during", new.clone()), ("after", new)];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn truncation_is_durable_and_so_is_the_rest() {
    for seed in 0..100 {
        let mut medium = SimStorage::new(seed, Faults::ALL.without(FaultClass::Stale));
        medium.append(&[&[b'a'; 700], &[b'b'; 700]]).unwrap();
        medium.truncate(700).unwrap();
        let after = log(&medium.restart(Ending::Power));
        assert_eq!(after.get(..700).unwrap(), [b'a'; 700]);
        assert!(after.iter().skip(700).all(|byte| *byte == 0), "seed {seed}");
    }
}

#[test]
fn a_full_medium_refuses_writes_and_does_not_change() {
    let mut medium = SimStorage::new(1, Faults::ALL);
    medium.append(&[b"abc"]).unwrap();
    medium.set_free(Some(5));
    assert!(matches!(medium.append(&[b"123", b"456"]), Err(StorageError::Full(_))));
    assert!(matches!(put(&mut medium, "name", b"123456"), Err(StorageError::Full(_))));
    assert_eq!((log(&medium), blob(&medium, "name")), (Bytes::from("abc"), None));
    medium.set_free(None);
    medium.append(&[b"456"]).unwrap();
    assert_eq!(log(&medium), "abc456");
}

#[test]
fn a_bit_flips_only_where_a_later_record_confirms_durability_and_can_be_repaired() {
    let mut medium = SimStorage::new(3, Faults::ALL);
    medium.append(&[b"first"]).unwrap();
    medium.sync().unwrap();
    assert_eq!(medium.rot(), None, "the end of the log could be taken for a torn tail");
    medium.append(&[b"second"]).unwrap();
    medium.sync().unwrap();
    assert!(medium.rot().is_some_and(|place| place.contains("the log")));
    assert!(log(&medium).ends_with(b"second") && log(&medium) != "firstsecond");
    assert!(medium.repair() && !medium.is_damaged());
    assert_eq!(log(&medium), "firstsecond");
}

#[test]
fn an_unlinked_log_accepts_appends_but_no_sync_succeeds() {
    let mut survived = BTreeSet::new();
    for seed in 0..20 {
        let mut medium = SimStorage::new(seed, Faults::of(&[FaultClass::Unlinked, FaultClass::Subset]));
        medium.append(&[b"named"]).unwrap();
        medium.sync().unwrap();
        medium.inject(InjectedFault::Unlink, 0);
        medium.append(&[b"nameless"]).unwrap();
        for _ in 0..2 {
            assert!(matches!(medium.sync(), Err(StorageError::Failed(_))));
        }
        let mut after = medium.restart(Ending::Process);
        let log = log(&after);
        assert!(log.starts_with(b"named"), "seed {seed}");
        survived.insert(log.ends_with(b"nameless"));
        after.append(&[b"again"]).unwrap();
        after.sync().unwrap();
    }
    assert_eq!(survived, BTreeSet::from([false, true]));
}
