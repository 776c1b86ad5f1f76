//! What has to be known to count events for a fold.

use alloc::vec::Vec;
use core::num::NonZeroU32;

/// What has to be known to count events for a fold that needs nothing else of them.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    /// Events of different types are counted apart.
    pub(crate) by_type: bool,
    /// The times of the first and the last event of each type are needed to the nanosecond.
    pub(crate) exact_times: bool,
    /// Events of different buckets are counted apart. The buckets are made of whole cells of one of these lengths, in
    /// seconds, the longest first. Empty if there is only one bucket.
    pub(crate) cells: Vec<NonZeroU32>,
}
