//! Events in this process, and gone with it: the engine over memory.

use argus_core::engine::{Engine, Seed};
use argus_core::repository::Repository;
use argus_core::storage::MemoryStorage;

use super::engine_options::EngineOptions;
use super::error::OpenError;

/// An empty repository.
///
/// # Errors
///
/// [`OpenError`], as for any medium.
pub(super) fn open(seed: Seed, options: &EngineOptions) -> Result<Box<dyn Repository>, OpenError> {
    let engine = Engine::open_with(MemoryStorage::default(), seed, options.tuning())?;
    Ok(Box::new(options.apply(engine)))
}
