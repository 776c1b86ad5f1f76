//! The keys in force, with their meters and counters.

use std::sync::{Arc, Mutex};

use argus_core::auth::{Key, Keys};
use argus_core::limit::Meter;

use crate::metrics::{KeyCounters, Metrics};

/// The keys of one version of the file.
#[derive(Debug)]
pub(crate) struct LoadedKeys {
    keys: Keys,
    /// In the order of the keys, as the counters are. Shared with other versions of the file, since requests of before
    /// may still be charged.
    meters: Box<[Arc<Mutex<Meter>>]>,
    counters: Box<[KeyCounters]>,
}

impl LoadedKeys {
    /// Keys that nobody has used.
    pub(crate) fn new(keys: Keys, metrics: &Metrics) -> Arc<Self> {
        Self::with_meters(keys, |_| None, metrics)
    }

    /// Keys in place of these. A key of the same name and limits goes on with what it has used, and with what requests
    /// under way have yet to be charged.
    pub(super) fn replaced_by(&self, keys: Keys, metrics: &Metrics) -> Arc<Self> {
        for old in self.keys.as_slice().iter().filter(|old| keys.position(&old.name).is_none()) {
            metrics.keys().forget(old.name.as_str());
        }
        Self::with_meters(keys, |key| self.meter_for(key), metrics)
    }

    /// Keys with these meters, and new ones for all others.
    fn with_meters(keys: Keys, meter_for: impl Fn(&Key) -> Option<Arc<Mutex<Meter>>>, metrics: &Metrics) -> Arc<Self> {
        let counters = keys.as_slice().iter().map(|key| metrics.keys().of(key.name.as_str())).collect();
        let meters = keys.as_slice().iter().map(|key| meter_for(key).unwrap_or_default()).collect();
        Arc::new(Self { keys, meters, counters })
    }

    /// The meter of the key with the same name, if it has the same limits.
    fn meter_for(&self, key: &Key) -> Option<Arc<Mutex<Meter>>> {
        let at = self.keys.position(&key.name)?;
        let is_same = self.keys.as_slice().get(at).is_some_and(|old| old.quotas == key.quotas);
        self.meters.get(at).filter(|_| is_same).cloned()
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The meter of the key at this index.
    pub(super) fn meter(&self, key: usize) -> Option<&Mutex<Meter>> {
        self.meters.get(key).map(|meter| &**meter)
    }

    /// The counters of the key at this index.
    pub(super) fn counters(&self, key: usize) -> Option<&KeyCounters> {
        self.counters.get(key)
    }

    /// The name of the key at this index.
    pub(super) fn name(&self, key: usize) -> Option<&str> {
        self.keys.as_slice().get(key).map(|key| key.name.as_str())
    }
}
