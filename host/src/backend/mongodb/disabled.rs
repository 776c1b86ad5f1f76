//! Stands in for MongoDB in programs that are built without it.

use std::sync::Arc;

use argus_core::repository::{Repository, Snapshot};

use super::super::database_options::DatabaseOptions;
use super::super::engine_options::EngineOptions;
use super::super::error::OpenError;
use super::super::location::DatabaseUrl;
use super::super::{Durability, built_without};

/// No payload can be stored.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 0;

/// Why a URL cannot be used.
///
/// # Errors
///
/// Always.
pub(crate) fn check(_: &DatabaseUrl) -> Result<(), String> {
    Err(built_without("MongoDB", "mongodb"))
}

/// Opens nothing.
///
/// # Errors
///
/// Always.
pub(crate) fn open_source(url: &DatabaseUrl, _: &DatabaseOptions) -> Result<Arc<dyn Snapshot>, OpenError> {
    Err(OpenError::Database { url: url.clone(), reason: built_without("MongoDB", "mongodb") })
}

/// Opens nothing.
///
/// # Errors
///
/// Always.
pub(crate) fn open(
    url: &DatabaseUrl,
    _: &DatabaseOptions,
    _: &EngineOptions,
    _: Durability,
) -> Result<Box<dyn Repository>, OpenError> {
    Err(OpenError::Database { url: url.clone(), reason: built_without("MongoDB", "mongodb") })
}
