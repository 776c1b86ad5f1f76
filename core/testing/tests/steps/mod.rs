//! What the property tests of the engine have in common.

use argus_core::engine::{Engine, Seed};
use argus_core::storage::MemoryStorage;
use argus_testing::{SMALL, Source, Step};
use proptest::collection::vec;
use proptest::prelude::*;

/// So many cases, or as many as the environment's `PROPTEST_CASES` asks for.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), failure_persistence: None, ..ProptestConfig::default() }
}

/// Bytes for a [`Source`]. Shrinking them simplifies what is drawn.
pub(crate) fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=most)
}

/// Up to so many steps.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(bytes(160).prop_map(|bytes| Step::draw(&mut Source::bytes(&bytes))), 0..=most)
}

/// An engine over an empty medium.
pub(crate) fn open(seed: u128) -> Engine<MemoryStorage> {
    Engine::open_with(MemoryStorage::default(), Seed(seed), SMALL).unwrap()
}

/// Closes an engine and opens what it has stored. The seed is another one, since it must not matter any more.
pub(crate) fn reopen(engine: &mut Engine<MemoryStorage>) {
    *engine = Engine::open_with(engine.storage().clone(), Seed(0xbad), SMALL).unwrap();
}
