//! Generated ids, computed from the commit time and the sequence number of an event.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::Uuid;

/// The secret of one repository, from which ids are generated. Random, or fixed where results must be reproducible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u128);

/// Computes the ids of events without a caller's id: UUIDs of version 7 (RFC 9562, section 5.7) from the commit time
/// and the sequence number.
///
/// Computed ids need no storage and no index. 62 bits are the sequence number under a keyed permutation (a Feistel
/// network, Luby and Rackoff 1988), which a look-up inverts. 12 more bits are a keyed hash of the sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdentityKey {
    keys: (u64, u64),
}

const HALF_BITS: u32 = 31;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;

impl IdentityKey {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { keys: ((seed.0 >> 64) as u64, seed.0 as u64) }
    }

    /// The id of the event with this sequence number, which must be below 2^62. `millis` is its commit time, in
    /// milliseconds since the Unix epoch.
    pub(crate) fn generate(&self, millis: i64, seq: u64) -> Uuid {
        let time = (millis.max(0) as u64) & 0xffff_ffff_ffff;
        let high = (time << 16) | 0x7000 | (self.hash(ROUNDS, seq) & 0xfff);
        let low = (0b10 << 62) | self.permute(seq);
        Uuid(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
    }

    /// The sequence number of the event with this id, if this repository has generated the id. To find out, generate
    /// the id of that event and compare.
    pub(crate) fn seq(&self, id: Uuid) -> u64 {
        let bits = u128::from_be_bytes(id.0) as u64;
        let (mut left, mut right) = ((bits >> HALF_BITS) & HALF_MASK, bits & HALF_MASK);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ (self.hash(round, left) & HALF_MASK), left);
        }
        (left << HALF_BITS) | right
    }

    fn permute(&self, seq: u64) -> u64 {
        let (mut left, mut right) = ((seq >> HALF_BITS) & HALF_MASK, seq & HALF_MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ (self.hash(round, right) & HALF_MASK));
        }
        (left << HALF_BITS) | right
    }

    fn hash(&self, round: u8, value: u64) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.keys.0, self.keys.1);
        hasher.write_u8(round);
        hasher.write_u64(value);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_number_can_be_computed_from_an_id() {
        let key = IdentityKey::new(Seed(0x0123_4567_89ab_cdef_0011_2233_4455_6677));
        for seq in [1, 2, 3, 1_000_000, (1 << 31) - 1, 1 << 31, (1 << 62) - 1] {
            let id = key.generate(1_700_000_000_000, seq);
            assert_eq!(key.seq(id), seq);
            let bits = u128::from_be_bytes(id.0);
            assert_eq!((bits >> 76) & 0xf, 7, "version");
            assert_eq!((bits >> 62) & 0b11, 0b10, "variant");
            assert_eq!(bits >> 80, 1_700_000_000_000, "time");
        }
    }
}
