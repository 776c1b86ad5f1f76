//! Fixed-width little-endian integers in a byte buffer: the columns of segments, in memory and on disk.
//!
//! [`Rows::open`](crate::segment::Rows) checks buffers, so access needs no checks.

/// The `index`-th `u32` of a column that begins at `start`.
pub(crate) fn u32_at(bytes: &[u8], start: usize, index: usize) -> u32 {
    u32::from_le_bytes(field(bytes, start + index * 4))
}

/// The `index`-th `u64` of a column that begins at `start`.
pub(crate) fn u64_at(bytes: &[u8], start: usize, index: usize) -> u64 {
    u64::from_le_bytes(field(bytes, start + index * 8))
}

/// The `index`-th `i64` of a column that begins at `start`.
pub(crate) fn i64_at(bytes: &[u8], start: usize, index: usize) -> i64 {
    i64::from_le_bytes(field(bytes, start + index * 8))
}

/// The first index in `range` for which `before` is false. `before` must hold for a prefix of the range only.
pub(crate) fn partition(range: core::ops::Range<usize>, mut before: impl FnMut(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[expect(clippy::indexing_slicing, reason = "Rows::open proves that every column lies within its buffer")]
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_little_endian() {
        let bytes = [9, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(u32_at(&bytes, 1, 0), 1);
        assert_eq!(u32_at(&bytes, 1, 1), 2);
        assert_eq!(u64_at(&bytes, 5, 0), 2);
        assert_eq!(i64_at(&[0xff; 8], 0, 0), -1);
    }

    #[test]
    fn partition_finds_the_boundary() {
        for boundary in 3..=9 {
            assert_eq!(partition(3..9, |index| index < boundary), boundary);
        }
        assert_eq!(partition(5..5, |_| true), 5);
    }
}
