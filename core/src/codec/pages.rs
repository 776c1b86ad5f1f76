//! Pages: parts of a block that are read and checked by themselves.

use alloc::vec::Vec;

/// Pages that are being written, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pages {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a page with the bytes that `write` appends.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// All pages, concatenated.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each page.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let range = core::mem::replace(&mut start, end)..end;
            self.bytes.get(range).expect("ends of pages ascend and lie within the bytes")
        })
    }
}
