//! The memory backend: the engine over memory. Events are lost when the process ends.

use argus_core::engine::{Engine, Seed};
use argus_core::repository::Repository;
use argus_core::storage::MemoryStorage;

use super::engine_options::EngineOptions;
use super::error::OpenError;

/// Opens an empty repository.
///
/// # Errors
///
/// [`OpenError`], as for any storage.
pub(super) fn open(seed: Seed, options: &EngineOptions) -> Result<Box<dyn Repository>, OpenError> {
    let engine = Engine::open_with(MemoryStorage::default(), seed, options.tuning())?;
    Ok(Box::new(options.apply(engine)))
}
