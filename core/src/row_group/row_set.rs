//! Sets of rows of a row group.

/// The most rows of a row group. Indexes of rows must fit into 16 bits.
pub(crate) const ROWS_MAX: usize = 4096;

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = ROWS_MAX / WORD_BITS;

/// A set of rows below [`ROWS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSet([u64; WORDS]);

impl RowSet {
    /// The empty set.
    pub(crate) const EMPTY: Self = Self([0; WORDS]);

    /// All rows.
    pub(crate) const ALL: Self = Self([u64::MAX; WORDS]);

    /// The rows of these values for which `is_wanted` is true.
    pub(crate) fn of<T>(values: &[T], mut is_wanted: impl FnMut(&T) -> bool) -> Self {
        let mut set = Self::EMPTY;
        for (word, values) in set.0.iter_mut().zip(values.chunks(WORD_BITS)) {
            *word = (0..).zip(values).fold(0, |word, (bit, value)| word | u64::from(is_wanted(value)) << bit);
        }
        set
    }

    pub(crate) fn insert(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / WORD_BITS) {
            *word |= 1 << (row % WORD_BITS);
        }
    }

    /// Removes the rows that are not in the other set.
    pub(crate) fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Adds the rows of the other set.
    pub(crate) fn unite(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Removes the rows of the other set.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= !other);
    }

    /// Removes the rows from `end` on.
    pub(crate) fn truncate(&mut self, end: usize) {
        for (start, word) in (0..).step_by(WORD_BITS).zip(&mut self.0) {
            let kept = end.saturating_sub(start).min(WORD_BITS) as u32;
            *word &= u64::MAX.checked_shr(u64::BITS - kept).unwrap_or(0);
        }
    }

    /// Whether it has a row.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.0.get(row / WORD_BITS).is_some_and(|word| word >> (row % WORD_BITS) & 1 == 1)
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The number of its rows below `end`.
    pub(crate) fn count(&self, end: usize) -> usize {
        let words = (0..end).step_by(WORD_BITS).zip(&self.0);
        let ones = words.map(|(start, word)| {
            let missing = (start + WORD_BITS).saturating_sub(end) as u32;
            word.checked_shl(missing).unwrap_or(0).count_ones() as usize
        });
        ones.sum()
    }

    /// Its rows below `end`, ascending.
    pub(crate) fn rows(&self, end: usize) -> impl Iterator<Item = usize> {
        let words = (0..).step_by(WORD_BITS).zip(&self.0).take_while(move |(start, _)| *start < end);
        let rows = words.flat_map(|(start, word)| {
            let mut rest = *word;
            core::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(start + bit)
            })
        });
        rows.take_while(move |row| *row < end)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn sets_have_the_rows_that_were_wanted() {
        let values: Vec<usize> = (0..ROWS_MAX).collect();
        let mut set = RowSet::of(&values, |value| value % 3 == 0);
        let expected: Vec<usize> = (0..100).step_by(3).collect();
        assert_eq!(set.rows(100).collect::<Vec<_>>(), expected);
        assert_eq!(set.rows(ROWS_MAX).count(), ROWS_MAX.div_ceil(3));
        for end in [0, 1, 63, 64, 65, 127, 1_000, ROWS_MAX] {
            assert_eq!(set.count(end), set.rows(end).count(), "{end}");
            let mut truncated = set.clone();
            truncated.truncate(end);
            assert!(truncated.rows(ROWS_MAX).eq(set.rows(end)), "{end}");
        }
        set.intersect(&RowSet::of(&values, |value| *value >= 4090));
        set.insert(0);
        assert_eq!(set.rows(ROWS_MAX).collect::<Vec<_>>(), [0, 4092, 4095]);
        assert!(set.has(4092) && !set.has(4093) && !set.has(ROWS_MAX) && !set.is_empty());
        assert_eq!(RowSet::of(values.get(..70).unwrap_or_default(), |_| true).rows(ROWS_MAX).count(), 70);
    }
}
