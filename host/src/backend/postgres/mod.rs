//! The PostgreSQL backend: events in a database that several processes may share.

#[cfg(not(feature = "postgres"))]
mod disabled;
#[cfg(feature = "postgres")]
mod enabled;

#[cfg(not(feature = "postgres"))]
pub(crate) use disabled::{check, open, open_source, schema};
#[cfg(feature = "postgres")]
pub(crate) use enabled::{check, open, open_source, schema};
