//! Ids of events that came without one.

use argus_core::event::{Timestamp, Uuid};

/// The ids of the events of one commit: UUIDs of version 7 (RFC 9562, section 5.7) with the time of the commit.
///
/// They are known before the commit is sent. So if its outcome is unknown, its events are found by their ids.
#[derive(Clone, Copy, Debug)]
pub struct GeneratedIds {
    /// 48 bits of milliseconds, the version, 12 random bits.
    high: u64,
    /// 62 random bits.
    low: u64,
}

const LOW_BITS: u32 = 62;

impl GeneratedIds {
    /// Ids for a commit at this time.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn new(now: Timestamp) -> Result<Self, getrandom::Error> {
        let millis = u64::try_from(now.as_nanos() / 1_000_000).unwrap_or(0) & 0xffff_ffff_ffff;
        let (high, low) = (getrandom::u32()? & 0xfff, getrandom::u64()?);
        Ok(Self { high: millis << 16 | 0x7000 | u64::from(high), low })
    }

    /// The id of the event with this number within the commit. Numbers that follow each other have ids that do, which
    /// the index of ids takes fastest.
    #[must_use]
    pub fn id(&self, number: u64) -> Uuid {
        let low = self.low.wrapping_add(number) & ((1 << LOW_BITS) - 1);
        Uuid((u128::from(self.high) << 64 | 0b10 << LOW_BITS | u128::from(low)).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_version_variant_and_time_and_follow_each_other() {
        let ids = GeneratedIds {
            high: GeneratedIds::new(Timestamp::from_nanos(1_700_000_000_000_000_000))
                .expect("the system has random numbers")
                .high,
            low: (1 << LOW_BITS) - 2,
        };
        let number = |number| u128::from_be_bytes(ids.id(number).0);
        for id in [0, 1, 2, 1_000].map(number) {
            assert_eq!((id >> 80, id >> 76 & 0xf, id >> 62 & 0b11), (1_700_000_000_000, 7, 0b10), "{id:x}");
        }
        assert_eq!(number(1), number(0) + 1);
        assert_eq!(number(2) & ((1 << LOW_BITS) - 1), 0, "it begins again instead of changing the variant");
    }
}
