//! The hashes of strings that differ in an integer only.

use alloc::string::String;
use alloc::vec::Vec;

use super::key;
use crate::json::Value;
use crate::row_group::Numbered;

/// How many hashes are kept: 1 MiB.
const KEPT: usize = 1 << 16;

/// Computes the hashes of the values of [`Numbered`] columns, and keeps the last ones.
///
/// Values such as the ids of users come again and again, in each block. To write and to hash one takes ten times as
/// long as to look its integer up.
#[derive(Debug, Default)]
pub(super) struct NumberedHashes {
    /// What the texts have in common whose hashes are kept.
    before: String,
    after: String,
    /// Each integer has a place where it is kept until another one needs it. A hash of 0 is not known.
    kept: Vec<(u64, u64)>,
    token: Vec<u8>,
    text: Vec<u8>,
    key: Vec<u8>,
}

impl NumberedHashes {
    /// Prepares for a column.
    pub(super) fn begin(&mut self, column: &Numbered) {
        if self.kept.is_empty() || (&self.before, &self.after) != (&column.before, &column.after) {
            (self.before, self.after) = (column.before.clone(), column.after.clone());
            self.kept.clear();
            self.kept.resize(KEPT, (0, 0));
        }
    }

    /// The hash of the value with this integer in the column that was begun last.
    pub(super) fn hash(&mut self, column: &Numbered, integer: u64) -> u64 {
        let place = (integer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % KEPT;
        let Some(kept) = self.kept.get_mut(place) else { return 0 };
        if kept.0 != integer || kept.1 == 0 {
            let Self { token, text, key, .. } = self;
            token.clear();
            column.write(integer, token);
            let token = core::str::from_utf8(token).expect("digits between two texts are a text");
            key.clear();
            key::write(Value::of(token), token, text, key);
            *kept = (integer, key::hash(key));
        }
        kept.1
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn hashes_are_those_of_the_values_whatever_was_kept() {
        let column = |before: &str, after: &str| Numbered {
            before: before.into(),
            after: after.into(),
            integers: Vec::new(),
            present: Vec::new(),
        };
        let columns = [column("\"u-", "\""), column("\"", "\""), column("\"u-", "x\""), column("\"\\u0061", "\"")];
        let mut hashes = NumberedHashes::default();
        // So many that several have one place.
        let integers: Vec<u64> = (0..200_000).chain([u64::MAX]).collect();
        for column in columns.iter().chain(&columns) {
            hashes.begin(column);
            for integer in integers.iter().chain(integers.iter().rev().take(1_000)) {
                let (token, mut key) = (format!("{}{integer}{}", column.before, column.after), Vec::new());
                key::write(Value::of(&token), &token, &mut Vec::new(), &mut key);
                assert_eq!(hashes.hash(column, *integer), key::hash(&key), "{token}");
            }
        }
    }
}
