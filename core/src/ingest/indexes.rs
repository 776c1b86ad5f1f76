//! Maps the events of a batch to their places in the body.

use alloc::vec::Vec;

/// Which events of a body those of a batch are: faulty ones are counted in the body and are not in the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// From this place in the batch on, so many events of the body are not in it. Ascending, and only where that
    /// changes.
    left_out: Vec<(u32, usize)>,
}

impl Indexes {
    /// The event at this place in the batch, behind all others so far, has this index in the body.
    pub(super) fn note(&mut self, place: usize, index: usize) {
        let left_out = index.saturating_sub(place);
        if left_out != self.left_out.last().map_or(0, |&(_, before)| before) {
            self.left_out.push((place as u32, left_out));
        }
    }

    /// The index in the body of the event at this place in the batch.
    #[must_use]
    pub fn of(&self, place: u32) -> usize {
        let after = self.left_out.partition_point(|&(from, _)| from <= place);
        let left_out =
            after.checked_sub(1).and_then(|last| self.left_out.get(last)).map_or(0, |&(_, left_out)| left_out);
        place as usize + left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faulty_events_count_in_the_body_and_not_in_the_batch() {
        let mut indexes = Indexes::default();
        let body = [0, 3, 4, 5, 9, 10];
        body.into_iter().enumerate().for_each(|(place, index)| indexes.note(place, index));
        assert_eq!(indexes.left_out.len(), 2);
        assert!((0..).zip(body).all(|(place, index)| indexes.of(place) == index));
    }
}
