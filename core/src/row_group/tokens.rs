//! JSON texts, one after another.

use alloc::string::String;
use alloc::vec::Vec;

/// Stands for the index of a value where there is none.
pub(crate) const NONE: u32 = u32::MAX;

/// JSON texts of scalar values, one after another. An empty text stands for no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    text: String,
    ends: Vec<usize>,
}

impl Tokens {
    pub(crate) fn push(&mut self, token: &str) {
        self.text.push_str(token);
        self.ends.push(self.text.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text at an index, which is below [`len`](Self::len).
    pub(crate) fn get(&self, index: usize) -> &str {
        let end = |index: usize| *self.ends.get(index).expect("callers ask for texts below their number");
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).expect("each text ends where it ended when it was added")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}
