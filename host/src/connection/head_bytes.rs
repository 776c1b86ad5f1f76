//! The bytes of a request's head, as they were sent.

use std::mem;

use super::HEAD_BYTES_MAX;

/// The bytes from the start of a head on; they may include more than the head. Needed because hyper normalises the
/// heads that it parses, and does not show the ones that it refuses.
#[derive(Debug, Default)]
pub(super) struct HeadBytes {
    bytes: Vec<u8>,
    /// Whether the bytes begin with a head that was not taken yet. A pipelined head that arrived together with the
    /// previous request is not found here.
    is_fresh: bool,
}

impl HeadBytes {
    /// The first byte of a head is about to arrive.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.is_fresh = true;
    }

    /// Keeps more bytes. Stops after the read that exceeds [`HEAD_BYTES_MAX`].
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() < HEAD_BYTES_MAX {
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
