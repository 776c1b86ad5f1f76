//! Bit-packed integers.

use alloc::vec::Vec;

use bytes::Bytes;

use super::cursor::{Corrupt, Cursor, put_varint};

/// Frame-of-reference encoding: (value - minimum) / unit, in as many bits as the largest needs. The unit alone saves
/// 2.5 to 3.7 bytes per event on the streams of the [module](super): most times are whole seconds or milliseconds.
///
/// | bytes | what |
/// |---|---|
/// | varint | the smallest value |
/// | varint | the unit: the greatest common divisor of the differences from it, 0 if all are equal |
/// | 1 | bits per value w, 0 to 64 |
/// | ⌈n w / 8⌉ | the differences divided by the unit, lowest bit first |
///
/// The number of values n is not stored. Each value can be read without the others.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    min: u64,
    unit: u64,
    width: u32,
    count: usize,
    data: Bytes,
}

/// How many values are unpacked at once.
const VALUES_AT_ONCE: usize = 8;

/// The most bits of values that are unpacked at once.
const UNPACKED_WIDTH_MAX: u32 = 32;

/// Appends the values to `out` as [`Packed`].
pub(crate) fn pack(values: &[u64], out: &mut Vec<u8>) {
    pack_all(values.iter().copied(), out);
}

/// Like [`pack`], for values from an iterator.
pub(crate) fn pack_all(values: impl ExactSizeIterator<Item = u64> + Clone, out: &mut Vec<u8>) {
    let Frame { min, unit, width } = Frame::of(values.clone());
    let scale = |value: u64| if unit == 1 { value - min } else { (value - min).checked_div(unit).unwrap_or_default() };
    put_varint(min, out);
    put_varint(unit, out);
    out.push(width as u8);
    if width == 0 {
        return;
    }
    out.reserve(packed_bytes(values.len(), width));
    let (mut pending, mut bits) = (0u128, 0);
    for value in values {
        pending |= u128::from(scale(value)) << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&(pending as u64).to_le_bytes());
            pending >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend(pending.to_le_bytes().iter().take(bits.div_ceil(8) as usize));
}

/// How many bytes [`pack`] appends for these values.
pub(crate) fn packed_len(values: &[u64]) -> usize {
    let Frame { min, unit, width } = Frame::of(values.iter().copied());
    varint_len(min) + varint_len(unit) + 1 + packed_bytes(values.len(), width)
}

/// What the values of a column have in common.
struct Frame {
    min: u64,
    unit: u64,
    /// Bits per value.
    width: u32,
}

impl Frame {
    fn of(values: impl Iterator<Item = u64> + Clone) -> Self {
        let (min, max) = values.clone().fold((u64::MAX, 0), |(min, max), value| (value.min(min), value.max(max)));
        let range = max.saturating_sub(min);
        let min = max - range;
        let unit = values.fold(0, |unit, value| if unit == 1 { 1 } else { gcd(unit, value - min) });
        let width = u64::BITS - range.checked_div(unit).unwrap_or_default().leading_zeros();
        Self { min, unit, width }
    }
}

