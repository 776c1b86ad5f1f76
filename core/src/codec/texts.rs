//! A column of texts in the encoding that takes the fewest bytes.

mod columns;
mod summary;

use alloc::vec::Vec;

use super::affixed::{Affixed, AffixedBuilder, common_ends};
use super::cursor::{Corrupt, Cursor};
use super::decimals::{DECIMAL_BYTES_MAX, Decimals, DecimalsBuilder};
use super::dictionary::{Dictionary, DictionaryBuilder};
use super::heap::{Compressor, decode_heap};
use super::integers::{INTEGER_BYTES_MAX, Integers, IntegersBuilder};
use super::span::Span;
use super::strings::{Strings, encode_strings};
use super::template::{TEMPLATE_BYTES_MAX, Template, TemplateBuilder};

/// A column of texts, which may be any bytes, in the form that takes the fewest bytes.
///
/// | bytes | what |
/// |---|---|
/// | … | [heap](super::heap) |
/// | 1 | form, plus 128 if each text is in quotation marks, which are then left out below |
/// | … | content of the form |
///
/// | form | what |
/// |---|---|
/// | 0 | [`Strings`] |
/// | 1 | [`Dictionary`] |
/// | 2, 3 | [`Integers`]; 3 if one is negative |
/// | 4 | [`Template`] |
/// | 5 | [`Decimals`] |
/// | 6 | [`Affixed`] |
///
/// Leaving out quotation marks saves 1.7 to 2.0 bytes per event on the streams of the [module](super).
///
/// A column that shares a heap with others begins with its form. The number of texts is not stored. Each text can be
/// read without the others.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    quoted: bool,
    form: Form,
    /// Length of its decompressed heap; 0 if it shares one.
    heap_bytes: usize,
}

#[derive(Clone, Debug)]
enum Form {
    Strings(Strings),
    Dictionary(Dictionary),
    Integers(Integers),
    Template(Template),
    Decimals(Decimals),
    Affixed(Affixed),
}

/// The form of a column, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum FormCode {
    Strings = 0,
    Dictionary = 1,
    Integers = 2,
    SignedIntegers = 3,
    Template = 4,
    Decimals = 5,
    Affixed = 6,
}

const QUOTED: u8 = 128;

/// A dictionary that is this many times smaller than the texts is chosen without trying other forms.
const GOOD_ENOUGH: usize = 8;

/// Buffers for encoding columns of texts, for reuse.
#[derive(Debug, Default)]
pub(crate) struct TextsEncoder {
    column: ColumnEncoder,
    compressor: Compressor,
    spans: Vec<Span>,
    heap: Vec<u8>,
    body: Vec<u8>,
}

/// Appends texts to `out` as [`Texts`]. `text` has the concatenated texts, at most 1 GiB, and `ends` their ends.
pub(crate) fn encode_texts(text: &[u8], ends: &[u32], scratch: &mut TextsEncoder, out: &mut Vec<u8>) {
    let TextsEncoder { column, compressor, spans, heap, body } = scratch;
    heap.clear();
    body.clear();
    Span::consecutive(ends, spans);
    column.encode(text, spans, heap, body);
    compressor.encode(heap, out);
    out.extend_from_slice(body);
}

/// Buffers for encoding a column.
#[derive(Debug, Default)]
pub(super) struct ColumnEncoder {
    dictionary: DictionaryBuilder,
    integers: IntegersBuilder,
    template: TemplateBuilder,
    decimals: DecimalsBuilder,
    affixed: AffixedBuilder,
    lengths: Vec<u64>,
}

impl ColumnEncoder {
    /// Appends the column to `out`, and bytes for the heap to `heap`. Leaves `spans` in an unspecified state.
    pub(super) fn encode(&mut self, text: &[u8], spans: &mut [Span], heap: &mut Vec<u8>, out: &mut Vec<u8>) {
        let quoted = spans.iter().all(|span| matches!(span.of(text), [b'"', .., b'"']));
        if quoted {
            spans.iter_mut().for_each(|span| *span = Span { start: span.start + 1, end: span.end - 1 });
        }
        let code = self.choose(text, spans);
        out.push(code as u8 | if quoted { QUOTED } else { 0 });
        match code {
            FormCode::Strings => encode_strings(text, spans, &mut self.lengths, heap, out),
            FormCode::Dictionary => self.dictionary.encode(text, heap, out),
            FormCode::Integers | FormCode::SignedIntegers => self.integers.encode(out),
            FormCode::Template => self.template.encode(text, spans, heap, out),
            FormCode::Decimals => self.decimals.encode(out),
            FormCode::Affixed => self.affixed.encode(text, heap, out),
        }
    }

