//! A range in a buffer of texts.

use alloc::vec::Vec;

/// The range of a text in a buffer of many texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    /// The text in `buffer`, for which the span must have been made.
    pub(super) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start as usize..self.end as usize).expect("a span is made for the buffer that it is used with")
    }

    pub(super) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Replaces `spans` by those of concatenated texts with these ends.
    pub(super) fn consecutive(ends: &[u32], spans: &mut Vec<Self>) {
        spans.clear();
        let mut start = 0;
        spans.extend(ends.iter().map(|&end| Self { start: core::mem::replace(&mut start, end), end }));
    }
}
