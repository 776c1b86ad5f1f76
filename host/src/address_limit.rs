//! How many connections each client address has.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argus_core::api::Proxies;
use argus_core::limit::ClientNetwork;

/// Counts the open connections of each client address, and limits them. It has an entry for each address with an open
/// connection, so the limit on all connections limits its size, too.
#[derive(Debug)]
pub(crate) struct AddressLimit {
    most: Option<NonZeroUsize>,
    /// Their connections are those of many clients, and not counted.
    proxies: Proxies,
    // std's hash is seeded, so chosen addresses cannot degrade it.
    open: Mutex<HashMap<ClientNetwork, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct AddressPlace {
    limit: Arc<AddressLimit>,
    client: ClientNetwork,
}

impl AddressLimit {
    /// Allows each address this many connections, but for trusted proxies; any number if `None`, and then counts
    /// nothing.
    pub(crate) fn new(most: Option<NonZeroUsize>, proxies: Proxies) -> Arc<Self> {
        Arc::new(Self { most, proxies, open: Mutex::default() })
    }

    /// Counts a connection.
    ///
    /// # Errors
    ///
    /// The address has as many as it may have.
    pub(crate) fn take(self: &Arc<Self>, peer: SocketAddr) -> Result<Option<AddressPlace>, AddressFull> {
        let Some(most) = self.most else { return Ok(None) };
        if self.proxies.trust(peer.ip().to_canonical()) {
            return Ok(None);
        }
        let client = ClientNetwork::from(peer.ip());
        let mut open = self.lock();
        let count = open.entry(client).or_insert(0);
        if *count >= most.get() {
            return Err(AddressFull);
        }
        *count += 1;
        drop(open);
        Ok(Some(AddressPlace { limit: Arc::clone(self), client }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientNetwork, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address has as many connections as it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressFull;

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.limit.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn limit(most: usize) -> Arc<AddressLimit> {
        AddressLimit::new(NonZeroUsize::new(most), Proxies::default())
    }

    fn take(limit: &Arc<AddressLimit>, peer: &str) -> Result<Option<AddressPlace>, AddressFull> {
        limit.take(peer.parse().unwrap())
    }

    #[test]
    fn each_address_has_its_own_places_and_gets_them_back() {
        let limit = limit(2);
        let places = [take(&limit, "10.0.0.1:1").unwrap(), take(&limit, "[::ffff:10.0.0.1]:2").unwrap()];
        assert!(take(&limit, "10.0.0.1:3").is_err(), "an IPv4 address may be written as one of IPv6");
        let other = take(&limit, "10.0.0.2:1").unwrap();
        drop(places);
        let place = take(&limit, "10.0.0.1:3").unwrap();
        drop((other, place));
        assert!(limit.lock().is_empty(), "no entry without a connection");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let limit = limit(1);
        let _place = take(&limit, "[2001:db8:1:2::1]:1").unwrap();
        assert!(take(&limit, "[2001:db8:1:2:ffff:ffff:ffff:ffff]:1").is_err());
        assert!(take(&limit, "[2001:db8:1:3::1]:1").is_ok());
    }

    #[test]
    fn the_connections_of_a_trusted_proxy_are_not_counted() {
        let proxies = Proxies::from(vec!["10.0.0.0/8".parse().unwrap()]);
        let limit = AddressLimit::new(NonZeroUsize::new(1), proxies);
        let _places = ["10.0.0.1:1", "10.0.0.1:2", "[::ffff:10.0.0.1]:3"].map(|peer| take(&limit, peer).unwrap());
        let _place = take(&limit, "192.0.2.1:1").unwrap();
        assert!(take(&limit, "192.0.2.1:2").is_err());
        assert_eq!(limit.lock().len(), 1);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let limit = limit(0);
        assert!(matches!(take(&limit, "10.0.0.1:1"), Ok(None)));
        assert!(limit.lock().is_empty());
    }
}
