//! Series of integers that are read as a whole.

use alloc::vec::Vec;

use super::cursor::{Corrupt, Cursor, put_varint};
use super::packed::{Packed, pack, pack_all, packed_len};

/// Appends integers that often differ little from their predecessors, such as times in order.
///
/// | bytes | what |
/// |---|---|
/// | 1 | form |
/// | … | content of the form |
///
/// | form | what |
/// |---|---|
/// | 0 | the values, [`Packed`] |
/// | 1 | the first value as varint, and the differences from each value to the next, [`Packed`]; all are positive or zero |
/// | 2 | the same with signed differences: twice the difference, or the complement of that if it is negative |
///
/// The smallest form is written. The number of values is not stored. With form 1 instead of 0, the times and sequence
/// numbers of a block take 2 to 3 bytes less per event.
pub(crate) fn encode_series(values: &[u64], out: &mut Vec<u8>) {
    let ascends = values.is_sorted();
    let differences = values.windows(2).map(|pair| match pair {
        [value, next] if ascends => next.wrapping_sub(*value),
        [value, next] => zigzag(next.wrapping_sub(*value)),
        _ => 0,
    });
    let differences: Vec<u64> = differences.collect();
    match values.first() {
        Some(&first) if packed_len(&differences) < packed_len(values) => {
            out.push(if ascends { ASCENDING } else { SIGNED });
            put_varint(first, out);
            pack_all(differences.iter().copied(), out);
        }
        Some(_) | None => {
            out.push(PLAIN);
            pack(values, out);
        }
    }
}

/// Decodes `count` values that [`encode_series`] has written.
pub(crate) fn decode_series(cursor: &mut Cursor, count: usize) -> Result<Vec<u64>, Corrupt> {
    let form = cursor.byte()?;
    let mut values = Vec::new();
    match form {
        PLAIN => Packed::decode(cursor, count)?.append_all(&mut values),
        ASCENDING | SIGNED if count > 0 => {
            let first = cursor.varint()?;
            let differences = Packed::decode(cursor, count - 1)?;
            values.reserve(count);
            values.push(first);
            differences.append_all(&mut values);
            let mut last = 0u64;
            for (index, value) in values.iter_mut().enumerate() {
                let difference = if index > 0 && form == SIGNED { unzigzag(*value) } else { *value };
                last = last.wrapping_add(difference);
                *value = last;
            }
        }
        _ => return Err(Corrupt("the form of a series is unknown")),
    }
    Ok(values)
}

const PLAIN: u8 = 0;
const ASCENDING: u8 = 1;
const SIGNED: u8 = 2;

fn zigzag(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn assert_round_trip(values: &[u64]) -> (u8, usize) {
        let mut bytes = Vec::new();
        encode_series(values, &mut bytes);
        let (form, len) = (*bytes.first().unwrap(), bytes.len());
        let mut cursor = Cursor::new(bytes.into());
        assert_eq!(decode_series(&mut cursor, values.len()).unwrap(), values);
        assert!(cursor.is_empty());
        (form, len)
    }

    #[test]
    fn the_smallest_form_is_chosen() {
        assert_eq!(assert_round_trip(&[]), (PLAIN, 4));
        assert_eq!(assert_round_trip(&[7]).0, PLAIN);
        let times: Vec<u64> = (0..1000).map(|row| 1 << 60 | (row * 997 + row % 7)).collect();
        let (form, len) = assert_round_trip(&times);
        assert_eq!(form, ASCENDING);
        assert!(len < 1000 * 4 / 8 + 20, "{len}");
        let zigzags: Vec<u64> = (0..1000).map(|row| 1_000_000 + row * 1000 - (row % 3) * 1400).collect();
        assert_eq!(assert_round_trip(&zigzags).0, SIGNED);
        assert_eq!(assert_round_trip(&[0, u64::MAX, 0, u64::MAX, 5]).0, SIGNED);
    }

    proptest! {
        #[test]
        fn any_values_round_trip(mut values in prop::collection::vec(any::<u64>(), 0..50), shift in 0u32..64) {
            assert_round_trip(&values);
            values.iter_mut().for_each(|value| *value >>= shift);
            assert_round_trip(&values);
            values.sort_unstable();
            assert_round_trip(&values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..100) {
            let _ = decode_series(&mut Cursor::new(bytes.into()), count);
        }
    }
}