    /// Builds the form with the smallest estimated size.
    fn choose(&mut self, text: &[u8], spans: &[Span]) -> FormCode {
        let (mut bytes, mut min, mut max) = (0, usize::MAX, 0);
        for length in spans.iter().map(|span| span.len()) {
            bytes += length;
            min = min.min(length);
            max = max.max(length);
        }
        // An estimate: the size of strings after LZ4 is not known yet.
        let mut best = (FormCode::Strings, bytes * 7 / 8 + spans.len() / 2);
        let mut offer = |code, cost: Option<usize>| {
            if let Some(cost) = cost
                && cost < best.1
            {
                best = (code, cost);
            }
            best
        };
        if let (FormCode::Dictionary, cost) = offer(FormCode::Dictionary, self.dictionary.build(text, spans))
            && cost <= bytes / GOOD_ENOUGH
        {
            return FormCode::Dictionary;
        }
        if max <= INTEGER_BYTES_MAX {
            let cost = self.integers.build(text, spans);
            offer(if self.integers.signed() { FormCode::SignedIntegers } else { FormCode::Integers }, cost);
        }
        if max <= DECIMAL_BYTES_MAX {
            offer(FormCode::Decimals, self.decimals.build(text, spans));
        }
        if min == max && max <= TEMPLATE_BYTES_MAX {
            let ends = self.template.compare(text, spans);
            offer(FormCode::Affixed, self.affixed.build(text, spans, ends));
            offer(FormCode::Template, self.template.build(text, spans));
        } else {
            offer(FormCode::Affixed, self.affixed.build(text, spans, common_ends(text, spans)));
        }
        best.0
    }
}

impl FormCode {
    fn decode(byte: u8) -> Result<Self, Corrupt> {
        match byte {
            0 => Ok(Self::Strings),
            1 => Ok(Self::Dictionary),
            2 => Ok(Self::Integers),
            3 => Ok(Self::SignedIntegers),
            4 => Ok(Self::Template),
            5 => Ok(Self::Decimals),
            6 => Ok(Self::Affixed),
            _ => Err(Corrupt("the form of a column of texts is unknown")),
        }
    }
}

impl Texts {
    /// Decodes `count` texts.
    pub(crate) fn decode(cursor: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let mut heap = decode_heap(cursor)?;
        let heap_bytes = heap.len();
        let texts = Self { heap_bytes, ..Self::decode_column(cursor, &mut heap, count)? };
        if heap.is_empty() { Ok(texts) } else { Err(Corrupt("a heap has unused bytes")) }
    }

    /// Decodes a column from the cursor, and takes its bytes from a shared heap.
    pub(super) fn decode_column(cursor: &mut Cursor, heap: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let byte = cursor.byte()?;
        let form = match FormCode::decode(byte & !QUOTED)? {
            FormCode::Strings => Form::Strings(Strings::decode(cursor, heap, count)?),
            FormCode::Dictionary => Form::Dictionary(Dictionary::decode(cursor, heap, count)?),
            FormCode::Integers => Form::Integers(Integers::decode(cursor, false, count)?),
            FormCode::SignedIntegers => Form::Integers(Integers::decode(cursor, true, count)?),
            FormCode::Template => Form::Template(Template::decode(cursor, heap, count)?),
            FormCode::Decimals => Form::Decimals(Decimals::decode(cursor, count)?),
            FormCode::Affixed => Form::Affixed(Affixed::decode(cursor, heap, count)?),
        };
        Ok(Self { quoted: byte & QUOTED != 0, form, heap_bytes: 0 })
    }