impl Packed {
    /// Decodes `count` values.
    pub(crate) fn decode(cursor: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let (min, unit, width) = (cursor.varint()?, cursor.varint()?, u32::from(cursor.byte()?));
        if width > u64::BITS || (width > 0 && count > usize::MAX / 64) {
            return Err(Corrupt("the width of a packed column is invalid"));
        }
        Ok(Self { min, unit, width, count, data: cursor.take(packed_bytes(count, width))? })
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The value at `index`, which must be below [`len`](Self::len); 0 if it is not.
    pub(crate) fn get(&self, index: usize) -> u64 {
        if index >= self.count {
            return 0;
        }
        let bit = index * self.width as usize;
        let bytes = self.data.get(bit / 8..).unwrap_or_default();
        let window = match bytes.first_chunk::<16>() {
            Some(window) => u128::from_le_bytes(*window),
            None => {
                let mut window = [0; 16];
                window.iter_mut().zip(bytes).for_each(|(target, &byte)| *target = byte);
                u128::from_le_bytes(window)
            }
        };
        let mask = u128::from(u64::MAX).checked_shr(u64::BITS - self.width).unwrap_or_default() as u64;
        let scaled = (window >> (bit % 8)) as u64 & mask;
        self.min.wrapping_add(scaled.wrapping_mul(self.unit))
    }

    /// The only value; `None` if there are several, or none.
    pub(crate) fn only(&self) -> Option<u64> {
        (self.width == 0 && self.count > 0).then_some(self.min)
    }

    /// No value is above this. It may be higher than the greatest value.
    pub(crate) fn bound(&self) -> u64 {
        let scaled_max = u64::MAX.checked_shr(u64::BITS - self.width).unwrap_or(0);
        self.min.saturating_add(scaled_max.saturating_mul(self.unit))
    }

    /// Whether any value is `bound` or more. For most columns, the minimum and the width are enough to tell.
    pub(crate) fn exceeds(&self, bound: u64) -> bool {
        let scaled_max = u64::MAX.checked_shr(u64::BITS - self.width).unwrap_or(0);
        let max = u128::from(self.min) + u128::from(scaled_max) * u128::from(self.unit);
        self.count > 0 && max >= u128::from(bound) && self.iter().any(|value| value >= bound)
    }

    /// Appends all values to `out`. Faster than [`get`](Self::get) for each of them.
    pub(crate) fn append_all(&self, out: &mut Vec<u64>) {
        let Self { min, unit, width, count, ref data } = *self;
        let start = out.len();
        if width == 0 {
            out.resize(start + count, min);
            return;
        }
        out.reserve(count);
        let value = |scaled: u64| min.wrapping_add(scaled.wrapping_mul(unit));
        if width <= UNPACKED_WIDTH_MAX {
            let put = |scaled: [u32; VALUES_AT_ONCE]| out.extend(scaled.map(|scaled| value(u64::from(scaled))));
            unpack(width, data, count / VALUES_AT_ONCE, put);
        } else if width <= 56 {
            // Each value lies within eight bytes.
            let mask = u64::MAX >> (u64::BITS - width);
            let whole = data.len().saturating_sub(7) * 8 / width as usize;
            let values = (0..whole.min(count)).map(|index| {
                let bit = index * width as usize;
                let window = data.get(bit / 8..).and_then(<[u8]>::first_chunk::<8>);
                let window = window.expect("`whole` counts the values that have eight bytes from their first one on");
                value((u64::from_le_bytes(*window) >> (bit % 8)) & mask)
            });
            out.extend(values);
        }
        out.extend((out.len() - start..count).map(|index| self.get(index)));
    }

    /// The indexes of a value, ascending.
    pub(crate) fn find(&self, value: u64) -> impl Iterator<Item = usize> {
        let mut values = Vec::new();
        if self.may_have(value) {
            self.append_all(&mut values);
        }
        values.into_iter().enumerate().filter(move |(_, other)| *other == value).map(|(index, _)| index)
    }

    /// Whether the frame of the column has this value.
    fn may_have(&self, value: u64) -> bool {
        value.checked_sub(self.min).is_some_and(|difference| {
            // All values are equal if the unit is 0.
            let scaled = difference.checked_div(self.unit).unwrap_or_default();
            scaled.wrapping_mul(self.unit) == difference && (self.width == u64::BITS || scaled >> self.width == 0)
        })
    }

    /// All values in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).map(|index| self.get(index))
    }
}

/// Takes up to `groups` groups of [`VALUES_AT_ONCE`] values of `width` bits, as long as there are enough bytes to read
/// ahead.
/// `width` is at most [`UNPACKED_WIDTH_MAX`].
fn unpack(width: u32, data: &[u8], groups: usize, put: impl FnMut([u32; VALUES_AT_ONCE])) {
    // For a constant width, all offsets and shifts are constants.
    match width {
        1 => unpack_width::<1>(data, groups, put),
        2 => unpack_width::<2>(data, groups, put),
        3 => unpack_width::<3>(data, groups, put),
        4 => unpack_width::<4>(data, groups, put),
        5 => unpack_width::<5>(data, groups, put),
        6 => unpack_width::<6>(data, groups, put),
        7 => unpack_width::<7>(data, groups, put),
        8 => unpack_width::<8>(data, groups, put),
        9 => unpack_width::<9>(data, groups, put),
        10 => unpack_width::<10>(data, groups, put),
        11 => unpack_width::<11>(data, groups, put),
        12 => unpack_width::<12>(data, groups, put),
        13 => unpack_width::<13>(data, groups, put),
        14 => unpack_width::<14>(data, groups, put),
        15 => unpack_width::<15>(data, groups, put),
        16 => unpack_width::<16>(data, groups, put),
        17 => unpack_width::<17>(data, groups, put),
        18 => unpack_width::<18>(data, groups, put),
        19 => unpack_width::<19>(data, groups, put),
        20 => unpack_width::<20>(data, groups, put),
        21 => unpack_width::<21>(data, groups, put),
        22 => unpack_width::<22>(data, groups, put),
        23 => unpack_width::<23>(data, groups, put),
        24 => unpack_width::<24>(data, groups, put),
        25 => unpack_width::<25>(data, groups, put),
        26 => unpack_width::<26>(data, groups, put),
        27 => unpack_width::<27>(data, groups, put),
        28 => unpack_width::<28>(data, groups, put),
        29 => unpack_width::<29>(data, groups, put),
        30 => unpack_width::<30>(data, groups, put),
        31 => unpack_width::<31>(data, groups, put),
        32 => unpack_width::<32>(data, groups, put),
        // The caller reads all others one by one.
        _ => {}
    }
}

