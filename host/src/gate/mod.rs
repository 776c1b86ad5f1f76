//! Keys, rate limits and trusted proxies: what the core's checks need, behind locks.

mod held_key;
mod key_file;
mod loaded_keys;
mod visitor;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::api::{self, Meters, Proxies};
use argus_core::clock::Moment;
use argus_core::limit::{ADDRESSES_MAX, AddressTable, ClientNetwork, Meter, Verdict};

use crate::settings::AccessOptions;

pub(crate) use held_key::HeldKey;
pub(crate) use key_file::{KeyFile, KeyFileProblem, KeyText};
pub(crate) use loaded_keys::LoadedKeys;
pub(crate) use visitor::Visitor;

/// What the checks of all requests share. A server without keys, limits and trusted proxies has none.
#[derive(Debug)]
pub struct Gate {
    proxies: Proxies,
    /// Locked for less than a microsecond at a time.
    addresses: Option<Mutex<AddressTable>>,
    keys: Option<Arc<KeyFile>>,
}

/// What the checks of one request need: the same keys from its head to its answer.
#[derive(Clone)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    keys: Option<Arc<LoadedKeys>>,
}

impl Gate {
    /// The gate of these settings; `None` if everything is open. `seed` is unpredictable.
    pub(crate) fn new(options: &AccessOptions, keys: Option<Arc<KeyFile>>, seed: u128) -> Option<Arc<Self>> {
        let quotas = options.quotas();
        let addresses = (!quotas.is_empty()).then(|| AddressTable::new(quotas, ADDRESSES_MAX, seed).into());
        let proxies = options.proxies();
        if addresses.is_none() && keys.is_none() && options.trust_proxy.is_empty() {
            return None;
        }
        Some(Arc::new(Self { proxies, addresses, keys }))
    }

    /// What a request needs now.
    pub(crate) fn pass(self: &Arc<Self>) -> Pass {
        Pass { gate: Arc::clone(self), keys: self.keys.as_ref().map(|file| file.current()) }
    }
}

impl Pass {
    /// What the core needs.
    pub(crate) fn gate(&self, now: Moment) -> api::Gate<'_> {
        let keys = self.keys.as_ref().map(|loaded| loaded.keys());
        api::Gate { now, proxies: &self.gate.proxies, meters: self, keys }
    }

    /// The keys, if there are any.
    pub(crate) fn keys(&self) -> Option<&LoadedKeys> {
        self.keys.as_deref()
    }

    /// The key at this index, for an answer that lasts.
    fn hold(&self, key: usize) -> Option<HeldKey> {
        let (file, keys) = (self.gate.keys.as_ref()?, self.keys.as_ref()?);
        let key = keys.keys().as_slice().get(key)?.clone();
        Some(HeldKey::new(key, Arc::clone(file), Arc::clone(keys)))
    }

    fn key_meter(&self, key: usize) -> Option<(argus_core::limit::Quotas, MutexGuard<'_, Meter>)> {
        let keys = self.keys.as_ref()?;
        let quotas = keys.keys().as_slice().get(key)?.quotas;
        let meter = if quotas.is_empty() { None } else { keys.meter(key) };
        meter.map(|meter| (quotas, locked(meter)))
    }
}

impl Meters for Pass {
    fn admit_client(&self, client: ClientNetwork, has_body: bool, now: Duration) -> Option<Verdict> {
        self.gate.addresses.as_ref().map(|addresses| locked(addresses).admit(client, has_body, now))
    }

    fn charge_client(&self, client: ClientNetwork, bytes: u64, now: Duration) {
        if let Some(addresses) = &self.gate.addresses {
            locked(addresses).charge(client, bytes, now);
        }
    }

    fn admit_key(&self, key: usize, has_body: bool, now: Duration) -> Option<Verdict> {
        self.key_meter(key).map(|(quotas, mut meter)| meter.admit(&quotas, has_body, now))
    }

    fn charge_key(&self, key: usize, bytes: u64, now: Duration) {
        if let Some((quotas, mut meter)) = self.key_meter(key) {
            meter.charge(&quotas, bytes, now);
        }
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("has_keys", &self.keys.is_some()).finish_non_exhaustive()
    }
}

/// A panic leaves a meter intact, so a poisoned lock is safe to use.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
