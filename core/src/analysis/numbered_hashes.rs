//! The hashes of strings that differ in an integer only.

use alloc::string::String;
use alloc::vec::Vec;

use super::key;
use crate::json::Value;
use crate::row_group::Numbered;

/// How many hashes are kept. They take 1.5 MiB.
const KEPT: usize = 1 << 16;

/// The most pairs of texts around integers whose hashes are kept at a time.
const AFFIXES_MAX: usize = 64;

/// Computes the hashes of the values of [`Numbered`] columns, and keeps the last ones.
///
/// Values such as the ids of users come again and again, in each block. To look an integer up is faster than to write
/// and to hash the value.
#[derive(Debug, Default)]
pub(super) struct NumberedHashes {
    /// What columns have had before and after their integers.
    affixes: Vec<(String, String)>,
    /// Each integer, with what is around it, has a place where its hash is kept until another one needs the place.
    kept: Vec<Kept>,
    token: Vec<u8>,
    text: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    integer: u64,
    hash: u64,
    /// The index in `affixes`, plus 1; 0 if the place is free.
    affixes: u32,
}

/// The hashes of the values of one column.
pub(super) struct ColumnHashes<'h> {
    hashes: &'h mut NumberedHashes,
    column: &'h Numbered,
    affixes: u32,
}

impl NumberedHashes {
    /// Begins with a column.
    pub(super) fn of_column<'h>(&'h mut self, column: &'h Numbered) -> ColumnHashes<'h> {
        let is_same = |(before, after): &(String, String)| (before, after) == (&column.before, &column.after);
        let index = self.affixes.iter().position(is_same).unwrap_or_else(|| {
            if self.affixes.len() == AFFIXES_MAX {
                self.affixes.clear();
                self.kept.clear();
            }
            self.affixes.push((column.before.clone(), column.after.clone()));
            self.affixes.len() - 1
        });
        if self.kept.is_empty() {
            self.kept = alloc::vec![Kept::default(); KEPT];
        }
        ColumnHashes { hashes: self, column, affixes: index as u32 + 1 }
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let affixes: usize = self.affixes.iter().map(|(before, after)| before.capacity() + after.capacity()).sum();
        self.kept.capacity() * size_of::<Kept>() + affixes
    }
}

impl ColumnHashes<'_> {
    /// The hash of the value with this integer.
    pub(super) fn get(&mut self, integer: u64) -> u64 {
        let Self { hashes: NumberedHashes { kept, token, text, key, .. }, column, affixes } = self;
        let mixed = (integer ^ u64::from(*affixes) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = kept.get_mut((mixed >> 32) as usize % KEPT).expect("there are as many places as are counted");
        if (place.integer, place.affixes) != (integer, *affixes) {
            token.clear();
            column.write(integer, token);
            let token = core::str::from_utf8(token).expect("digits between two texts are a text");
            key.clear();
            key::write(Value::of(token), token, text, key);
            *place = Kept { integer, hash: key::hash(key), affixes: *affixes };
        }
        place.hash
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
        let others: Vec<Numbered> = (0..AFFIXES_MAX).map(|other| column(&format!("\"{other}-"), "\"")).collect();
        for column in columns.iter().chain(&columns).chain(&others).chain(&columns) {
            let integers = integers.get(..if column.before == "\"u-" { 200_001 } else { 50 }).unwrap_or_default();
            let mut of_column = hashes.of_column(column);
            for integer in integers.iter().chain(integers.iter().rev().take(1_000)) {
                let (token, mut key) = (format!("{}{integer}{}", column.before, column.after), Vec::new());
                key::write(Value::of(&token), &token, &mut Vec::new(), &mut key);
                assert_eq!(of_column.get(*integer), key::hash(&key), "{token}");
            }
        }
    }
}
