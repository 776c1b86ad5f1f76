//! Finds the rows of a fresh segment that may have a string, without reading JSON.

use alloc::vec::Vec;
use core::ops::Range;

use memchr::memmem::Finder;

use super::Rows;
use crate::column::partition_point;
use crate::row_group::RowSet;

/// Searches the texts of rows for a string in quotation marks.
///
/// A payload with the string as a value either contains it like this, or writes some of its characters as escapes. So
/// texts with escapes may have it, too.
#[derive(Clone, Debug)]
pub(crate) struct TextSearch {
    quoted: Finder<'static>,
}

/// Searching so many bytes costs about as much as examining a row.
const BYTES_PER_ROW: usize = 1024;

impl TextSearch {
    /// For this string without escapes; `None` if no JSON text contains it as it is.
    pub(crate) fn new(string: &[u8]) -> Option<Self> {
        if string.iter().any(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\')) {
            return None;
        }
        let quoted: Vec<u8> = [b"\"", string, b"\""].concat();
        Some(Self { quoted: Finder::new(&quoted).into_owned() })
    }

    /// What it costs to search so many bytes, in rows that are examined.
    pub(crate) fn cost(bytes: usize) -> u32 {
        u32::try_from(1 + bytes / BYTES_PER_ROW).unwrap_or(u32::MAX)
    }

    /// Whether a row with this text may have the string.
    pub(crate) fn may_have(&self, text: &[u8]) -> bool {
        self.quoted.find(text).is_some() || escape_in(text).is_some()
    }

    /// Those of the rows in the range, which has at most [`ROWS_MAX`](crate::row_group::ROWS_MAX), that may have the
    /// string. The first row of the range is row 0 of the set.
    pub(crate) fn rows_in(&self, range: Range<usize>, rows: &Rows) -> RowSet {
        let mut found = RowSet::EMPTY;
        self.add_rows(range.clone(), rows, |text| self.quoted.find(text), &mut found);
        self.add_rows(range, rows, escape_in, &mut found);
        found
    }

    /// Adds the rows in whose texts `find` finds something.
    fn add_rows(&self, range: Range<usize>, rows: &Rows, find: impl Fn(&[u8]) -> Option<usize>, found: &mut RowSet) {
        let mut next = range.start;
        while next < range.end {
            let start = rows.text_start(next);
            let Some(offset) = find(rows.texts(next..range.end)) else { return };
            let is_before = |row| rows.text_start(row + 1) <= start + offset;
            // Something across the end of a row is of no use, and does no harm.
            let row = partition_point(next..range.end, is_before);
            found.insert(row - range.start);
            next = row + 1;
        }
    }
}

fn escape_in(text: &[u8]) -> Option<usize> {
    memchr::memchr(b'\\', text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::format;
    use std::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::row_group::ROWS_MAX;
    use crate::segment::RowsBuilder;

    fn rows(payloads: &[String]) -> Rows {
        let mut builder = RowsBuilder::default();
        let code = builder.intern(b"a");
        for (row, payload) in payloads.iter().enumerate() {
            builder.push(row as i64, row as u32, code, if row % 3 == 0 { b"id\\" } else { b"" }, payload.as_bytes());
        }
        builder.finish_sorted()
    }

    #[test]
    fn strings_that_need_escapes_are_not_searched() {
        for string in [&b"a\"b"[..], b"\\", b"a\nb", b"\0"] {
            assert!(TextSearch::new(string).is_none());
        }
    }

    proptest! {
        #[test]
        fn the_rows_found_are_those_that_contain_the_string_or_an_escape(
            texts in prop::collection::vec("[ab\"\\\\]{0,6}", 1..60),
            start in 0usize..60,
            string in "[ab]{0,2}",
        ) {
            let rows = rows(&texts);
            let search = TextSearch::new(string.as_bytes()).unwrap();
            let start = start.min(texts.len());
            let found: Vec<usize> = search.rows_in(start..texts.len(), &rows).rows(ROWS_MAX).collect();
            let quoted = format!("\"{string}\"");
            for row in start..texts.len() {
                let has = rows.row_text(row).windows(quoted.len()).any(|window| window == quoted.as_bytes())
                    || rows.row_text(row).contains(&b'\\');
                prop_assert_eq!(search.may_have(rows.row_text(row)), has);
                // Those across the end of a row are found, too.
                prop_assert!(!has || found.contains(&(row - start)));
                let with_next = rows.texts(row..(row + 2).min(texts.len()));
                let may = has || with_next.windows(quoted.len()).any(|window| window == quoted.as_bytes());
                prop_assert!(may || !found.contains(&(row - start)));
            }
        }
    }
}
