//! Texts round-trip through columns, and share those of equal paths.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::cmp::Ordering;
use std::format;
use std::string::String;
use std::vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::codec::{DocumentsEncoder, Pages, ValueSummary};
use crate::row_group::ValueTest;

/// The layout, and each page.
type Encoded = (Vec<u8>, Vec<Vec<u8>>);

fn encoded<T: AsRef<[u8]>>(texts: &[T], encoder: &mut DocumentsEncoder) -> (Encoded, bool) {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    for value in texts {
        text.extend_from_slice(value.as_ref());
        ends.push(text.len() as u32);
    }
    let (mut layout, mut pages) = (Vec::new(), Pages::default());
    let has_whole = encoder.encode(&text, &ends, &mut layout, &mut pages);
    ((layout, pages.iter().map(<[u8]>::to_vec).collect()), has_whole)
}

fn decode(((layout, pages), has_whole): &(Encoded, bool), count: usize) -> Result<Documents, Corrupt> {
    let mut pages = pages.iter().map(|page| Cursor::new(Bytes::copy_from_slice(page)));
    let mut page = || pages.next().ok_or(Corrupt("a page is missing"));
    let layout = Layout::decode(&mut Cursor::new(Bytes::copy_from_slice(layout)))?;
    let places = Places::decode(&mut page()?, &layout, count)?;
    let whole = if *has_whole { Some(Texts::decode(&mut page()?, places.whole())?) } else { None };
    let columns = places.leaves().iter().map(|&leaves| Texts::decode(&mut page()?, leaves));
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(Documents::new(layout.into(), places, whole, columns))
}

