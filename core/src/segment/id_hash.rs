//! The hash by which callers' ids are found.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Hashes a caller's id for the sorted list of ids in a segment.
///
/// The hash is part of the stored format, so its key is fixed. That is safe here: hashes are looked up by search in a
/// sorted list, which chosen hashes cannot degrade below a binary search, and more than a few ids of one and the same
/// 64-bit hash cannot be found.
pub(crate) fn id_hash(id: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x6172_6775_7320_6576, 0x656e_7473_2069_6473);
    hasher.write(id);
    hasher.finish()
}
