//! Flips every bit of a small store and cuts each of its parts at every byte: no answer is wrong, and no loss goes
//! unreported.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod store;

use std::collections::BTreeSet;

use argus_core::damage::Affected;
use argus_core::engine::{Engine, Finding, OpenError, SalvageError, Seed, Severity, check, salvage};
use argus_core::repository::{ReadError, Repository as _};
use argus_core::storage::{MemoryStorage, Storage as _, StorageReader as _};
use argus_testing::{
    NOW, StoredEvent, StoredId, UNCOMPACTED, all_events, blob, flipped, generate, get, segments, with_blob, with_log,
};
use bytes::Bytes;
use store::{draft, listed, store};

/// Flips every bit of a segment. The events of one block are lost each time; the bytes of a block are contiguous, and
/// all blocks together have all events.
fn every_bit_of_a_segment(index: usize) {
    let store = store();
    let name = &segments(&store.medium)[index];
    let bytes = blob(&store.medium, name);
    let mut blocks: Vec<BTreeSet<u64>> = Vec::new();
    let mut before = BTreeSet::new();
    for bit in 0..bytes.len() * 8 {
        let place = format!("bit {bit} of {name}");
        let medium = with_blob(&store.medium, name, flipped(&bytes, bit));
        assert!(!check(&medium).is_whole(), "{place}");
        store.says_nothing_wrong(&medium, &place, (bit, 4));
        // Which bit of a byte is flipped rarely makes a difference to a salvage, which takes longer.
        if bit % 8 != (bit / 8) % 8 {
            continue;
        }
        let lost = store.salvaged(&medium, &place);
        if lost != before && !lost.is_empty() {
            assert!(blocks.iter().all(|block| block.is_disjoint(&lost)), "{place}");
            blocks.push(lost.clone());
        }
        before = lost;
    }
    let events: BTreeSet<u64> = blocks.iter().flatten().copied().collect();
    let first = 1 + 8 * index as u64;
    assert_eq!(events, (first..first + 8).collect());
    assert!(blocks.len() >= 3, "{blocks:?}");
}

#[test]
fn every_bit_of_the_first_segment() {
    every_bit_of_a_segment(0);
}

#[test]
fn every_bit_of_the_second_segment() {
    every_bit_of_a_segment(1);
}

#[test]
fn every_bit_of_the_third_segment() {
    every_bit_of_a_segment(2);
}

#[test]
fn every_bit_of_the_manifest() {
    let store = store();
    for name in ["manifest-a", "manifest-b"] {
        let bytes = blob(&store.medium, name);
        for bit in 0..bytes.len() * 8 {
            let place = format!("bit {bit} of {name}");
            let medium = with_blob(&store.medium, name, flipped(&bytes, bit));
            assert!(!check(&medium).is_whole(), "{place}");
            assert!(store.says_nothing_wrong(&medium, &place, (bit, 8)), "{place}: the other copy suffices");
            if bit % 8 == bit / 8 % 8 {
                assert!(store.salvaged(&medium, &place).is_empty(), "{place}");
            }
        }
    }
}

#[test]
fn every_bit_of_the_log() {
    let store = store();
    let start = store.medium.log_range().unwrap().start;
    for bit in 0..store.medium.log().len() * 8 {
        let at = start + bit as u64 / 8;
        let place = format!("bit {bit} of the log");
        let medium = with_log(&store.medium, &flipped(store.medium.log(), bit));
        let report = check(&medium);
        let is_all_there = store.says_nothing_wrong(&medium, &place, (bit, 4));
        assert_eq!(report.is_whole(), at >= store.events_end, "{place}");
        assert_eq!(is_all_there, at >= store.events_end, "{place}: a durability mark follows the events");
        assert!(!report.findings.is_empty(), "{place}");
        if bit % 8 != (bit / 8) % 8 {
            continue;
        }
        // Exactly one record is lost.
        let record = store.records.iter().position(|&(end, _)| at < end);
        let lost = record.map_or(1..1, |record| {
            let first = record.checked_sub(1).map_or(25, |before| store.records[before].1 + 1);
            first..store.records[record].1 + 1
        });
        assert_eq!(store.salvaged(&medium, &place), lost.collect(), "{place}");
    }
}

#[test]
fn blobs_cut_at_every_byte() {
    let store = store();
    for name in store.medium.list().unwrap() {
        let bytes = blob(&store.medium, &name);
        let mut before = BTreeSet::from_iter(1..=30);
        for end in 0..bytes.len() {
            let place = format!("{name} cut at {end}");
            let medium = with_blob(&store.medium, &name, bytes[..end].to_vec());
            assert!(!check(&medium).is_whole(), "{place}");
            let is_all_there = store.says_nothing_wrong(&medium, &place, (end, 4));
            let lost = store.salvaged(&medium, &place);
            assert_eq!(is_all_there, name.starts_with("manifest"), "{place}");
            assert!(lost.is_subset(&before), "{place}: a longer part salvaged fewer events");
            before = lost;
        }
        // All blocks come before the index.
        assert!(before.is_empty(), "{name}");
        let mut missing = store.medium.clone();
        missing.delete(&name)().unwrap();
        assert_eq!(check(&missing).is_whole(), name.starts_with("manifest"));
        assert_eq!(store.says_nothing_wrong(&missing, &name, (0, 1)), name.starts_with("manifest"));
        assert_eq!(store.salvaged(&missing, &name).len(), if name.starts_with("manifest") { 0 } else { 8 });
    }
}

