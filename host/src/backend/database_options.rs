//! Options of repositories in a database.

#[cfg(any(feature = "postgres", feature = "mongodb"))]
use std::num::NonZeroUsize;
#[cfg(any(feature = "postgres", feature = "mongodb"))]
use std::time::Duration;

use clap::Args;

#[cfg(any(feature = "postgres", feature = "mongodb"))]
use crate::units::{parse_count, parse_duration};

/// Options of repositories in a database.
#[cfg(any(feature = "postgres", feature = "mongodb"))]
#[derive(Args, Clone, Debug)]
pub struct DatabaseOptions {
    /// Most connections to the database for reading; there is one more for writing. A read has one for the time of one
    /// statement
    #[arg(
        long,
        env = "ARGUS_DATABASE_CONNECTIONS",
        value_name = "COUNT",
        default_value = "8",
        help_heading = "Service"
    )]
    #[arg(value_parser = parse_count)]
    pub database_connections: NonZeroUsize,

    /// Time to wait for the database to answer one statement; then the connection is given up, and the request gets
    /// 503. Also the time to find out whether a commit was successful when the connection broke in the middle of it
    #[arg(
        long,
        env = "ARGUS_DATABASE_TIMEOUT",
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Timeouts"
    )]
    #[arg(value_parser = parse_duration)]
    pub database_timeout: Duration,
}

/// Options of repositories in a database, of which a program without any has none.
#[cfg(not(any(feature = "postgres", feature = "mongodb")))]
#[derive(Args, Clone, Debug)]
pub struct DatabaseOptions {}

/// The bytes of a page of events that a connection reads, at most.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

impl DatabaseOptions {
    /// The most memory that reading takes, in bytes.
    pub(super) fn memory(&self) -> usize {
        #[cfg(any(feature = "postgres", feature = "mongodb"))]
        let connections = self.database_connections.get();
        #[cfg(not(any(feature = "postgres", feature = "mongodb")))]
        let connections = 0_usize;
        connections.saturating_mul(PAGE_BYTES)
    }
}
