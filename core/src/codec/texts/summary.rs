//! Summarizes the values of a column, for the index of values.

use alloc::vec::Vec;

use super::{Form, Texts};
use crate::codec::cursor::Corrupt;
use crate::codec::values::ValueSummary;
use crate::json::write_scaled;

impl Texts {
    /// Adds the values of a column of `count` JSON tokens to a summary. `hash` hashes strings without escapes.
    ///
    /// Each block that is written is summarized, also if it is copied. So strings without escapes, by far the most, are
    /// hashed without first becoming tokens.
    pub(crate) fn summarize(
        &self,
        count: usize,
        summary: &mut ValueSummary,
        hash: impl Fn(&[u8]) -> u64,
    ) -> Result<(), Corrupt> {
        let mut token = Vec::new();
        if let Form::Decimals(decimals) = &self.form
            && !self.quoted
            && let Some((mantissas, places)) = decimals.mantissas()
        {
            for bound in [mantissas.iter().min(), mantissas.iter().max()].into_iter().flatten() {
                token.clear();
                write_scaled(*bound, places, &mut token);
                summary.add(&token, &hash);
            }
            return Ok(());
        }
        match &self.form {
            Form::Integers(integers) if !self.quoted => {
                if let Some((low, high)) = integers.range() {
                    summary.add_range(low, high);
                }
            }
            Form::Template(template) if self.quoted && !template.has_byte(b'\\') => {
                template.each(count, |string| summary.add_string(hash(string)));
            }
            Form::Affixed(affixed) if self.quoted && !affixed.has_byte(b'\\') => {
                affixed.each(|string| summary.add_string(hash(string)));
            }
            Form::Dictionary(dictionary) => {
                for code in 0..dictionary.len() {
                    self.summarize_text(dictionary.text(code)?, summary, &mut token, &hash);
                }
            }
            Form::Strings(strings) => {
                (0..count)
                    .filter_map(|index| strings.get(index))
                    .for_each(|text| self.summarize_text(text, summary, &mut token, &hash));
            }
            Form::Integers(_) | Form::Template(_) | Form::Decimals(_) | Form::Affixed(_) => {
                for index in 0..count {
                    token.clear();
                    self.append(index, &mut token)?;
                    summary.add(&token, &hash);
                }
            }
        }
        Ok(())
    }

    /// Adds a text, which has no quotation marks if those of the column were left out.
    fn summarize_text(
        &self,
        text: &[u8],
        summary: &mut ValueSummary,
        token: &mut Vec<u8>,
        hash: impl Fn(&[u8]) -> u64,
    ) {
        if self.quoted && memchr::memchr(b'\\', text).is_none() {
            summary.add_string(hash(text));
            return;
        }
        token.clear();
        self.quote(token);
        token.extend_from_slice(text);
        self.quote(token);
        summary.add(token, hash);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;
    use std::string::String;
    use std::{format, vec};

    use proptest::prelude::*;

    use super::*;
    use crate::codec::cursor::Cursor;
    use crate::codec::texts::{TextsEncoder, encode_texts};

    /// A hash that is as good as none, so that each string has its own.
    fn hash(string: &[u8]) -> u64 {
        string.iter().fold(7, |hash: u64, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte))
    }

    fn summary(tokens: &[String]) -> (BTreeSet<u64>, Option<(f64, f64)>, bool) {
        let (mut text, mut ends, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for token in tokens {
            text.extend_from_slice(token.as_bytes());
            ends.push(text.len() as u32);
        }
        encode_texts(&text, &ends, &mut TextsEncoder::default(), &mut out);
        let texts = Texts::decode(&mut Cursor::new(out.into()), tokens.len()).unwrap();
        let mut summary = ValueSummary::default();
        texts.summarize(tokens.len(), &mut summary, hash).unwrap();
        (summary.hashes.iter().copied().collect(), summary.numbers, summary.literals)
    }

    /// Columns of tokens for which different encodings are chosen.
    fn columns() -> impl Strategy<Value = Vec<String>> {
        let columns = |token: BoxedStrategy<String>| prop::collection::vec(token, 1..40);
        prop_oneof![
            columns((0u32..100_000).prop_map(|number| format!("\"u-{number:06}\"")).boxed()),
            columns((0u32..100_000).prop_map(|number| format!("\"/items/{number}/x\"")).boxed()),
            columns((0u32..100_000).prop_map(|number| format!("\"\\n{number}\"")).boxed()),
            columns((0u32..100_000).prop_map(|number| format!("\"\\u00e4{number:06}\"")).boxed()),
            columns((0u32..5).prop_map(|number| format!("\"a\\\"{number}\"")).boxed()),
            columns((0u32..5).prop_map(|number| format!("\"country {number}\"")).boxed()),
            columns("\"[a-zä ]{0,12}\"".boxed()),
            columns((0u64..1 << 40).prop_map(|number| format!("\"{number}\"")).boxed()),
            columns(any::<i64>().prop_map(|number| format!("{number}")).boxed()),
            columns(
                (-50_000i32..50_000).prop_map(|number| format!("{}.{:02}", number / 100, number.abs() % 100)).boxed()
            ),
            columns((-9i32..9, -300i32..300).prop_map(|(digit, exponent)| format!("{digit}.5e{exponent}")).boxed()),
            columns(
                prop::sample::select(&["true", "false", "null", "1", "-0", "1.50", "\"x\"", "\"\\\\\""][..])
                    .prop_map(String::from)
                    .boxed()
            ),
        ]
    }

    proptest! {
        #[test]
        fn a_summary_is_that_of_the_tokens(tokens in columns()) {
            let mut expected = ValueSummary::default();
            tokens.iter().for_each(|token| expected.add(token.as_bytes(), hash));
            let hashes = expected.hashes.iter().copied().collect();
            prop_assert_eq!(summary(&tokens), (hashes, expected.numbers, expected.literals));
        }
    }
}
