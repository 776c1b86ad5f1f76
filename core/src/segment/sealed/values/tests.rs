//! Sets of blocks against those that really have the values.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::string::String;

use super::*;
use crate::codec::ValueSummary;

fn hash(bytes: &[u8]) -> u64 {
    crate::segment::id_hash(bytes)
}

/// The strings of a block, and the range of its numbers.
type Values = (Vec<String>, Option<(f64, f64)>);

/// The index of blocks with these strings and numbers at the path `a`, and a function that reads its pages.
fn index_of(blocks: &[Values]) -> (ValueIndex, Vec<u8>) {
    let path = Path::decode(&mut Cursor::new(Bytes::from_static(&[1, 1, b'a']))).unwrap();
    let filters: Vec<Vec<u64>> = blocks
        .iter()
        .map(|(strings, _)| {
            let different: BTreeSet<&String> = strings.iter().collect();
            let words = if different.is_empty() { 0 } else { 3 * different.len().div_ceil(30).next_power_of_two() };
            let mut filter = vec![0u64; words];
            for line in different.iter().flat_map(|string| Lines::new(words * 64).of(hash(string.as_bytes()))) {
                filter[line / 64] |= 1 << (line % 64);
            }
            filter
        })
        .collect();
    let kinds = |(strings, numbers): &Values| {
        let strings = if strings.is_empty() { 0 } else { STRINGS };
        strings | if numbers.is_some() { NUMBERS } else { 0 }
    };
    let bound = |side: fn((f64, f64)) -> f64| {
        blocks.iter().map(|(_, numbers)| numbers.map_or(0, |numbers| number_key(side(numbers)))).collect()
    };
    let columns = PathColumns {
        path: &path,
        kinds: blocks.iter().map(kinds).collect(),
        bounds: [bound(|numbers| numbers.0), bound(|numbers| numbers.1)],
        lines: filters.iter().map(Vec::len).max().unwrap() * 64,
        filters: filters.into_iter().map(Into::into).collect(),
    };
    let (mut out, mut directory) = (std::vec![9; 7], Vec::new());
    write_index([columns].into_iter(), true, &std::vec![0; blocks.len()], 7, &mut out, &mut directory);
    let mut cursor = Cursor::new(directory.into());
    let index = ValueIndex::decode(&mut cursor, blocks.len()).unwrap();
    assert!(cursor.is_empty());
    assert_eq!(index.page(index.pages() - 1).end as usize, out.len());
    (index, out)
}

fn found(index: &ValueIndex, bytes: &[u8], blocks: usize, name: &[u8], wanted: &Wanted) -> Vec<usize> {
    let mut set = BlockSet::all(blocks);
    let read = |page| {
        let range = index.page(page);
        Ok::<_, Corrupt>(Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]))
    };
    index.retain(&mut set, &[name], wanted, hash, read).unwrap();
    (0..blocks).filter(|&block| set.has(block)).collect()
}

fn one(string: &str) -> Wanted {
    Wanted { strings: WantedStrings::One(string.as_bytes().into()), numbers: None, literals: false }
}

#[test]
fn blocks_with_a_string_are_found_and_few_others() {
    for count in [1, 7, 64, 65, 200] {
        let string = |block: usize, row: usize| std::format!("string {}", block * 1000 + row);
        // The number of strings differs, and with it the number of lines.
        let blocks: Vec<_> = (0..count)
            .map(|block| ((0..1 + block * 7 % 300).map(|row| string(block, row)).collect::<Vec<_>>(), None))
            .collect();
        let (index, bytes) = index_of(&blocks);
        let mut others = 0;
        for block in 0..count {
            let found = found(&index, &bytes, count, b"a", &one(&string(block, 0)));
            assert!(found.contains(&block), "{found:?}");
            others += found.len() - 1;
        }
        assert!(others <= count * count / 8, "{others} of {}", count * count);
        assert!(found(&index, &bytes, count, b"b", &one("string 0")).is_empty(), "no block has this path");
        let all = Wanted { strings: WantedStrings::All, numbers: None, literals: false };
        assert_eq!(found(&index, &bytes, count, b"a", &all).len(), count);
    }
}

#[test]
fn blocks_with_numbers_in_a_range_are_found() {
    let numbers = [Some((-5.0, -1.0)), None, Some((0.0, 0.0)), Some((-2.0, 7.5)), Some((1e300, f64::INFINITY))];
    let blocks: Vec<_> = numbers.iter().map(|&numbers| (Vec::new(), numbers)).collect();
    let (index, bytes) = index_of(&blocks);
    for (range, expected) in [
        ((-1.0, -1.0), &[0, 3][..]),
        ((-0.0, 0.0), &[2, 3]),
        ((8.0, 1e299), &[]),
        ((7.5, f64::INFINITY), &[3, 4]),
        ((f64::NEG_INFINITY, -5.0), &[0]),
    ] {
        let wanted = Wanted { numbers: Some(range), ..one("") };
        assert_eq!(found(&index, &bytes, blocks.len(), b"a", &wanted), expected, "{range:?}");
    }
}

#[test]
fn a_damaged_page_is_an_error() {
    let (index, bytes) = index_of(&[(std::vec!["x".into()], None)]);
    for page in 0..index.pages() {
        let range = index.page(page);
        let mut damaged = bytes[range.start as usize..range.end as usize].to_vec();
        damaged[5] ^= 1;
        assert!(content(&damaged.into()).is_err());
    }
}

#[test]
fn a_summary_has_the_kinds_of_its_tokens() {
    let mut summary = ValueSummary::default();
    assert_eq!((summary.numbers, summary.literals, summary.hashes.len()), (None, false, 0));
    summary.clear();
    assert_eq!(number_key(-0.0), number_key(0.0));
}
