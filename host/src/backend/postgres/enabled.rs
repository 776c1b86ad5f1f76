//! Opens a repository in PostgreSQL.

use std::sync::Arc;

use argus_core::repository::{Repository, Snapshot};
use argus_postgres::{Address, PostgresOptions, PostgresRepository, Retention, SchemaName};

use super::super::Durability;
use super::super::database_options::DatabaseOptions;
use super::super::engine_options::EngineOptions;
use super::super::error::OpenError;
use super::super::location::DatabaseUrl;

/// Checks a URL, without connecting.
///
/// # Errors
///
/// What is wrong with it. The message quotes nothing of it.
pub(crate) fn check(url: &DatabaseUrl) -> Result<(), String> {
    url.expose().parse::<Address>().map(drop).map_err(|error| error.to_string())
}

/// Takes a snapshot of the repository, and changes nothing in the database.
///
/// # Errors
///
/// [`OpenError::Database`], also if there is no repository.
pub(crate) fn open_source(url: &DatabaseUrl, database: &DatabaseOptions) -> Result<Arc<dyn Snapshot>, OpenError> {
    let failed = |reason: String| OpenError::Database { url: url.clone(), reason };
    let address: Address =
        url.expose().parse().map_err(|error: argus_postgres::AddressError| failed(error.to_string()))?;
    let options = PostgresOptions {
        connections: database.database_connections.get(),
        patience: database.database_timeout,
        is_synchronous: true,
        types_max: usize::MAX,
        retention: Retention::default(),
    };
    let reader = PostgresRepository::read_only(address, &options).map_err(|error| failed(error.to_string()))?;
    reader.take().map_err(|error| failed(error.to_string()))
}

/// Opens the repository. If the server cannot be reached at present, the repository is unavailable until it can.
///
/// # Errors
///
/// [`OpenError::Database`].
pub(crate) fn open(
    url: &DatabaseUrl,
    database: &DatabaseOptions,
    engine: &EngineOptions,
    durability: Durability,
) -> Result<Box<dyn Repository>, OpenError> {
    let failed = |reason: String| OpenError::Database { url: url.clone(), reason };
    let address: Address =
        url.expose().parse().map_err(|error: argus_postgres::AddressError| failed(error.to_string()))?;
    let retention = engine.retention();
    let options = PostgresOptions {
        connections: database.database_connections.get(),
        patience: database.database_timeout,
        is_synchronous: durability == Durability::Sync,
        types_max: engine.max_event_types.get(),
        retention: Retention { age: retention.age, bytes: retention.bytes },
    };
    let repository = PostgresRepository::open(address, options).map_err(|error| failed(error.to_string()))?;
    tracing::info!(%url, "events are kept in PostgreSQL");
    Ok(Box::new(repository))
}

/// The statements that make the tables in this schema.
///
/// # Errors
///
/// It is no name of a schema.
pub(crate) fn schema(name: &str) -> Result<String, String> {
    name.parse().map(|name: SchemaName| name.statements()).map_err(|error| error.to_string())
}