#[test]
fn blobs_with_extra_bytes_at_the_end() {
    let store = store();
    for name in store.medium.list().unwrap() {
        let bytes = blob(&store.medium, &name);
        for more in [&b"\n"[..], &[0; 600], &bytes] {
            let place = format!("{name} with {} bytes more", more.len());
            let medium = with_blob(&store.medium, &name, [&bytes[..], more].concat());
            assert!(!check(&medium).is_whole(), "{place}");
            assert_eq!(store.says_nothing_wrong(&medium, &place, (0, 4)), name.starts_with("manifest"), "{place}");
            assert!(store.salvaged(&medium, &place).is_empty(), "{place}");
        }
    }
}

#[test]
fn segments_with_swapped_names() {
    let store = store();
    let names = segments(&store.medium);
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let (one, other) = (&names[one], &names[other]);
        let mut medium = with_blob(&store.medium, one, blob(&store.medium, other).to_vec());
        medium.insert(other, blob(&store.medium, one));
        let report = check(&medium);
        let damage: Vec<&str> = report.damage().map(|finding| finding.place.as_str()).collect();
        assert_eq!((damage, report.events), (vec![one.as_str(), other.as_str()], 30));
        assert!(!store.says_nothing_wrong(&medium, one, (0, 4)));
        assert!(store.salvaged(&medium, one).is_empty());
        // One of the two is damaged as well: all but one of its blocks are found.
        let mut bytes = blob(&store.medium, one).to_vec();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        medium.insert(other, bytes.into());
        let lost = store.salvaged(&medium, one);
        assert!((1..8).contains(&lost.len()), "{lost:?}");
        // A copy of one replaces the other.
        medium.insert(other, blob(&store.medium, other));
        assert_eq!(store.salvaged(&medium, one).len(), 8);
    }
}

/// A cut log looks like a shorter one, so a medium must not lose its end. It still equals an earlier state of the log.
#[test]
fn a_log_cut_at_any_byte_equals_an_earlier_one() {
    let store = store();
    let (start, log) = (store.medium.log_range().unwrap().start, store.medium.log());
    for cut in 0..log.len() {
        let end = start + cut as u64;
        let medium = with_log(&store.medium, &log[..cut]);
        let last = store.records.iter().rfind(|&&(record_end, _)| record_end <= end).map_or(24, |&(_, last)| last);
        let engine = Engine::open_with(medium.clone(), Seed(0), UNCOMPACTED).unwrap();
        assert_eq!(all_events(&engine.snapshot()).unwrap(), store.events[..last as usize], "cut at {cut}");
        let report = check(&medium);
        assert!(report.is_whole() && report.events == last, "cut at {cut}");
        let is_torn = end != start && store.records.iter().all(|&(record_end, _)| record_end != end);
        assert_eq!(
            report.findings.iter().any(|finding| finding.severity == Severity::Leftover),
            is_torn,
            "cut at {cut}"
        );
        assert_eq!(engine.recovery().cut_bytes > 0, is_torn);
    }
}

#[test]
fn without_a_manifest_events_are_salvaged_with_other_ids() {
    let store = store();
    for damaged in [Some(&b"rotten"[..]), None] {
        let mut medium = store.medium.clone();
        for name in ["manifest-a", "manifest-b"] {
            match damaged {
                Some(bytes) => medium.insert(name, Bytes::from_static(bytes)),
                None => medium.delete(name)().unwrap(),
            }
        }
        let report = check(&medium);
        assert!(!report.is_whole() && report.events == 30, "{report:?}");
        let mut copy = MemoryStorage::default();
        let found = salvage(&medium, &mut copy, Seed(9)).unwrap();
        assert!(found.has_other_ids && found.losses.is_empty(), "{found:?}");
        let engine = Engine::open_with(copy, Seed(0), UNCOMPACTED).unwrap();
        let saved = all_events(&engine.snapshot()).unwrap();
        let given = |events: &[StoredEvent]| -> Vec<StoredEvent> {
            events.iter().filter(|event| matches!(event.id, StoredId::Given(_))).cloned().collect()
        };
        assert_eq!(given(&saved), given(&store.events));
        for (saved, event) in saved.iter().zip(&store.events) {
            let without_id = StoredEvent { id: event.id.clone(), ..saved.clone() };
            assert_eq!(&without_id, event);
            assert_eq!(get(engine.snapshot().as_ref(), &saved.id.text()).unwrap().as_ref(), Some(saved));
        }
        assert_eq!(saved.len(), store.events.len());
        // Of the events of a missing segment, only the numbers are known.
        medium.delete(&segments(&medium)[1])().unwrap();
        let found = salvage(&medium, &mut MemoryStorage::default(), Seed(9)).unwrap();
        assert_eq!(listed(&found.losses), (9..=16).collect());
        assert!(!found.losses[0].is_exact);
    }
}

