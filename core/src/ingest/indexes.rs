//! Maps positions in a batch to indexes in the body.

use alloc::vec::Vec;

/// The index in the body of each event of a batch. It can be higher than the position in the batch, which lacks the
/// invalid events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// A position in the batch, and how many events of the body before it are not in the batch. Ascending, with an
    /// entry only where the count changes.
    skipped: Vec<(u32, usize)>,
}

impl Indexes {
    /// Records the index in the body of the event at the next position in the batch.
    pub(super) fn push(&mut self, position: usize, index: usize) {
        let skipped = index.saturating_sub(position);
        if skipped != self.skipped.last().map_or(0, |&(_, before)| before) {
            self.skipped.push((position as u32, skipped));
        }
    }

    /// The index in the body of the event at this position in the batch.
    #[must_use]
    pub fn of(&self, position: u32) -> usize {
        let after = self.skipped.partition_point(|&(from, _)| from <= position);
        let skipped = after.checked_sub(1).and_then(|last| self.skipped.get(last)).map_or(0, |&(_, skipped)| skipped);
        position as usize + skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_events_count_in_the_body_and_not_in_the_batch() {
        let mut indexes = Indexes::default();
        let body = [0, 3, 4, 5, 9, 10];
        body.into_iter().enumerate().for_each(|(position, index)| indexes.push(position, index));
        assert_eq!(indexes.skipped.len(), 2);
        assert!((0..).zip(body).all(|(position, index)| indexes.of(position) == index));
    }
}
