//! Tests of the manifest.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use alloc::vec;

use super::*;
use crate::query::{Filter, TypeTest};
use crate::storage::MemoryStorage;

fn manifest() -> Manifest {
    Manifest {
        generation: 7,
        seed: Seed(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
        log_start: 4096,
        chain: 17,
        next_seq: 501,
        next_number: 8,
        last_millis: -1,
        trusted_minutes: 28_333_333,
        next_erasure: 5,
        doubt: None,
        segments: vec![entry(3, 3, 9), entry(7, 10, 10), SegmentEntry { erased_to: 4, ..entry(5, 12, 500) }],
        erasures: vec![erasure(2, 10), erasure(4, 500)],
    }
}

fn entry(number: u64, first: u64, last: u64) -> SegmentEntry {
    SegmentEntry { number, first, last, erased_to: 0 }
}

fn erasure(number: u64, up_to_seq: u64) -> StoredErasure {
    let filter = Filter { types: Some(vec![TypeTest::Eq("a".into())]), ..Filter::default() };
    StoredErasure { number, up_to_seq, millis: 9, filter }
}

#[test]
fn a_manifest_round_trips_and_every_flipped_bit_is_detected() {
    let bytes = manifest().encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
    let disorderly = Manifest { segments: vec![entry(1, 3, 9), entry(2, 9, 10)], ..manifest() };
    assert!(Manifest::decode(&disorderly.encode()).is_err());
    for erasures in [[erasure(4, 1), erasure(3, 2)], [erasure(3, 2), erasure(4, 1)], [erasure(3, 2), erasure(5, 2)]] {
        let disorderly = Manifest { erasures: erasures.into(), ..manifest() };
        assert!(Manifest::decode(&disorderly.encode()).is_err());
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&changed).is_err(), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_manifest_of_version_2_is_read_and_has_no_erasures() {
    let mut bytes = manifest().encode()[..HEADER_BYTES_2].to_vec();
    bytes[8] = 2;
    for entry in manifest().segments {
        bytes.extend([entry.number, entry.first, entry.last].into_iter().flat_map(u64::to_le_bytes));
    }
    let crc = Crc32c::of(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    let segments = vec![entry(3, 3, 9), entry(7, 10, 10), entry(5, 12, 500)];
    let expected = Manifest { next_erasure: 1, segments, erasures: Vec::new(), ..manifest() };
    assert_eq!(Manifest::decode(&bytes), Ok(expected));
    let mut storage = MemoryStorage::default();
    NAMES.into_iter().for_each(|name| storage.insert(name, bytes.clone().into()));
    let found = Manifest::load(&storage).unwrap().unwrap();
    assert!(found.is_old && !found.needs_repair);
}

#[test]
fn the_newest_intact_copy_is_loaded() {
    let mut storage = MemoryStorage::default();
    assert!(Manifest::load(&storage).unwrap().is_none());
    manifest().store(&mut storage).unwrap();
    assert!(!Manifest::load(&storage).unwrap().unwrap().needs_repair);
    let newer = Manifest { generation: 8, segments: vec![entry(7, 3, 500)], ..manifest() };
    for (index, name) in NAMES.into_iter().enumerate() {
        let mut changed = storage.clone();
        changed.insert(name, newer.encode());
        let found = Manifest::load(&changed).unwrap().unwrap();
        assert_eq!((found.manifest, found.needs_repair), (newer.clone(), true));
        changed.insert(name, Bytes::from_static(b"damaged"));
        let found = Manifest::load(&changed).unwrap().unwrap();
        assert_eq!((found.manifest, found.needs_repair), (manifest(), true));
        changed.insert(NAMES[1 - index], Bytes::new());
        assert!(matches!(Manifest::load(&changed), Err(OpenError::Damaged { .. })));
    }
}
