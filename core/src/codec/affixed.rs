//! The affixed encoding, for texts that have an integer between the same bytes.

use alloc::vec::Vec;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor, put_varint};
use super::integers::parse_u64;
use super::packed::{Packed, pack, packed_len};
use super::span::Span;
use crate::json::write_u64;

/// Texts that differ in one integer only, such as `/items/7` and `/items/1042`.
///
/// | bytes | what |
/// |---|---|
/// | varint, varint | lengths of the bytes before and after the integer, which lie in the heap |
/// | … | the integers, [`Packed`] |
#[derive(Clone, Debug)]
pub(super) struct Affixed {
    prefix: Bytes,
    suffix: Bytes,
    integers: Packed,
}

/// Finds the bytes around the integers of a column.
#[derive(Debug, Default)]
pub(super) struct AffixedBuilder {
    prefix: Span,
    suffix: Span,
    integers: Vec<u64>,
}

impl AffixedBuilder {
    /// Parses the texts, which have these numbers of bytes in common at their beginning and at their end. Returns the
    /// size in bytes; `None` if they are not such texts.
    pub(super) fn build(&mut self, text: &[u8], spans: &[Span], ends: (usize, usize)) -> Option<usize> {
        let first = spans.first()?;
        let bytes = first.of(text);
        let (mut before, mut after) = ends;
        // Digits at the ends belong to the integer.
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        before -= bytes.get(..before)?.iter().rev().take_while(is_digit).count();
        after = after.min(first.len() - before);
        after -= bytes.get(first.len() - after..)?.iter().take_while(is_digit).count();
        self.prefix = Span { start: first.start, end: first.start + before as u32 };
        self.suffix = Span { start: first.end - after as u32, end: first.end };
        self.integers.clear();
        for span in spans {
            let value = span.of(text);
            let digits = value.get(before..value.len().checked_sub(after)?)?;
            self.integers.push(parse_u64(digits)?);
        }
        Some(before + after + packed_len(&self.integers))
    }

    pub(super) fn encode(&self, text: &[u8], heap: &mut Vec<u8>, out: &mut Vec<u8>) {
        for affix in [self.prefix, self.suffix] {
            put_varint(affix.len() as u64, out);
            heap.extend_from_slice(affix.of(text));
        }
        pack(&self.integers, out);
    }
}

impl Affixed {
    pub(super) fn decode(cursor: &mut Cursor, heap: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let (before, after) = (cursor.length(usize::MAX)?, cursor.length(usize::MAX)?);
        let (prefix, suffix) = (heap.take(before)?, heap.take(after)?);
        Ok(Self { prefix, suffix, integers: Packed::decode(cursor, count)? })
    }

    /// Whether the texts have this byte, which is not a digit.
    pub(super) fn has_byte(&self, byte: u8) -> bool {
        self.prefix.contains(&byte) || self.suffix.contains(&byte)
    }

    /// Calls `found` with the index of each text that equals this one.
    pub(super) fn find(&self, text: &[u8], found: impl FnMut(usize)) {
        let digits = text.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        if let Some(integer) = digits.and_then(parse_u64) {
            self.integers.find(integer).for_each(found);
        }
    }

    pub(super) fn append(&self, index: usize, out: &mut Vec<u8>) {
        self.append_integer(self.integers.get(index), out);
    }

    /// Appends the text with this integer.
    pub(super) fn append_integer(&self, integer: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        write_u64(integer, out);
        out.extend_from_slice(&self.suffix);
    }

    /// The bytes before and after the integers.
    pub(super) fn affixes(&self) -> (&[u8], &[u8]) {
        (&self.prefix, &self.suffix)
    }

    /// Calls `found` with each text.
    pub(super) fn each(&self, mut found: impl FnMut(&[u8])) {
        let mut text = Vec::new();
        for integer in self.integers() {
            text.clear();
            self.append_integer(integer, &mut text);
            found(&text);
        }
    }

    /// The integer of each text.
    pub(super) fn integers(&self) -> Vec<u64> {
        let mut integers = Vec::new();
        self.integers.append_all(&mut integers);
        integers
    }
}

/// How many bytes all texts have in common at their beginning, and at their end.
pub(super) fn common_ends(text: &[u8], spans: &[Span]) -> (usize, usize) {
    let bytes = spans.first().map_or(&[][..], |first| first.of(text));
    let (mut before, mut after) = (bytes.len(), bytes.len());
    for span in spans {
        let other = span.of(text);
        before = common(bytes.iter().take(before), other.iter());
        after = common(bytes.iter().rev().take(after), other.iter().rev());
    }
    (before, after)
}

/// How many items two sequences have in common at their beginning.
fn common<'a>(a: impl Iterator<Item = &'a u8>, b: impl Iterator<Item = &'a u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}
