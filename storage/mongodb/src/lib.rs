//! The repository of Argus Events in MongoDB: [`MongoRepository`].
//!
//! Several processes may share one database. A commit is one transaction, which changes the document `head` first. So
//! sequence numbers have no gaps and follow the order of commits, and the events up to any number that a reader has
//! seen are complete: that is a snapshot. Transactions need a replica set, of one server at least.
//!
//! Commits wait for the journals of the majority of the servers (`w: majority`, `j: true`).
//!
//! Payloads are stored as text, byte for byte. Beside it stand their values as BSON, for queries that people write, and
//! hashes of these, by which an index finds the events that a condition of equality may hold for.
//!
//! A commit whose outcome is unknown, because the connection broke, is repeated. The ids of its events tell whether it
//! was successful: those of callers are unique, and those that Argus generates are known before the commit is sent.

#![forbid(unsafe_code)]

mod address;
mod candidates;
mod collections;
mod commit;
mod counter;
mod document;
mod erase;
mod expiry;
mod fault;
mod fingerprint;
mod gaps;
mod head;
mod import;
mod pause;
mod pieces;
mod plan;
mod removal;
mod repository;
mod row;
mod schema;
mod session;
mod size;
mod snapshot;
mod source;
mod staging;
mod standoff;
mod store;
mod types;
mod values;
mod walk;

pub use address::{Address, AddressError};
pub use argus_database::{OpenError, Retention};
pub use repository::{MongoOptions, MongoRepository, TRANSACTION_EVENTS};
pub use row::PAYLOAD_BYTES_MAX;