    /// The memory of its decompressed heap in bytes; 0 if it shares one.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap_bytes
    }

    /// Appends the text of a code.
    fn append_code(&self, dictionary: &Dictionary, code: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        self.quote(out);
        out.extend_from_slice(dictionary.text(code)?);
        self.quote(out);
        Ok(())
    }

    fn quote(&self, out: &mut Vec<u8>) {
        if self.quoted {
            out.push(b'"');
        }
    }

    /// Appends the text at `index`, which is below the number of texts, to `out`.
    pub(crate) fn append(&self, index: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        self.quote(out);
        match &self.form {
            Form::Strings(strings) => {
                out.extend_from_slice(strings.get(index).ok_or(Corrupt("a text does not exist"))?);
            }
            Form::Dictionary(dictionary) => out.extend_from_slice(dictionary.get(index)?),
            Form::Integers(integers) => integers.append(index, out),
            Form::Template(template) => template.append(index, out),
            Form::Decimals(decimals) => decimals.append(index, out),
            Form::Affixed(affixed) => affixed.append(index, out),
        }
        self.quote(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::format;
    use std::string::{String, ToString};
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    fn encoded<T: AsRef<[u8]>>(texts: &[T], scratch: &mut TextsEncoder) -> Vec<u8> {
        let (mut text, mut ends, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for value in texts {
            text.extend_from_slice(value.as_ref());
            ends.push(text.len() as u32);
        }
        encode_texts(&text, &ends, scratch, &mut out);
        out
    }

    /// Asserts that the texts round-trip; returns the form and the number of bytes.
    fn assert_round_trip<T: AsRef<[u8]>>(texts: &[T]) -> (FormCode, usize) {
        let mut scratch = TextsEncoder::default();
        // The buffers still have the content of an earlier column, which must have no effect.
        encoded(&["earlier", "column", "1", "-5", "column"], &mut scratch);
        let bytes = encoded(texts, &mut scratch);
        let len = bytes.len();
        let mut cursor = Cursor::new(bytes.into());
        let column = Texts::decode(&mut cursor, texts.len()).unwrap();
        assert!(cursor.is_empty());
        for (index, value) in texts.iter().enumerate().rev() {
            let mut found = b"before".to_vec();
            column.append(index, &mut found).unwrap();
            assert_eq!(found.strip_prefix(b"before").unwrap(), value.as_ref());
        }
        let form = match column.form {
            Form::Strings(_) => FormCode::Strings,
            Form::Dictionary(_) => FormCode::Dictionary,
            Form::Integers(_) => FormCode::Integers,
            Form::Template(_) => FormCode::Template,
            Form::Decimals(_) => FormCode::Decimals,
            Form::Affixed(_) => FormCode::Affixed,
        };
        (form, len)
    }

    fn assert_all_bytes_are_read(column: &Texts, count: usize) {
        let mut out = Vec::new();
        for index in 0..count {
            let _ = column.append(index, &mut out);
        }
    }

    /// A pseudorandom number.
    fn random(index: u64) -> u64 {
        let z = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    }

    fn column(text: impl Fn(u64) -> String) -> Vec<String> {
        (0..300).map(text).collect()
    }

    #[test]
    fn the_smallest_form_is_chosen() {
        let nothing: [&str; 0] = [];
        assert_eq!(assert_round_trip(&nothing), (FormCode::Strings, 6));
        assert_eq!(assert_round_trip(&[""]), (FormCode::Strings, 6));
        assert_eq!(assert_round_trip(&[""; 300]), (FormCode::Dictionary, 10));

        let same = column(|_| "the same in all rows, whatever its length".into());
        let (form, len) = assert_round_trip(&same);
        assert_eq!(form, FormCode::Dictionary);
        assert!(len < 60, "{len}");

        let countries = column(|index| ["DE", "FR", "US", "JP"][random(index) as usize % 4].into());
        let (form, len) = assert_round_trip(&countries);
        assert_eq!(form, FormCode::Dictionary);
        assert!(len < 300 * 2 / 8 + 30, "{len}");

        let durations = column(|index| (random(index) % 100_000).to_string());
        let (form, len) = assert_round_trip(&durations);
        assert_eq!(form, FormCode::Integers);
        assert!(len < 300 * 17 / 8 + 20, "{len}");
        assert_eq!(assert_round_trip(&column(|index| (random(index) as i64).to_string())).0, FormCode::Integers);

        let users = column(|index| format!("\"u-{:05}\"", random(index) % 50_000));
        let (form, len) = assert_round_trip(&users);
        assert_eq!(form, FormCode::Template);
        assert!(len < 300 * 17 / 8 + 30, "{len}");

        let prices = column(|index| format!("{}.{:02}", random(index) % 500, random(index + 1000) % 100));
        let (form, len) = assert_round_trip(&prices);
        assert_eq!(form, FormCode::Decimals);
        assert!(len < 300 * 2 + 20, "{len}");

        let paths = column(|index| format!("\"/items/{}/7\"", random(index) % 10_000));
        let (form, len) = assert_round_trip(&paths);
        assert_eq!(form, FormCode::Affixed);
        assert!(len < 300 * 14 / 8 + 30, "{len}");

        let digests = column(|index| format!("{:016x}{:016x}{:08x}", random(index), index, random(index) >> 32));
        let (form, len) = assert_round_trip(&digests);
        assert_eq!(form, FormCode::Template);
        assert!(len < 300 * 28 / 2 + 100, "{len}");

        let sentences = column(|index| {
            format!("the words {} of a sentence {} that has others", index % 10, random(index) % 10_000)
        });
        let (form, len) = assert_round_trip(&sentences);
        assert_eq!(form, FormCode::Strings);
        assert!(len < 300 * 15, "{len}");
    }

    #[test]
    fn numbers_round_trip_exactly() {
        let limits = ["0", "1", "18446744073709551615", "9223372036854775808"];
        assert_round_trip(&limits);
        assert_round_trip(&["-9223372036854775808", "9223372036854775807", "-1", "0", "1"]);
        for odd in
            ["", "-", "-0", "00", "01", "-01", "+1", "1.0", "1e400", "18446744073709551616", "-9223372036854775809"]
        {
            let mut texts = column(|index| random(index).to_string());
            texts.push(odd.into());
            assert_round_trip(&texts);
            texts.push("-7".into());
            assert_round_trip(&texts);
        }
        let long = column(|index| format!("{:020}-{:020}", random(index), u64::MAX - index));
        assert_eq!(assert_round_trip(&long).0, FormCode::Template);
    }

    #[test]
    fn long_texts_round_trip() {
        let long: Vec<Vec<u8>> =
            (0..4).map(|row| (0..100_000).map(|index| random(index + row * 7) as u8).collect()).collect();
        assert_round_trip(&long);
        assert_round_trip(&["x".repeat(300_000), "y".repeat(300_000)]);
        let bytes = encoded(&["x".repeat(300_000)], &mut TextsEncoder::default());
        assert!(bytes.len() < 2_000, "{} bytes", bytes.len());
    }

    #[test]
    fn too_many_different_texts_make_no_dictionary() {
        for different in [2, 8, 9, 255, 256, 257, 400] {
            let texts: Vec<String> = (0..1200).map(|row| format!("word {:x}", random(row % different))).collect();
            let (form, len) = assert_round_trip(&texts);
            if different <= 9 {
                assert_eq!(form, FormCode::Dictionary, "{different}");
                assert!(len < 1200 * 4 / 8 + 300, "{len}");
            }
        }
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let any_texts = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..40);
        let few = prop::collection::vec(prop::sample::select(vec!["", "a", "ab", "\"\"", "\"a\"", "7", "-3"]), 0..60);
        let numbers = prop::collection::vec(any::<i64>(), 0..60);
        let shift = (any::<Vec<u64>>(), 0u32..64);
        let mask = (prop::collection::vec(any::<[u8; 24]>(), 0..40), any::<[u8; 24]>(), any::<[u8; 24]>());
        let bytes = |text: &str| text.as_bytes().to_vec();
        prop_oneof![
            any_texts,
            few.prop_map(move |texts| texts.into_iter().map(bytes).collect()),
            numbers.prop_map(move |numbers| numbers.iter().map(|number| bytes(&number.to_string())).collect()),
            shift.prop_map(move |(numbers, shift)| {
                numbers.iter().map(|number| bytes(&format!("\"{:07}\"", number >> shift))).collect()
            }),
            mask.prop_map(|(texts, mask, base)| {
                let masked = |text: [u8; 24]| (0..24).map(|at| text[at] & mask[at] ^ base[at]).collect();
                texts.into_iter().map(masked).collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn any_texts_round_trip(texts in texts()) {
            assert_round_trip(&texts);
        }

        #[test]
        fn no_bytes_make_it_panic(
            heap in prop::collection::vec(any::<u8>(), 0..20),
            form in 0u8..8,
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            count in 0usize..100,
        ) {
            let whole: Vec<u8> = heap.iter().chain(&[form]).chain(&bytes).copied().collect();
            if let Ok(column) = Texts::decode(&mut Cursor::new(whole.into()), count) {
                assert_all_bytes_are_read(&column, count);
            }
            let column: Vec<u8> = core::iter::once(form).chain(bytes).collect();
            let mut heap = Cursor::new(heap.into());
            if let Ok(column) = Texts::decode_column(&mut Cursor::new(column.into()), &mut heap, count) {
                assert_all_bytes_are_read(&column, count);
            }
        }

        #[test]
        fn no_damage_makes_it_panic(texts in texts(), at in any::<prop::sample::Index>(), bit in 0u32..8) {
            let bytes = encoded(&texts, &mut TextsEncoder::default());
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= 1 << bit;
            if let Ok(column) = Texts::decode(&mut Cursor::new(damaged.into()), texts.len()) {
                assert_all_bytes_are_read(&column, texts.len());
            }
            let cut = bytes[..at.index(bytes.len())].to_vec().into();
            prop_assert!(Texts::decode(&mut Cursor::new(cut), texts.len()).is_err());
        }
    }
}
