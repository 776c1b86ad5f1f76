//! A check finds no fault in an undamaged repository, whatever happened to it. What is salvaged, damaged or not, is
//! right.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::collections::BTreeSet;

use argus_core::engine::{Engine, Seed, Severity, check, salvage};
use argus_core::repository::Repository;
use argus_core::storage::{MemoryStorage, StorageReader as _};
use argus_testing::{NOW, Pair, Random, Step, StoredEvent, all_events, blob, flipped, generate, with_blob, with_log};
use bytes::Bytes;
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// The same medium with some bits flipped, in blobs or in the log.
fn rotten(medium: &MemoryStorage, random: &mut Random<'_>, flips: u64) -> MemoryStorage {
    let mut names = medium.list().unwrap();
    // One copy of the manifest is enough; damage to both is another test's subject.
    names.retain(|name| name != "manifest-b");
    let mut rotten = medium.clone();
    for _ in 0..flips {
        let name = names.get(random.index(names.len() + 1));
        let bytes = name.map_or_else(|| Bytes::copy_from_slice(rotten.log()), |name| blob(&rotten, name));
        if bytes.is_empty() {
            continue;
        }
        let bytes = flipped(&bytes, random.index(bytes.len() * 8));
        rotten = match name {
            Some(name) => with_blob(&rotten, name, bytes),
            None => with_log(&rotten, &bytes),
        };
    }
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
            pair.run(step)?;
        }
        // A later record confirms that everything is durable.
        let mut engine = Engine::open(pair.subject().storage().clone(), Seed(0)).unwrap();
        let mut random = Random::bytes(&damage);
        engine.commit(NOW, &[generate::random_batch(&mut random, 1)]).unwrap();
        engine.on_idle().unwrap();
        let stored = all_events(&engine.snapshot()).unwrap();
        let medium = engine.storage();
        let report = check(medium);
        let last_seq = engine.snapshot().stats().unwrap().last_seq;
        prop_assert!(report.findings.is_empty(), "{:?}", report);
        // Erased events are there until maintenance removes them.
        let has_erased = engine.snapshot().erasures() > 0;
        let visible = stored.len() as u64;
        prop_assert!(report.events == visible || (has_erased && report.events > visible));
        prop_assert_eq!(report.last_seq, last_seq);

        let rotten = rotten(medium, &mut random, flips);
        let mut copy = MemoryStorage::default();
        let found = salvage(&rotten, &mut copy, Seed(0)).unwrap();
        prop_assert!(!found.has_other_ids && found.copy.is_whole());
        let saved = all_events(&Engine::open(copy, Seed(0)).unwrap().snapshot()).unwrap();
        let numbers: BTreeSet<u64> = saved.iter().map(|event| event.seq).collect();
        prop_assert_eq!(numbers.len(), saved.len());
        let at = |seq: u64| stored.binary_search_by_key(&seq, |event| event.seq).ok().map(|index| &stored[index]);
        // An erasure that was lost, loudly, brings its events back.
        let is_stored = |event: &StoredEvent| match at(event.seq) {
            Some(stored) => stored == event,
            None => has_erased && found.may_miss_erasures,
        };
        prop_assert!(saved.iter().all(is_stored));
        // If the last records and the durability mark after them are damaged, nothing tells that they were durable.
        // They count as a torn tail.
        let known = found.source.last_seq;
        let is_torn = found.source.findings.iter().any(|finding| finding.severity == Severity::Leftover);
        prop_assert!(known == last_seq || is_torn);
        let missing: BTreeSet<u64> = (1..=known).filter(|seq| !numbers.contains(seq) && at(*seq).is_some()).collect();
        let ranges = found.losses.iter().flat_map(|loss| &loss.seqs);
        let listed: BTreeSet<u64> = ranges.flat_map(|&(first, last)| first..=last.min(known)).collect();
        prop_assert!(missing.is_subset(&listed), "{:?} are missing, {:?} listed", missing, listed);
        if !has_erased && found.losses.iter().all(|loss| loss.is_exact) {
            // The record that skips numbers may be lost, too.
            let has_skips = steps.iter().any(|step| matches!(step, Step::Import { .. }));
            let lost: BTreeSet<u64> = listed.into_iter().filter(|seq| !has_skips || at(*seq).is_some()).collect();
            prop_assert_eq!(&missing, &lost);
        }
        if found.source.is_whole() {
            let expected: Vec<&StoredEvent> = stored.iter().filter(|event| event.seq <= known).collect();
            prop_assert_eq!(saved.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(all_events(&Engine::open(rotten, Seed(0)).unwrap().snapshot()).unwrap(), saved);
        }
    }
}
