//! The hash for lookups of callers' ids.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Hashes a caller's id for the sorted list of ids in a segment.
///
/// The hash is part of the stored format, so its key is fixed. Collision attacks are no threat: lookups search a sorted
/// list, which is never slower than a binary search, and finding more than a few ids with the same 64-bit hash is
/// infeasible.
pub(crate) fn id_hash(id: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6172_6775_7320_6576, 0x656e_7473_2069_6473);
    hasher.write(id);
    hasher.finish()
}