#[test]
fn each_of_several_damaged_places_is_reported() {
    let store = store();
    let names = segments(&store.medium);
    let middle = |name: &str| blob(&store.medium, name).len() * 8 / 3;
    let mut medium = with_log(&store.medium, &flipped(store.medium.log(), 100 * 8));
    for name in &names[..2] {
        medium.insert(name, flipped(&blob(&store.medium, name), middle(name)).into());
    }
    medium.insert("segment-000000000099", Bytes::from_static(b"unfinished"));
    let report = check(&medium);
    let damage: Vec<&str> = report.damage().map(|finding| finding.place.as_str()).collect();
    assert_eq!(damage, [names[0].as_str(), names[1].as_str(), "the log"]);
    assert_eq!(report.findings.len(), 4, "{report:?}");
    let lost = store.salvaged(&medium, "several places");
    assert_eq!(report.events + lost.len() as u64, 30);
    assert_eq!(report.last_seq, 30);
}

#[test]
fn a_salvage_needs_an_empty_target_and_a_source_with_events() {
    let store = store();
    let mut copy = store.medium.clone();
    assert_eq!(salvage(&store.medium, &mut copy, Seed(0)), Err(SalvageError::NotEmpty));
    let empty = MemoryStorage::default();
    let report = check(&empty);
    assert!(report.is_whole() && report.last_seq == 0, "{report:?}");
    assert_eq!(salvage(&empty, &mut MemoryStorage::default(), Seed(0)), Err(SalvageError::Nothing));
    assert!(check(&store.medium).findings.is_empty());
    assert_eq!(store.salvaged(&store.medium, "a whole store"), BTreeSet::new());
}

/// Opening, reading and checking a damaged store report the same events.
#[test]
fn reading_and_checking_report_the_same_events() {
    let store = store();
    let log = store.medium.log();
    let of_log = (0..store.events_end - store.medium.log_range().unwrap().start).step_by(3);
    let of_log = of_log.map(|at| with_log(&store.medium, &flipped(log, at as usize * 8)));
    let of_segments = segments(&store.medium).into_iter().flat_map(|name| {
        let bytes = blob(&store.medium, &name);
        let places = (0..bytes.len()).step_by(3);
        places.map(|at| with_blob(&store.medium, &name, flipped(&bytes, at * 8))).collect::<Vec<_>>()
    });
    let (mut opens, mut reads) = (0, 0);
    for medium in of_log.chain(of_segments) {
        let report = check(&medium);
        match Engine::open_with(medium, Seed(0), UNCOMPACTED) {
            Err(OpenError::Damaged { place, reason, .. }) => {
                let is_same = |finding: &Finding| reason.ends_with(&finding.affected.to_string());
                assert!(report.damage().any(is_same), "{place}: {reason}, but {:?}", report.findings);
                opens += 1;
            }
            Err(error) => panic!("{error}"),
            Ok(engine) => {
                let Err(error) = all_events(&engine.snapshot()) else { continue };
                let ReadError::Damaged(damage) = error else { panic!("{error}") };
                let is_same = |finding: &Finding| {
                    (&finding.place, finding.offset, finding.affected)
                        == (&damage.place, damage.offset, damage.affected)
                };
                assert!(report.damage().any(is_same), "{damage}, but {:?}", report.findings);
                assert_ne!(damage.affected, Affected::Nothing, "{damage}");
                reads += 1;
            }
        }
    }
    assert!(opens > 100 && reads > 100, "{opens} opens and {reads} reads");
}

/// A damaged durability mark lies between events and holds none.
#[test]
fn a_damaged_mark_concerns_no_event() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(NOW, &[generate::batch(&[draft(1)])]).unwrap();
    let mark = engine.storage().log().len();
    engine.on_idle().unwrap();
    engine.commit(NOW, &[generate::batch(&[draft(2)])]).unwrap();
    engine.on_idle().unwrap();
    let medium = with_log(engine.storage(), &flipped(engine.storage().log(), mark * 8));
    let Err(OpenError::Damaged { reason, .. }) = Engine::open(medium.clone(), Seed(0)) else { panic!("it was opened") };
    assert!(reason.ends_with("; no event is affected"), "{reason}");
    assert!(check(&medium).damage().all(|finding| finding.affected == Affected::Nothing));
}
