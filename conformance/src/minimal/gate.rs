//! Keys, rate limits and trusted proxies.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::api::{self, Caller, Draft, Meters, ProblemKind, Proxies, Reply};
use argus_core::auth::{Key, Keys};
use argus_core::clock::Moment;
use argus_core::limit::{ADDRESSES_MAX, AddressTable, ClientNetwork, Meter, Quotas, Verdict};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;

use crate::clock::moment;
use crate::ending::Ending;
use crate::settings::Settings;
use crate::watch;

/// How often the file of keys is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What the checks of all requests share.
#[derive(Debug)]
pub(crate) struct Gate {
    proxies: Proxies,
    addresses: Option<Mutex<AddressTable>>,
    keys: Option<Mutex<Arc<Loaded>>>,
    file: Option<PathBuf>,
    /// Whether the file has an error.
    is_file_wrong: Mutex<bool>,
    counters: Mutex<BTreeMap<String, KeyCounters>>,
}

/// The keys of one version of the file, and their meters.
#[derive(Debug)]
struct Loaded {
    text: String,
    keys: Keys,
    meters: Vec<Mutex<Meter>>,
}

/// What was done with a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyCounters {
    pub(crate) requests: u64,
    pub(crate) forbidden: u64,
    pub(crate) limited: u64,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// The caller of a request, and the keys that its head was checked against.
#[derive(Debug)]
pub(crate) struct Visitor<'s> {
    gate: &'s Gate,
    keys: Option<Arc<Loaded>>,
    pub(crate) caller: Caller,
}

impl Loaded {
    fn parse(text: String) -> Result<Arc<Self>, String> {
        let keys = Keys::parse(&text).map_err(|error| error.to_string())?;
        let meters = keys.as_slice().iter().map(|_| Mutex::default()).collect();
        Ok(Arc::new(Self { text, keys, meters }))
    }
}

impl Gate {
    /// Reads the file of keys.
    pub(crate) fn open(settings: &Settings, seed: u128) -> Result<Self, String> {
        let keys = settings.keys.as_ref().map(|path| {
            let named = |error: String| format!("--keys {}: {error}", path.display());
            fs::read_to_string(path).map_err(|error| error.to_string()).and_then(Loaded::parse).map_err(named)
        });
        let quotas = settings.quotas;
        let addresses = (quotas != Quotas::default()).then(|| AddressTable::new(quotas, ADDRESSES_MAX, seed).into());
        Ok(Self {
            proxies: settings.proxies.clone().into(),
            addresses,
            keys: keys.transpose()?.map(Mutex::new),
            file: settings.keys.clone(),
            is_file_wrong: Mutex::new(false),
            counters: Mutex::default(),
        })
    }

    /// Reads the file again when it changes or a signal asks for it.
    pub(crate) fn watch(self: &Arc<Self>, ending: &Arc<Ending>) -> io::Result<()> {
        let (Some(path), Some(keys)) = (self.file.clone(), &self.keys) else { return Ok(()) };
        let mut tried = locked(keys).text.clone();
        let mut signals = Signals::new([SIGHUP])?;
        let (gate, failing) = (Arc::clone(self), Arc::clone(ending));
        let look = move || {
            let mut last = tried.clone();
            loop {
                std::thread::park_timeout(LOOK_INTERVAL);
                let found = fs::read_to_string(&path).unwrap_or_default();
                let is_asked = signals.pending().count() > 0;
                // A file that is being written is not read before it stays the same.
                if is_asked || (found == last && found != tried) {
                    tried.clone_from(&found);
                    gate.load(found.clone());
                }
                last = found;
            }
        };
        watch::spawn("keys", look, || false, move |reason| failing.fail(reason)).map(drop)
    }

    fn load(&self, text: String) {
        let loaded = Loaded::parse(text);
        *locked(&self.is_file_wrong) = loaded.is_err();
        if let (Ok(loaded), Some(keys)) = (loaded, &self.keys) {
            *locked(keys) = loaded;
        }
    }

    /// The warning for readiness.
    pub(crate) fn warning(&self) -> Option<String> {
        locked(&self.is_file_wrong).then(|| "the file of keys has an error; those of before are used".to_owned())
    }

