//! The MongoDB backend: events in a database that several processes may share.

#[cfg(not(feature = "mongodb"))]
mod disabled;
#[cfg(feature = "mongodb")]
mod enabled;

#[cfg(not(feature = "mongodb"))]
pub(crate) use disabled::{PAYLOAD_BYTES_MAX, check, open, open_source};
#[cfg(feature = "mongodb")]
pub(crate) use enabled::{PAYLOAD_BYTES_MAX, check, open, open_source};
