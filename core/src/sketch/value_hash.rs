//! The hash by which values are told apart.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Hashes a value for [`Distinct`](super::Distinct).
///
/// `tag` is the value's type, so that the string `1` and the number `1` differ. `bytes` must be the same for equal
/// values. The hash is SipHash-1-3 of `bytes`. The two numbers of its key are `"argus va"` xor `tag` and `"lue hash"`,
/// little-endian. It is part of the interface and must not change, because summaries of different stores and versions
/// are merged.
///
/// The key is fixed and known, so a sender who wants wrong counts can choose values that collide. No hash that several
/// stores share prevents that.
#[must_use]
pub fn value_hash(tag: u8, bytes: &[u8]) -> u64 {
    const KEY: [u64; 2] = [u64::from_le_bytes(*b"argus va"), u64::from_le_bytes(*b"lue hash")];
    let mut hasher = SipHasher13::new_with_keys(KEY[0] ^ u64::from(tag), KEY[1]);
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_change() {
        // From another implementation of SipHash-1-3.
        for (tag, value, hash) in [
            (0, "", 0xe88d_68a3_3653_8a5d),
            (1, "", 0x4e9d_ad70_2e9a_cc0f),
            (0, "u-183920", 0xa8e1_29a9_8cff_31e9),
            (1, "u-183920", 0xcc87_1bf3_fe14_f5d0),
            (255, "a longer value, of more than sixteen bytes", 0x9d59_51da_436c_5122),
        ] {
            assert_eq!(value_hash(tag, value.as_bytes()), hash, "{tag} {value}");
        }
    }

    #[test]
    fn each_bit_of_the_value_changes_half_of_the_bits_of_the_hash() {
        let mut changed = [0_u32; 64];
        let mut pairs = 0;
        for number in 0..2_000_u32 {
            let value = number.to_le_bytes();
            for bit in 0..32 {
                let other = (number ^ 1 << bit).to_le_bytes();
                let difference = value_hash(3, &value) ^ value_hash(3, &other);
                for (place, changed) in changed.iter_mut().enumerate() {
                    *changed += (difference >> place & 1) as u32;
                }
                pairs += 1;
            }
        }
        for changed in changed {
            let share = f64::from(changed) / f64::from(pairs);
            assert!((share - 0.5).abs() < 0.015, "{share}");
        }
    }
}
