//! Segments and manifests with changed bytes.

use argus_core::engine::{SalvageError, Seed, check, salvage};
use argus_core::storage::{MemoryStorage, StorageReader as _};

use super::super::super::{all_events, blob as content, with_blob};
use super::super::Target;
use super::super::store::{changed, open, store};

pub(super) const TARGET: Target = Target {
    name: "blob",
    about: "of a changed segment or manifest, every answer is right or an error, and what is salvaged was stored",
    run: blob,
    seeds,
    words: &["\0\0\0\0", "\u{7f}"],
    smoke_runs: 100,
};

/// The first byte says which blob is changed, the second whether it becomes the other bytes or is changed by them.
///
/// # Panics
///
/// If an answer is wrong.
fn blob(data: &[u8]) {
    let store = store();
    let [which, kind, rest @ ..] = data else { return };
    let names = store.medium.list().expect("a medium in memory can be listed");
    let name = names.get(usize::from(*which) % names.len()).expect("the store has blobs");
    let changed = match kind % 4 {
        0 => rest.to_vec(),
        _ => changed(&content(&store.medium, name), rest),
    };
    let is_changed = changed != content(&store.medium, name);
    let medium = with_blob(&store.medium, name, changed);
    store.check_changed(&medium);
    let report = check(&medium);
    // A manifest has two copies, so one may be lost.
    assert!(report.is_whole() || is_changed, "{:?} of an unchanged store", report.findings);
    assert!(!report.is_whole() || !is_changed || name.starts_with("manifest"), "the check finds {name} whole");
    let mut copy = MemoryStorage::default();
    match salvage(&medium, &mut copy, Seed(7)) {
        Ok(_) => {
            let engine = open(copy).expect("a copy is whole");
            let saved = all_events(&engine.snapshot()).expect("a copy can be read");
            let mut all = store.events.iter();
            for event in &saved {
                assert!(all.any(|other| other == event), "{event:?} was never stored");
            }
            assert!(is_changed || saved == store.events, "an unchanged store loses events");
        }
        Err(error @ SalvageError::NotEmpty) => panic!("{error}"),
        Err(error) => assert!(is_changed, "{error}"),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let blobs = store().medium.list().expect("a medium in memory can be listed").len();
    let blobs = u8::try_from(blobs).expect("the store is small");
    let mut seeds = Vec::new();
    for which in 0..blobs {
        seeds.push(Vec::from([which, 0]));
        seeds.push(Vec::from([which, 1]));
        seeds.extend((0..7).map(|kind| Vec::from([which, 1, kind, which * 31, 0, 7])));
    }
    seeds
}
