//! The hash by which values are told apart.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Hashes a value for [`Distinct`](super::Distinct).
///
/// `tag` is the value's type, so that the string `1` and the number `1` differ. `bytes` must be the same for equal
/// values. The hash is SipHash-1-3 of `bytes` with the key `"argus va" ^ tag`, `"lue hash"` (two little-endian numbers).
/// It is part of the interface and must not change, because summaries of different stores and versions are merged.
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
