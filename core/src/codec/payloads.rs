//! Decodes a column of payloads in segments of version 2. Each row can be decoded by itself.

use alloc::vec::Vec;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor};
use super::heap::decode_heap;
use super::packed::Packed;
use super::shape::{LEAVES_MAX, SHAPES_MAX};
use super::texts::Texts;

/// A column of compact JSON texts, split by *shape*. The leaves of a text are its strings (with quotation marks, but
/// not the names of members), numbers, `true`, `false` and `null`; its shape is the rest. All texts of one shape store
/// their leaves in columns, one for each leaf. Any bytes round-trip: texts without a shape are stored whole in a column
/// of their own. Shapes save 11.7 to 20.6 bytes per event on the streams of the [module](super).
///
/// | bytes | what |
/// |---|---|
/// | varint | number of shapes s, at most 63 |
/// | … | for each row its shape from 1 on, 0 if it has none, [`Packed`] |
/// | … | [heap](super::heap), shared by everything below |
/// | … | for each shape as below |
/// | … | the rows without a shape, if any, as a column of [`Texts`] that shares the heap |
///
/// A shape:
///
/// | bytes | what |
/// |---|---|
/// | varint | number of leaves l, at most 255 |
/// | l + 1 varints | lengths of the pieces before, between and after the leaves, which lie in the heap |
/// | … | l columns of [`Texts`] that share the heap |
///
/// The leaves of a row are at its index among the rows of its shape.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    shapes: Vec<ShapeColumns>,
    whole: Option<Texts>,
    /// For each row the number of its shape, 0 if it has none, and its index among the rows of that shape.
    shape_rows: Vec<(u32, u32)>,
    /// Length of the decompressed heap.
    heap_bytes: usize,
}

#[derive(Clone, Debug)]
struct ShapeColumns {
    first: Bytes,
    /// Each column of leaves, and the piece after it.
    leaves: Vec<(Texts, Bytes)>,
}

impl Payloads {
    /// Decodes `count` texts.
    pub(crate) fn decode(cursor: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let shapes = cursor.length(SHAPES_MAX)?;
        let numbers = Packed::decode(cursor, count)?;
        let mut heap = decode_heap(cursor)?;
        let heap_bytes = heap.len();
        let mut rows = [0u32; SHAPES_MAX + 1];
        let mut shape_rows = Vec::with_capacity(count);
        for number in numbers.iter() {
            if number > shapes as u64 {
                return Err(Corrupt("the number of a shape is invalid"));
            }
            let row_in_shape = rows.get_mut(number as usize).ok_or(Corrupt("the number of a shape is invalid"))?;
            shape_rows.push((number as u32, *row_in_shape));
            *row_in_shape += 1;
        }
        let [rows_whole, rows @ ..] = rows;
        let shapes = rows.iter().take(shapes).map(|&rows| ShapeColumns::decode(cursor, &mut heap, rows as usize));
        let shapes = shapes.collect::<Result<_, _>>()?;
        let whole = match rows_whole as usize {
            0 => None,
            rows => Some(Texts::decode_column(cursor, &mut heap, rows)?),
        };
        if heap.is_empty() {
            Ok(Self { shapes, whole, shape_rows, heap_bytes })
        } else {
            Err(Corrupt("a heap has unused bytes"))
        }
    }

    /// Its memory in bytes, in addition to the encoded bytes, which it shares with the block.
    pub(crate) fn memory_bytes(&self) -> usize {
        let leaves: usize = self.shapes.iter().map(|shape| shape.leaves.len()).sum();
        self.heap_bytes
            + size_of_val(self.shape_rows.as_slice())
            + size_of_val(self.shapes.as_slice())
            + leaves * size_of::<(Texts, Bytes)>()
    }

