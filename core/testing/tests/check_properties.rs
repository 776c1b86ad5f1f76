//! A check finds no fault in an undamaged repository, whatever happened to it. What is salvaged, damaged or not, is
//! right.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use argus_core::engine::{Engine, Seed, Severity, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{Repository, Snapshot};
use argus_core::storage::{BackupTarget, MemoryStorage, StorageReader, StorageWriter};
use argus_testing::{Pace, Pair, Random, StoredEvent, collect, generate};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// All events in order of sequence numbers, ids included.
fn events(snapshot: &Arc<dyn Snapshot>) -> Vec<StoredEvent> {
    let mut events = collect(snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

/// The same medium with some bits flipped, in blobs or in the log.
fn rotten(medium: &MemoryStorage, random: &mut Random<'_>, flips: u64) -> MemoryStorage {
    let mut names = medium.list().unwrap();
    // One copy of the manifest is enough; damage to both is another test's subject.
    names.retain(|name| name != "manifest-b");
    let mut log = medium.log().to_vec();
    let mut rotten = MemoryStorage::default();
    rotten.begin(medium.log_range().unwrap().start).unwrap();
    let flip = |random: &mut Random<'_>, bytes: &mut Vec<u8>| {
        if !bytes.is_empty() {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
    };
    let places: Vec<u64> = (0..flips).map(|_| random.below(names.len() as u64 + 1)).collect();
    for name in &medium.list().unwrap() {
        let blob = medium.open(name).unwrap().unwrap();
        let mut bytes = blob.read(0..blob.len()).unwrap().to_vec();
        for _ in places.iter().filter(|&&place| names.get(place as usize) == Some(name)) {
            flip(random, &mut bytes);
        }
        rotten.insert(name, bytes.into());
    }
    for _ in places.iter().filter(|&&place| place == names.len() as u64) {
        flip(random, &mut log);
    }
    rotten.append(&[&log]).unwrap();
    rotten
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn undamaged_parts_are_reported_whole_and_salvaged_right(
        seed: u128,
        steps in steps(16),
        damage in bytes(60),
        flips in 0u64..6,
    ) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step).map_err(|difference| TestCaseError::fail(difference.to_string()))?;
        }
        // A later record confirms that everything is durable.
        let mut engine = Engine::open(pair.subject().storage().clone(), Seed(0)).unwrap();
        let mut random = Random::bytes(&damage);
        engine.commit(Timestamp::from_nanos(0), &[generate::batch(&[generate::draft(&mut random)])]).unwrap();
        engine.on_idle().unwrap();
        let there = events(&engine.snapshot());
        let medium = engine.storage();
        let report = check(medium);
        let last_seq = engine.snapshot().stats().unwrap().last_seq;
        prop_assert!(report.findings.is_empty(), "{:?}", report);
        prop_assert_eq!((report.events, report.last_seq), (there.len() as u64, last_seq));

        let rotten = rotten(medium, &mut random, flips);
        let mut copy = MemoryStorage::default();
        let found = salvage(&rotten, &mut copy, Seed(0)).unwrap();
        prop_assert!(!found.has_other_ids && found.copy.is_whole());
        let saved = events(&Engine::open(copy, Seed(0)).unwrap().snapshot());
        let numbers: BTreeSet<u64> = saved.iter().map(|event| event.seq).collect();
        prop_assert_eq!(numbers.len(), saved.len());
        let is_true = |event: &StoredEvent| there.get(event.seq as usize - 1) == Some(event);
        prop_assert!(saved.iter().all(is_true));
        // If the last records and the durability mark after them are damaged, nothing tells that they were durable.
        // They count as a torn tail.
        let known = found.source.last_seq;
        let is_torn = found.source.findings.iter().any(|finding| finding.severity == Severity::Leftover);
        prop_assert!(known == last_seq || is_torn);
        let missing: BTreeSet<u64> = (1..=known).filter(|seq| !numbers.contains(seq)).collect();
        let ranges = found.losses.iter().flat_map(|loss| &loss.seqs);
        let listed: BTreeSet<u64> = ranges.flat_map(|&(first, last)| first..=last.min(known)).collect();
        prop_assert!(missing.is_subset(&listed), "{:?} are missing, {:?} listed", missing, listed);
        if found.losses.iter().all(|loss| loss.is_exact) {
            prop_assert_eq!(&missing, &listed);
        }
        if found.source.is_whole() {
            prop_assert_eq!(&saved[..], &there[..known as usize]);
            prop_assert_eq!(events(&Engine::open(rotten, Seed(0)).unwrap().snapshot()), saved);
        }
    }
}
