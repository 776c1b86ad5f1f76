//! The bytes of a request's head, kept as they were sent.

use std::mem;

use super::HEAD_BYTES_MAX;

/// What came from the first byte of a head on, and perhaps what follows the head. hyper shows heads changed, or, if it
/// refuses them, not at all.
#[derive(Debug, Default)]
pub(super) struct HeadBytes {
    bytes: Vec<u8>,
    /// Whether the bytes begin with a head that nobody has taken yet. A pipelined one that came together with the one
    /// before is not found here.
    is_fresh: bool,
}

impl HeadBytes {
    /// The first byte of a head is about to come.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.is_fresh = true;
    }

    /// More bytes have come. Those beyond [`HEAD_BYTES_MAX`] are dropped, but for the rest of one read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() < HEAD_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// How many bytes are kept.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, if they begin with a head that was not taken before.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        mem::take(&mut self.is_fresh).then(|| self.bytes.clone())
    }

    /// The request is over. Whatever hyper finds behind it is another head, or none.
    pub(super) fn end(&mut self) {
        self.is_fresh = false;
    }
}