    /// Appends the text of a row to `out`.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        const NO_ROW: Corrupt = Corrupt("a row does not exist");
        let &(shape, row_in_shape) = self.shape_rows.get(row).ok_or(NO_ROW)?;
        match shape.checked_sub(1) {
            Some(shape) => self.shapes.get(shape as usize).ok_or(NO_ROW)?.append(row_in_shape as usize, out),
            None => self.whole.as_ref().ok_or(NO_ROW)?.append(row_in_shape as usize, out),
        }
    }
}

impl ShapeColumns {
    fn decode(cursor: &mut Cursor, heap: &mut Cursor, rows: usize) -> Result<Self, Corrupt> {
        let count = cursor.length(LEAVES_MAX)?;
        let piece = |cursor: &mut Cursor, heap: &mut Cursor| {
            let length = cursor.length(usize::MAX)?;
            heap.take(length)
        };
        let first = piece(cursor, heap)?;
        let pieces = (0..count).map(|_| piece(cursor, heap)).collect::<Result<Vec<_>, _>>()?;
        let leaves = pieces.into_iter().map(|piece| Ok((Texts::decode_column(cursor, heap, rows)?, piece)));
        Ok(Self { first, leaves: leaves.collect::<Result<_, _>>()? })
    }

    fn append(&self, row_in_shape: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        out.extend_from_slice(&self.first);
        for (leaf, piece) in &self.leaves {
            leaf.append(row_in_shape, out)?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::format;
    use std::string::String;
    use std::vec;

    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng};

    use super::*;
    use crate::codec::PayloadEncoder;

    fn encoded<T: AsRef<[u8]>>(texts: &[T], encoder: &mut PayloadEncoder) -> Vec<u8> {
        let (mut text, mut ends, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for value in texts {
            text.extend_from_slice(value.as_ref());
            ends.push(text.len() as u32);
        }
        encoder.encode(&text, &ends, &mut out);
        out
    }

    fn assert_round_trip<T: AsRef<[u8]>>(texts: &[T]) -> Payloads {
        let mut encoder = PayloadEncoder::default();
        // The buffers still have the content of an earlier block, which must have no effect.
        encoded(&[r#"{"earlier":"block"}"#; 20], &mut encoder);
        let bytes = encoded(texts, &mut encoder);
        let mut cursor = Cursor::new(bytes.into());
        let payloads = Payloads::decode(&mut cursor, texts.len()).unwrap();
        assert!(cursor.is_empty());
        let mut found = Vec::new();
        for (row, text) in texts.iter().enumerate().rev() {
            found.clear();
            payloads.append(row, &mut found).unwrap();
            assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(text.as_ref()));
            assert_eq!(found, text.as_ref());
        }
        assert!(payloads.append(texts.len(), &mut found).is_err());
        payloads
    }

    fn read_all(payloads: &Payloads, count: usize) {
        let mut out = Vec::new();
        for row in 0..count {
            let _ = payloads.append(row, &mut out);
        }
    }

    /// One text for each index in `order`. Indexes beyond the end of `kinds` wrap around.
    fn rows(kinds: &[String], order: &[usize]) -> Vec<String> {
        order.iter().map(|index| kinds[index % kinds.len()].clone()).collect()
    }

    #[test]
    fn texts_of_a_shape_share_columns() {
        let texts: Vec<String> = (0..300)
            .map(|row| match row % 3 {
                0 => format!(r#"{{"user":"u-{row:05}","n":{row},"tags":["a",{{"b":[]}}],"none":null}}"#),
                1 => format!(r#"{{"user":null,"n":-{row}.5e3,"tags":[true,{{"b":[]}}],"none":"no\"ne"}}"#),
                _ => format!(r#"{{"n":{row}}}"#),
            })
            .collect();
        let payloads = assert_round_trip(&texts);
        assert_eq!(payloads.shapes.len(), 2);
        assert!(payloads.whole.is_none());
        assert_eq!(payloads.shapes[0].leaves.len(), 4);
        assert_eq!(payloads.shapes[1].leaves.len(), 1);
    }

    #[test]
    fn payloads_take_little_more_than_their_random_bits() {
        const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "JP", "BR", "IN", "GB", "PL"];
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut texts = Vec::new();
        for _ in 0..300 {
            let (user, session): (u32, u64) = (random.random_range(0..50_000), random.random());
            let (shop, item): (u32, u32) = (random.random_range(0..100), random.random_range(0..10_000));
            let (search, duration): (u32, u32) = (random.random_range(0..1_000_000), random.random_range(0..100_000));
            let (country, new): (&str, bool) = (COUNTRIES[random.random_range(0..8)], random.random());
            texts.push(format!(
                "{{\"user\":\"u-{user:05}\",\"session\":\"{session:016x}\",\
                 \"path\":\"/shops/{shop:02}/items/{item:04}\",\"referrer\":\"https://find.example/?q={search:06}\",\
                 \"duration_ms\":{duration},\"country\":\"{country}\",\"new\":{new}}}"
            ));
        }
        // Each payload of some 167 bytes has 140 random bits, which are 17.5 bytes.
        let bytes = encoded(&texts, &mut PayloadEncoder::default()).len();
        assert!(bytes < 300 * 19, "{bytes} bytes");
        assert_round_trip(&texts);
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
            "\"\\\\\"",
            "null",
            "[[]]",
            "{\"\":{}}",
            r#"{"a":1,"a":2}"#,
            r#"{"a":"\u0000\ud83e","ä":"日本\/"}"#,
            "[1,[2,[3,[4]]]]",
            "{\"a\":1",
            "\"",
            "\"\\",
            "\"a\\\"",
            "{\"a\":}",
            ",,,",
            ":",
            "\"a\":\"b\"",
            "\"a\":",
            " 1 ",
            "{ \"a\" : 1 }",
            "}{",
            "tru",
            "12345678",
            "\"a\"\"b\"",
            "1\"2",
            "\"a\"1",
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
    fn texts_beyond_the_limit_of_shapes_are_stored_whole() {
        let texts: Vec<String> = (0..4000).map(|row| format!(r#"{{"name{}":{row}}}"#, row % 400)).collect();
        let payloads = assert_round_trip(&texts);
        assert_eq!(payloads.shapes.len(), SHAPES_MAX);
        assert!(payloads.whole.is_some());
    }

    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"a\":",
            "\"\"",
            "\"",
            "\\",
            "\\\"",
            "0",
            "-1.5e9",
            "null",
            " ",
            "ü",
            "\"eight by\"",
            "[1,2]",
            "{}",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(vec![
                "null", "true", "false", "0", "-0", "1.0", "-1.5e9", "1e400", "{}", "[]", r#""""#
            ])
            .prop_map(String::from),
            any::<i64>().prop_map(|number| format!("{number}")),
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
            mut kinds in prop::collection::vec(nearly_json(), 1..12),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            order in prop::collection::vec(0usize..12, 0..120),
        ) {
            assert_round_trip(&[&bytes[..], b"{}", &bytes]);
            kinds.push(String::from_utf8_lossy(&bytes).into_owned());
            assert_round_trip(&rows(&kinds, &order));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..100) {
            if let Ok(payloads) = Payloads::decode(&mut Cursor::new(bytes.into()), count) {
                read_all(&payloads, count);
            }
        }

        #[test]
        fn no_damage_makes_it_panic(
            kinds in prop::collection::vec(json(), 1..4),
            order in prop::collection::vec(0usize..12, 1..60),
            at in any::<prop::sample::Index>(),
            bit in 0u32..8,
        ) {
            let texts = rows(&kinds, &order);
            let bytes = encoded(&texts, &mut PayloadEncoder::default());
            let at = at.index(bytes.len());
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(payloads) = Payloads::decode(&mut Cursor::new(damaged.into()), texts.len()) {
                read_all(&payloads, texts.len());
            }
            prop_assert!(Payloads::decode(&mut Cursor::new(bytes[..at].to_vec().into()), texts.len()).is_err());
        }
    }
}
