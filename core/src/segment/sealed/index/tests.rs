//! Tests of types without events and of unexpected types.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::*;

/// The codes of each block's types.
fn codes(index: &Index) -> Vec<Vec<u32>> {
    (0..index.blocks()).map(|block| index.codes(block).collect()).collect()
}

/// The bytes of an index with one partition of blocks with these types.
fn written(types: &[TypeSummary], blocks: &[&[u32]]) -> Vec<u8> {
    let mut builder = IndexBuilder::new(1);
    for (at, &codes) in blocks.iter().enumerate() {
        let place = BlockPlace { offset: at as u64 * 10, length: 10, head: 5 };
        builder.push(0, place, &Summary { rows: 1, codes: codes.into(), ..Summary::default() });
    }
    let mut bytes = Vec::new();
    builder.finish(types, Version::CURRENT, &mut bytes);
    bytes
}

fn decode(bytes: Vec<u8>) -> Result<Index, Corrupt> {
    Index::decode(&mut Cursor::new(bytes.into()), Version::CURRENT, 30, &mut |name| Ok(TypeName::new(name)))
}

#[test]
fn types_without_events_are_not_written() {
    let types = [("a", 0), ("b", 2), ("c", 0), ("d", 2), ("e", 0)];
    let types = types.map(|(name, events)| TypeSummary { name: TypeName::new(name.as_bytes()), events, bytes: 5 });
    let index = decode(written(&types, &[&[1, 3], &[3], &[1]])).unwrap();
    let [_, b, _, d, _] = types;
    assert_eq!(index.types(), [b, d]);
    assert_eq!(codes(&index), [vec![0, 1], vec![1], vec![0]]);
    assert_eq!((index.code(b"d"), index.code(b"a")), (Some(1), None));
}

#[test]
fn types_without_events_are_dropped_on_reading() {
    let names = ["a", "b", "c", "d", "e"];
    let types = names.map(|name| TypeSummary { name: TypeName::new(name.as_bytes()), events: 2, bytes: 5 });
    let bytes = written(&types, &[&[1, 3], &[3], &[1]]);
    // The number of types, and for each the length of its name, the name, its events and its bytes.
    let mut front = vec![5];
    names.iter().for_each(|name| front.extend([1, name.as_bytes()[0], 2, 5]));
    assert!(bytes.starts_with(&front));
    let without_events = |codes: &[usize]| {
        let mut bytes = bytes.clone();
        codes.iter().for_each(|code| bytes[1 + code * 4 + 2] = 0);
        bytes
    };

    let mut interned = Vec::new();
    let index = Index::decode(&mut Cursor::new(without_events(&[0, 2, 4]).into()), Version::CURRENT, 30, &mut |name| {
        interned.push(name.to_vec());
        Ok(TypeName::new(name))
    });
    let index = index.unwrap();
    let [_, b, _, d, _] = types;
    assert_eq!(index.types(), [b, d]);
    assert_eq!(interned, [b"b", b"d"]);
    assert_eq!(codes(&index), [vec![0, 1], vec![1], vec![0]]);
    assert_eq!((index.code(b"d"), index.code(b"a")), (Some(1), None));
    assert_eq!(decode(without_events(&[3])).unwrap_err(), Corrupt("a type has no events"));
}

#[test]
fn an_unexpected_type_is_refused() {
    let types = ["a", "b"].map(|name| TypeSummary { name: TypeName::new(name.as_bytes()), events: 1, bytes: 5 });
    let bytes = written(&types, &[&[0], &[1]]);
    let among = |names: &[&TypeSummary]| {
        let names: Vec<TypeName> = names.iter().map(|summary| summary.name.clone()).collect();
        Index::decode(&mut Cursor::new(bytes.clone().into()), Version::CURRENT, 30, &mut TypeName::among(names))
    };
    let [a, b] = &types;
    assert_eq!(among(&[a, b]).unwrap().types(), types);
    assert!(among(&[a]).is_err());
    assert!(among(&[b]).is_err());
}
