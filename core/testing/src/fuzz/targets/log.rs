//! Logs: damaged ones, and any bytes.

use argus_core::engine::{OpenError, check};
use argus_core::query::Scan;
use argus_core::repository::Snapshot;
use argus_core::storage::StorageReader as _;
use std::sync::Arc;

use super::super::super::{Pace, all_events, collect, generate, with_log};
use super::super::Target;
use super::super::store::{changed, open, store};

pub(super) const TARGET: Target = Target {
    name: "log",
    about: "of a changed log, recovery takes intact records only, and a check agrees with it",
    run: log,
    seeds,
    words: &["ARGR", "\0\0\0\0", "\0\0\0\0\0\0\0\0"],
    smoke_runs: 150,
};

/// The first byte says what the others are: changes to a log, or the log itself.
///
/// # Panics
///
/// If recovery finds an event that was not stored, or a check reports otherwise.
fn log(data: &[u8]) {
    let store = store();
    let Some((kind, rest)) = data.split_first() else { return };
    let is_damage = kind % 4 != 0;
    let log = if is_damage { changed(store.medium.log(), rest) } else { rest.to_vec() };
    let medium = with_log(&store.medium, &log);
    let report = check(&medium);
    match open(medium.clone()) {
        Err(OpenError::Damaged { place, reason, .. }) => {
            assert!(!report.is_whole(), "damage of {place} ({reason}), but the check reports none");
        }
        Err(error) => panic!("{error}"),
        Ok(engine) => {
            assert!(report.is_whole(), "opened, but the check reports {:?}", report.findings);
            let snapshot: Arc<dyn Snapshot> = engine.snapshot();
            let found = all_events(&snapshot).expect("an open store can be read");
            assert_eq!(report.events, found.len() as u64, "events, by the check and by a scan");
            if is_damage {
                // What was torn off is missing, and nothing else.
                assert_eq!(Some(&*found), store.events.get(..found.len()), "not the events that were stored");
            }
            // What recovery left is a whole store.
            let again = open(engine.storage().clone()).expect("a recovered store can be opened");
            let recovery = again.recovery();
            assert_eq!((recovery.cut_bytes, recovery.orphans), (0, 0), "recovery left something to recover");
            let pages = collect(&again.snapshot(), &Scan::default(), Pace::UNBROKEN).expect("it can be read");
            assert_eq!(pages.events.len(), found.len());
            assert!(engine.storage().log_range().is_ok());
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let log = store().medium.log();
    let mut seeds = Vec::from([Vec::from([1]), Vec::from([0])]);
    // One change of each kind, at several places.
    for kind in 0..7 {
        seeds.extend((0..3_u8).map(|place| Vec::from([1, kind, place * 77, place, 9])));
    }
    // Logs as they were at some earlier time.
    for len in [56, log.len() / 2, log.len()] {
        seeds.extend(log.get(..len).map(|log| [&[0], log].concat()));
    }
    // The header of a record, which a caller could send as a payload.
    let draft = generate::draft(&mut super::super::super::Random::seeded(3));
    seeds.push([&[0], log.get(..56).unwrap_or_default(), draft.payload.as_bytes()].concat());
    seeds.retain(|seed| seed.len() <= 4096);
    seeds
}
