//! Sets of sequence numbers, as inclusive ranges.

use alloc::vec::Vec;

/// The first and the last number.
pub(super) type SeqRange = (u64, u64);

/// The ranges of ascending numbers, which may repeat.
pub(super) fn of(numbers: impl IntoIterator<Item = u64>) -> Vec<SeqRange> {
    union(numbers.into_iter().map(|number| (number, number)))
}

/// The union of ranges that ascend by their first numbers.
pub(super) fn union(ranges: impl IntoIterator<Item = SeqRange>) -> Vec<SeqRange> {
    let mut union: Vec<SeqRange> = Vec::new();
    for (first, last) in ranges {
        match union.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            Some(_) | None => union.push((first, last)),
        }
    }
    union
}

/// The parts of a range that are in none of `ranges`. These must be a [`union`].
pub(super) fn gaps(ranges: &[SeqRange], (first, last): SeqRange) -> Vec<SeqRange> {
    let mut gaps = Vec::new();
    let mut next = first;
    for &(start, end) in ranges {
        if start > next {
            gaps.push((next, last.min(start - 1)));
        }
        next = next.max(end.saturating_add(1));
        if next > last || end == u64::MAX {
            return gaps.into_iter().filter(|(first, last)| first <= last).collect();
        }
    }
    gaps.push((next, last));
    gaps.into_iter().filter(|(first, last)| first <= last).collect()
}

/// The intersection of two unions.
pub(super) fn intersection(a: &[SeqRange], b: &[SeqRange]) -> Vec<SeqRange> {
    let mut intersection = Vec::new();
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(&&(a_first, a_last)), Some(&&(b_first, b_last))) = (a.peek(), b.peek()) {
        let (first, last) = (a_first.max(b_first), a_last.min(b_last));
        if first <= last {
            intersection.push((first, last));
        }
        if a_last < b_last {
            a.next()
        } else {
            b.next()
        };
    }
    intersection
}

/// How many numbers a union has.
pub(super) fn count(ranges: &[SeqRange]) -> u64 {
    ranges.iter().fold(0u64, |count, (first, last)| count.saturating_add((last - first).saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn numbers_form_ranges_with_gaps_between_them() {
        let ranges = of([2, 3, 3, 4, 7, 9, 10]);
        assert_eq!(ranges, [(2, 4), (7, 7), (9, 10)]);
        assert_eq!(count(&ranges), 6);
        assert_eq!(gaps(&ranges, (1, 12)), [(1, 1), (5, 6), (8, 8), (11, 12)]);
        assert_eq!(gaps(&ranges, (3, 9)), [(5, 6), (8, 8)]);
        assert_eq!(gaps(&ranges, (5, 5)), [(5, 5)]);
        assert_eq!(gaps(&ranges, (2, 4)), []);
        assert_eq!(gaps(&[], (2, 4)), [(2, 4)]);
        assert_eq!(gaps(&[(0, u64::MAX)], (2, u64::MAX)), []);
        assert_eq!(union([(1, 5), (2, 3), (6, 7), (9, 9)]), [(1, 7), (9, 9)]);
    }

    #[test]
    fn an_intersection_has_the_numbers_of_both_unions() {
        let all = vec![(1, 3), (5, 9), (12, 12)];
        assert_eq!(intersection(&all, &all), all);
        assert_eq!(intersection(&all, &[(3, 5), (8, 20)]), [(3, 3), (5, 5), (8, 9), (12, 12)]);
        assert_eq!(intersection(&all, &[]), []);
    }
}
