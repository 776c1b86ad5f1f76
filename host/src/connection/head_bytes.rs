//! The bytes of a request's head, as they were sent.

use std::mem;

/// The bytes from the start of a head on; they may include more than the head. Needed because hyper normalises the
/// heads that it parses, and does not show the ones that it refuses.
#[derive(Debug)]
pub(super) struct HeadBytes {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Whether the bytes begin with a head that was not taken yet. A pipelined head that arrived together with the
    /// previous request is not found here.
    is_fresh: bool,
}

impl HeadBytes {
    /// Keeps at most one read more than this many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_fresh: false }
    }

    /// The first byte of a head is about to arrive.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.is_fresh = true;
    }

    /// Keeps more bytes. Stops after the read that exceeds the limit.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() < self.bytes_max {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, if they begin with a head that was not taken yet.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        mem::take(&mut self.is_fresh).then(|| self.bytes.clone())
    }

    /// The request is over: the next head is not the one that these bytes begin with.
    pub(super) fn end(&mut self) {
        self.is_fresh = false;
    }
}
