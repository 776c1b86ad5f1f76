//! Shared by the property tests of the engine.

use argus_core::engine::{Engine, Seed};
use argus_core::storage::MemoryStorage;
use argus_testing::{Random, SMALL, Step};
use proptest::collection::vec;
use proptest::prelude::*;

/// This number of cases, or the environment's `PROPTEST_CASES`.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

/// Bytes for a [`Random`]. Shrinking them simplifies what is generated.
pub(crate) fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// At most this number of steps.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(bytes(160).prop_map(|bytes| Step::draw(&mut Random::bytes(&bytes))), 0..=most)
}

/// An engine on an empty medium.
pub(crate) fn open(seed: u128) -> Engine<MemoryStorage> {
    Engine::open_with(MemoryStorage::default(), Seed(seed), SMALL).unwrap()
}

/// Reopens an engine's storage, with another seed, which must not matter any more.
pub(crate) fn reopen(engine: &mut Engine<MemoryStorage>) {
    *engine = Engine::open_with(engine.storage().clone(), Seed(0xbad), SMALL).unwrap();
}
