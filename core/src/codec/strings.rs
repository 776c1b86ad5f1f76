//! The plain encoding: concatenated texts.

use alloc::vec::Vec;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor};
use super::packed::{Packed, pack};
use super::span::Span;

/// Texts in the heap; the column has only their lengths, [`Packed`].
#[derive(Clone, Debug)]
pub(super) struct Strings {
    ends: Vec<u32>,
    bytes: Bytes,
}

/// Appends the texts to the heap, and their lengths to `out`. `lengths` is a buffer.
pub(super) fn encode_strings(
    text: &[u8],
    spans: &[Span],
    lengths: &mut Vec<u64>,
    heap: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    lengths.clear();
    for span in spans {
        heap.extend_from_slice(span.of(text));
        lengths.push(span.len() as u64);
    }
    pack(lengths, out);
}

impl Strings {
    /// Decodes the lengths of `count` texts from the cursor, and takes their bytes from the heap.
    pub(super) fn decode(cursor: &mut Cursor, heap: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let lengths = Packed::decode(cursor, count)?;
        let mut ends = Vec::with_capacity(count);
        let mut end = 0u32;
        for length in lengths.iter() {
            let length = u32::try_from(length).map_err(|_| Corrupt("the length of a text is invalid"))?;
            end = end.checked_add(length).ok_or(Corrupt("the lengths of texts are invalid"))?;
            ends.push(end);
        }
        Ok(Self { ends, bytes: heap.take(end as usize)? })
    }

    /// Number of texts.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text at `index`, if it exists.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let &end = self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some(Span { start, end }.of(&self.bytes))
    }
}
