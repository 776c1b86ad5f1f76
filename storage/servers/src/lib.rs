//! Starts real database servers for tests.
//!
//! A [`PostgresServer`] is a server of its own: a test may kill it, restart it and change its settings. A test that
//! only needs some database asks for a [`TestPostgres`], which may be shared with other tests. [`MongoServer`] and
//! [`TestMongo`] are the same for MongoDB.
//!
//! Servers listen on 127.0.0.1 only, keep their data in temporary folders, and end when they are dropped. They also end
//! when the process that has started them is killed.
//!
//! This crate is for tests and for development tasks. It depends on no other crate of Argus.

#![forbid(unsafe_code)]

mod account;
mod error;
mod mongodb;
mod npm;
mod port;
mod postgres;
mod process;
mod proxy;
mod psql;
mod secantusdb;
mod shared;
mod test_mongo;
mod version;
mod wire;

pub use error::{Absent, ServerError};
pub use mongodb::{MongoServer, SECANTUSD_VARIABLE};
pub use postgres::{Durability, PostgresServer};
pub use proxy::{Direction, Proxy};
pub use psql::sql;
pub use secantusdb::{SECANTUSD_CRATE, secantusd_root};
pub use shared::{REQUIRED_VARIABLE, Schema, TestPostgres, URL_VARIABLE};
pub use test_mongo::{MONGO_URL_VARIABLE, MongoDatabase, TestMongo};
pub use version::PostgresVersion;
pub use wire::MongoConnection;

/// The features of our programs that bring their repositories in databases, as cargo names them:
/// `argus-tokio/postgres`. All tasks that build the programs for tests build them with these.
pub const PROGRAM_FEATURES: &[&str] =
    &["argus-tokio/postgres", "argus-smol/postgres", "argus-tokio/mongodb", "argus-smol/mongodb"];
