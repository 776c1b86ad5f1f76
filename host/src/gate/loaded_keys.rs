//! The keys in force, with their meters and counters.

use std::sync::{Arc, Mutex};

use argus_core::auth::Keys;
use argus_core::limit::Meter;

use super::locked;
use crate::metrics::{KeyCounters, Metrics};

/// The keys of one version of the file.
#[derive(Debug)]
pub(crate) struct LoadedKeys {
    keys: Keys,
    /// In the order of the keys, as the counters are.
    meters: Box<[Mutex<Meter>]>,
    counters: Box<[KeyCounters]>,
}

impl LoadedKeys {
    /// Keys that nobody has used.
    pub(crate) fn new(keys: Keys, metrics: &Metrics) -> Arc<Self> {
        let counters = keys.as_slice().iter().map(|key| metrics.keys().of(key.name.as_str())).collect();
        let meters = keys.as_slice().iter().map(|_| Mutex::default()).collect();
        Arc::new(Self { keys, meters, counters })
    }

    /// Keys in place of these. A key of the same name and limits goes on with what it has used.
    pub(super) fn replaced_by(&self, keys: Keys, metrics: &Metrics) -> Arc<Self> {
        let next = Self::new(keys, metrics);
        for (index, old) in self.keys.as_slice().iter().enumerate() {
            match next.keys.position(&old.name) {
                None => metrics.keys().forget(old.name.as_str()),
                Some(at) => {
                    let is_same = next.keys.as_slice().get(at).is_some_and(|new| new.quotas == old.quotas);
                    if let (true, Some(from), Some(to)) = (is_same, self.meter(index), next.meter(at)) {
                        let used = *locked(from);
                        *locked(to) = used;
                    }
                }
            }
        }
        next
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The meter of the key at this index.
    pub(super) fn meter(&self, key: usize) -> Option<&Mutex<Meter>> {
        self.meters.get(key)
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
