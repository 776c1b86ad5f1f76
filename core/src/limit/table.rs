//! The meters of all client addresses, in bounded memory.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::hash::{Hash as _, Hasher as _};
use core::time::Duration;

use siphasher::sip::SipHasher13;

use super::{ClientNetwork, Meter, Quotas, Verdict};

/// For how many addresses a server has room, in sets of eight, if it is not told otherwise. Their table takes 3 MiB.
pub const ADDRESSES_MAX: usize = 65_536;

/// How many addresses share a set. More would make each request slower, fewer would fill a set before the others.
const WAYS: usize = 8;

/// The meters of clients by address.
///
/// The table is set-associative: an address has its place in one of eight slots, which a seeded hash chooses. A new
/// address takes the slot of the client that has used least of its quotas, which is the one that loses least when it
/// is forgotten. To be forgotten is to start with full quotas, so it never does harm; and a client in debt stays
/// while others come and go.
pub struct AddressTable {
    quotas: Quotas,
    seed: (u64, u64),
    sets: Box<[[Slot; WAYS]]>,
}

/// The meter of an address.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    client: Option<ClientNetwork>,
    meter: Meter,
}

impl AddressTable {
    /// An empty table with at least `addresses_max` slots, which always take the same amount of memory. A set may be
    /// full long before others are: with [`ADDRESSES_MAX`] slots, the first address is usually forgotten at about
    /// 14,000, and of as many addresses as there are slots, about one in seven. The seed must be unpredictable, so that
    /// no caller can choose addresses that share a set.
    #[must_use]
    pub fn new(quotas: Quotas, addresses_max: usize, seed: u128) -> Self {
        let sets = addresses_max.div_ceil(WAYS).max(1);
        Self {
            quotas,
            seed: ((seed >> 64) as u64, seed as u64),
            sets: vec![[Slot::default(); WAYS]; sets].into_boxed_slice(),
        }
    }

    /// Admits or refuses a request of this client, as [`Meter::admit`].
    pub fn admit(&mut self, client: ClientNetwork, has_body: bool, now: Duration) -> Verdict {
        let quotas = self.quotas;
        self.meter(client, now).admit(&quotas, has_body, now)
    }

    /// Counts bytes of this client, as [`Meter::charge`].
    pub fn charge(&mut self, client: ClientNetwork, bytes: u64, now: Duration) {
        let quotas = self.quotas;
        self.meter(client, now).charge(&quotas, bytes, now);
    }

    /// The meter of a client. If it is a new one, another may be forgotten.
    fn meter(&mut self, client: ClientNetwork, now: Duration) -> &mut Meter {
        let mut hasher = SipHasher13::new_with_keys(self.seed.0, self.seed.1);
        client.hash(&mut hasher);
        let (hash, sets) = (hasher.finish(), self.sets.len() as u64);
        let index = usize::try_from(hash % sets).expect("it is less than the length of a slice");
        let set = self.sets.get_mut(index).expect("it is less than the number of sets, and there is one");
        let found = set.iter().position(|slot| slot.client == Some(client));
        let place = found.unwrap_or_else(|| {
            let rest = |slot: &Slot| match slot.client {
                Some(_) => Some(slot.meter.full_in(&self.quotas, now)),
                // A slot that was never used is taken first.
                None => None,
            };
            let least = set.iter().enumerate().min_by_key(|(_, slot)| rest(slot));
            least.map_or(0, |(place, _)| place)
        });
        let slot = set.get_mut(place).expect("a set has eight slots, and this is the position of one");
        if found.is_none() {
            *slot = Slot { client: Some(client), meter: Meter::default() };
        }
        &mut slot.meter
    }
}

impl fmt::Debug for AddressTable {
    /// Without the slots, which are many, and without the seed, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressTable")
            .field("quotas", &self.quotas)
            .field("sets", &self.sets.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::limit::{Quota, Rate};

    fn client(number: u64) -> ClientNetwork {
        ClientNetwork::V6(number)
    }

    fn table(addresses_max: usize) -> AddressTable {
        let requests = Some(Quota::new(Rate::parse_requests("10/m").unwrap(), None));
        AddressTable::new(Quotas { requests, bytes: None }, addresses_max, 7)
    }

    #[test]
    fn addresses_do_not_share_a_quota() {
        let mut table = table(64);
        for number in 0..4 {
            for _ in 0..10 {
                assert_eq!(table.admit(client(number), false, Duration::ZERO).refused, None);
            }
            assert!(table.admit(client(number), false, Duration::ZERO).refused.is_some());
        }
    }

    #[test]
    fn the_client_that_has_used_least_is_forgotten() {
        let mut table = table(8);
        // In the only set, client n has used n + 1 requests.
        for number in 0..8 {
            for _ in 0..=number {
                assert_eq!(table.admit(client(number), false, Duration::ZERO).refused, None);
            }
        }
        let left = |table: &mut AddressTable, number| {
            table.admit(client(number), false, Duration::ZERO).requests.unwrap().left()
        };
        assert_eq!(left(&mut table, 100), 9, "a new client, in the place of client 0");
        assert_eq!(left(&mut table, 7), 1);
        assert_eq!(left(&mut table, 1), 7);
        // Client 0 is forgiven, and takes the place of the new client, which has used as little as nobody else.
        assert_eq!(left(&mut table, 0), 9);
        assert_eq!(left(&mut table, 7), 0);
        for stranger in 1000..2000 {
            let _left = left(&mut table, stranger);
        }
        assert!(table.admit(client(7), false, Duration::ZERO).refused.is_some(), "one in debt is not forgotten");
    }
}