fn unpack_width<const WIDTH: usize>(data: &[u8], groups: usize, mut put: impl FnMut([u32; VALUES_AT_ONCE])) {
    let mask = u64::MAX >> (u64::BITS as usize - WIDTH);
    let mut rest = data;
    for _ in 0..groups {
        let Some(window) = rest.first_chunk::<{ UNPACKED_WIDTH_MAX as usize + 8 }>() else { return };
        put(core::array::from_fn(|index| {
            let bit = index * WIDTH;
            let word = window.get(bit / 8..).and_then(<[u8]>::first_chunk::<8>);
            let word = word.expect("each of the values begins eight bytes before the end of the window");
            ((u64::from_le_bytes(*word) >> (bit % 8)) & mask) as u32
        }));
        // A group of eight values takes as many bytes as a value has bits.
        rest = rest.get(WIDTH..).unwrap_or_default();
    }
}

fn varint_len(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn assert_round_trip(values: &[u64]) -> usize {
        let mut bytes = Vec::new();
        pack(values, &mut bytes);
        let len = bytes.len();
        let mut cursor = Cursor::new(bytes.into());
        let packed = Packed::decode(&mut cursor, values.len()).unwrap();
        assert!(cursor.is_empty());
        assert_eq!(packed.iter().collect::<Vec<_>>(), values);
        assert_eq!(packed.get(values.len()), 0);
        let mut all = Vec::from([9]);
        packed.append_all(&mut all);
        assert_eq!(all.split_off(1), values);
        assert_eq!(packed_len(values), len);
        for value in values.iter().flat_map(|&value| [value, value.wrapping_add(1)]) {
            let expected = values.iter().enumerate().filter(|(_, other)| **other == value).map(|(index, _)| index);
            assert!(packed.find(value).eq(expected), "{value}");
        }
        for bound in values.iter().flat_map(|&value| [value, value.saturating_add(1)]).chain([0, u64::MAX]) {
            assert_eq!(packed.exceeds(bound), values.iter().any(|&value| value >= bound), "{bound}");
        }
        len
    }

    #[test]
    fn equal_and_regular_values_take_few_bits() {
        assert_eq!(assert_round_trip(&[]), 3);
        assert_eq!(assert_round_trip(&[7; 1000]), 3);
        // Eleven bits per value, thanks to the unit.
        let regular: Vec<u64> = (0..2000).map(|index| 5 + index * 80_000_000).collect();
        assert_eq!(assert_round_trip(&regular), 1 + 4 + 1 + 2000 * 11 / 8);
        assert_round_trip(&[0, u64::MAX, 1, u64::MAX - 1]);
        assert_round_trip(&[u64::MAX]);
    }

    proptest! {
        #[test]
        fn any_values_round_trip(
            values in prop::collection::vec(any::<u64>(), 0..50),
            shift in 0u32..64,
            unit in 1u64..1000,
        ) {
            assert_round_trip(&values);
            assert_round_trip(&values.iter().map(|value| value >> shift).collect::<Vec<_>>());
            assert_round_trip(&values.iter().map(|value| (value >> shift >> 10) * unit).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..100) {
            if let Ok(packed) = Packed::decode(&mut Cursor::new(bytes.into()), count) {
                prop_assert_eq!(packed.iter().count(), count);
            }
        }
    }
}