fn assert_round_trip<T: AsRef<[u8]>>(texts: &[T]) -> Documents {
    let mut encoder = DocumentsEncoder::default();
    // The buffers still have the content of an earlier block, which must have no effect.
    encoded(&[r#"{"earlier":"block"}"#; 20], &mut encoder);
    let documents = decode(&encoded(texts, &mut encoder), texts.len()).unwrap();
    let mut found = Vec::new();
    for (row, text) in texts.iter().enumerate().rev() {
        found.clear();
        documents.append(row, &mut found).unwrap();
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(text.as_ref()));
        assert_eq!(found, text.as_ref());
    }
    assert!(documents.append(texts.len(), &mut found).is_err());
    documents
}

fn paths(documents: &Documents) -> Vec<(String, usize)> {
    let text = |path: &Path| path.names().map(String::from_utf8_lossy).collect::<Vec<_>>().join(".");
    documents.columns().map(|(path, _, leaves)| (text(path), leaves)).collect()
}

#[test]
fn equal_paths_of_all_shapes_share_a_column() {
    let texts: Vec<String> = (0..300)
        .map(|row| match row % 3 {
            0 => format!(r#"{{"user":"u-{row:05}","n":{row},"tags":["a",{{"b":[]}}],"none":null}}"#),
            1 => format!(r#"{{"n":-{row}.5e3,"user":null,"tags":[true,"b"]}}"#),
            _ => format!(r#"{{"n":{row},"n":"again"}}"#),
        })
        .collect();
    let documents = assert_round_trip(&texts);
    assert!(!documents.has_whole());
    let expected = [("user", 200), ("n", 300), ("tags", 200), ("none", 100), ("tags", 100), ("n", 100)];
    assert_eq!(paths(&documents), expected.map(|(path, leaves)| (String::from(path), leaves)));
    let mut summary = ValueSummary::default();
    let (_, column, leaves) = documents.columns().next().unwrap();
    column.summarize(leaves, &mut summary, |bytes| bytes.len() as u64).unwrap();
    assert_eq!(summary.hashes, vec![7; 100]);
    assert!(summary.literals && summary.numbers.is_none());
    summary.clear();
    let (_, column, leaves) = documents.columns().nth(1).unwrap();
    column.summarize(leaves, &mut summary, |bytes| bytes.len() as u64).unwrap();
    let (low, high) = summary.numbers.unwrap();
    assert!((-298_500.1..=-298_500.0).contains(&low) && (299.0..299.1).contains(&high), "{low} to {high}");
}

#[test]
fn odd_texts_round_trip() {
    let brackets = "[".repeat(100_000) + &"]".repeat(100_000);
    let many: String = format!("[{}]", ["1"; 1000].join(","));
    let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(300_000));
    let odd = [
        "",
        "{}",
        "[]",
        "1",
        "-0",
        "1e400",
        "\"\"",
        "\"\\\"\"",
        "null",
        "[[]]",
        "{\"\":{}}",
        r#"{"a":1,"a":2}"#,
        r#"{"a":"\u0000\ud83e","ä":"日本\/"}"#,
        r#"{"\ud800":1,"\u0061":2,"a":3}"#,
        "{\"a\":1",
        "\"",
        "\"a\\\"",
        "{\"a\":}",
        ",,,",
        "\"a\":\"b\"",
        " 1 ",
        "}{",
        "tru",
        "\"a\"\"b\"",
        &brackets,
        &many,
        &huge,
    ];
    assert_round_trip(&odd);
    for text in odd {
        assert_round_trip(&[text; 20]);
        assert_round_trip(&[text]);
    }
    assert_round_trip::<&str>(&[]);
    let interleaved: Vec<&str> = (0..400).map(|row| odd[row * 7 % (odd.len() - 3)]).collect();
    assert_round_trip(&interleaved);
}

#[test]
fn names_are_compared_without_their_escapes() {
    let texts = [r#"{"\u0061":1}"#, r#"{"a":2}"#].repeat(10);
    assert_eq!(paths(&assert_round_trip(&texts)), [("a".into(), 20)]);
}

#[test]
fn texts_beyond_the_limits_of_shapes_and_columns_are_stored_whole() {
    let texts: Vec<String> = (0..4000).map(|row| format!(r#"{{"name{}":{row}}}"#, row % 400)).collect();
    let documents = assert_round_trip(&texts);
    assert_eq!(paths(&documents).len(), SHAPES_MAX);
    assert!(documents.has_whole());
    let wide = |row: usize| {
        let members: Vec<String> = (0..100).map(|column| format!(r#""{}":{row}"#, row % 20 * 100 + column)).collect();
        format!("{{{}}}", members.join(","))
    };
    let texts: Vec<String> = (0..200).map(wide).collect();
    let documents = assert_round_trip(&texts);
    assert_eq!(paths(&documents).len(), 1000);
    assert!(documents.has_whole());
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "1.0", "-1.5e9", "1e400", "{}", "[]", r#""""#])
            .prop_map(String::from),
        any::<i32>().prop_map(|number| format!("{number}")),
        (any::<i16>(), 0u32..100).prop_map(|(number, cents)| format!("{number}.{cents:02}")),
        (0u32..1000).prop_map(|number| format!("\"/items/{number}/x\"")),
        r#""([ -!#-\[\]-~äü日🦀]|\\"|\\\\|\\u00e9){0,12}""#,
    ];
    let name = r#""([a-c]|\\")?""#;
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let members = prop::collection::vec((name, inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|elements| format!("[{}]", elements.join(","))),
            members.prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// One text for each index in `order`. Indexes beyond the end of `kinds` wrap around.
fn rows(kinds: &[String], order: &[usize]) -> Vec<String> {
    order.iter().map(|index| kinds[index % kinds.len()].clone()).collect()
}

/// Holds for values with a longer text.
struct LongerThan(usize);

impl ValueTest for LongerThan {
    fn only(&self) -> Option<&[u8]> {
        Some(b"/items/7/x")
    }

    fn holds_for(&mut self, token: &str) -> bool {
        token.len() > self.0
    }

    fn order(&mut self, number: &str) -> Option<Ordering> {
        Some(number.len().cmp(&self.0))
    }

    fn holds_if(&self, order: Ordering) -> bool {
        order.is_gt()
    }
}

proptest! {
    #[test]
    fn json_round_trips(
        kinds in prop::collection::vec(json(), 1..12),
        order in prop::collection::vec(0usize..12, 0..120),
    ) {
        assert_round_trip(&kinds);
        assert_round_trip(&rows(&kinds, &order));
    }

    #[test]
    fn any_bytes_round_trip(
        kinds in prop::collection::vec(json(), 1..12),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        order in prop::collection::vec(0usize..12, 0..120),
    ) {
        assert_round_trip(&[&bytes[..], b"{}", &bytes]);
        let mut kinds = kinds;
        kinds.push(String::from_utf8_lossy(&bytes).into_owned());
        assert_round_trip(&rows(&kinds, &order));
    }

    #[test]
    fn no_damage_makes_it_panic(
        kinds in prop::collection::vec(json(), 1..4),
        order in prop::collection::vec(0usize..12, 1..60),
        page in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        bit in 0u32..8,
    ) {
        let texts = rows(&kinds, &order);
        let ((mut layout, mut pages), has_whole) = encoded(&texts, &mut DocumentsEncoder::default());
        let damaged = match page.index(pages.len() + 1).checked_sub(1) {
            Some(page) => &mut pages[page],
            None => &mut layout,
        };
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        if let Ok(documents) = decode(&((layout, pages), has_whole), texts.len()) {
            let mut out = Vec::new();
            let mut summary = ValueSummary::default();
            for row in 0..texts.len() {
                let _ = documents.append(row, &mut out);
            }
            for (_, column, count) in documents.columns() {
                let _ = column.summarize(count, &mut summary, |_| 0);
                let _ = column.select(count, &mut LongerThan(3));
                let _ = column.values(count, None);
                let _ = column.values(count, Some(&[0, u32::MAX, 7]));
            }
        }
    }
}
