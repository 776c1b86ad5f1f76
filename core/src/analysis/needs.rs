//! What a fold needs to know about events.

use crate::json::Paths;

/// What a fold needs to know about the events of a row group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs<'f> {
    /// The paths whose values are its columns, in the order of their numbers.
    pub(crate) paths: &'f Paths,
    pub(crate) path_count: usize,
    pub(crate) times: bool,
    pub(crate) types: bool,
    pub(crate) seqs: bool,
}

impl Needs<'_> {
    /// Whether it suffices to know how many events of each type there are.
    pub(crate) fn are_types_enough(&self) -> bool {
        self.path_count == 0 && !self.times && !self.seqs
    }
}