    pub(crate) fn visitor(&self) -> Visitor<'_> {
        let keys = self.keys.as_ref().map(|keys| Arc::clone(&locked(keys)));
        Visitor { gate: self, keys, caller: Caller::default() }
    }

    /// Whether a key is still in force, unchanged.
    pub(crate) fn still_has(&self, key: &Key) -> bool {
        let Some(keys) = &self.keys else { return false };
        let loaded = Arc::clone(&locked(keys));
        loaded.keys.still_has(key, moment().wall)
    }

    /// The counters of the keys in force.
    pub(crate) fn counters(&self) -> BTreeMap<String, KeyCounters> {
        let Some(keys) = &self.keys else { return BTreeMap::new() };
        let (loaded, counters) = (Arc::clone(&locked(keys)), locked(&self.counters));
        let names = loaded.keys.as_slice().iter().map(|key| key.name.as_str().to_owned());
        names.map(|name| (name.clone(), counters.get(&name).copied().unwrap_or_default())).collect()
    }
}

impl Visitor<'_> {
    /// What the core needs.
    pub(crate) fn gate(&self, now: Moment) -> api::Gate<'_> {
        let keys = self.keys.as_ref().map(|loaded| &loaded.keys);
        api::Gate { now, proxies: &self.gate.proxies, meters: self, keys }
    }

    /// The key of the request.
    pub(crate) fn key(&self) -> Option<&Key> {
        self.keys.as_ref()?.keys.as_slice().get(self.caller.key?)
    }

    /// Counts what has arrived of a body.
    pub(crate) fn body_arrived(&mut self, bytes: u64) {
        self.count(|counters| counters.bytes += bytes);
        let mut caller = self.caller.clone();
        caller.charge(self, moment().uptime, bytes);
        self.caller = caller;
    }

    pub(crate) fn committed(&self, events: u32) {
        self.count(|counters| counters.events += u64::from(events));
    }

    /// Finishes an answer, and counts it.
    pub(crate) fn finish(&self, draft: Draft) -> Reply {
        let reply = self.caller.finish(draft);
        self.count(|counters| {
            counters.requests += 1;
            counters.forbidden += u64::from(reply.problem == Some(ProblemKind::Forbidden));
            counters.limited += u64::from(reply.problem == Some(ProblemKind::TooManyRequests));
        });
        reply
    }

    /// The name of the key.
    pub(crate) fn key_name(&self) -> Option<&str> {
        Some(self.keys.as_ref()?.keys.as_slice().get(self.caller.key?)?.name.as_str())
    }

    fn count(&self, count: impl FnOnce(&mut KeyCounters)) {
        if let Some(key) = self.key() {
            count(locked(&self.gate.counters).entry(key.name.as_str().to_owned()).or_default());
        }
    }

    fn with_key<T>(&self, key: usize, act: impl FnOnce(&Quotas, &mut Meter) -> T) -> Option<T> {
        let loaded = self.keys.as_ref()?;
        let quotas = loaded.keys.as_slice().get(key).map(|key| key.quotas).filter(|quotas| !quotas.is_empty())?;
        Some(act(&quotas, &mut locked(loaded.meters.get(key)?)))
    }
}

impl Meters for Visitor<'_> {
    fn admit_client(&self, client: ClientNetwork, has_body: bool, now: Duration) -> Option<Verdict> {
        Some(locked(self.gate.addresses.as_ref()?).admit(client, has_body, now))
    }

    fn charge_client(&self, client: ClientNetwork, bytes: u64, now: Duration) {
        if let Some(addresses) = &self.gate.addresses {
            locked(addresses).charge(client, bytes, now);
        }
    }

    fn admit_key(&self, key: usize, has_body: bool, now: Duration) -> Option<Verdict> {
        self.with_key(key, |quotas, meter| meter.admit(quotas, has_body, now))
    }

    fn charge_key(&self, key: usize, bytes: u64, now: Duration) {
        self.with_key(key, |quotas, meter| meter.charge(quotas, bytes, now));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
