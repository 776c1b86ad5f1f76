//! The PostgreSQL backend: events in a database that several processes may share.

#[cfg(not(feature = "postgres"))]
mod disabled;
#[cfg(feature = "postgres")]
mod enabled;

#[cfg(not(feature = "postgres"))]
pub(crate) use disabled::{check, open, schema};
#[cfg(feature = "postgres")]
pub(crate) use enabled::{check, open, schema};
