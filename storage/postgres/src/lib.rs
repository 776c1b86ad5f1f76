//! The repository of Argus Events in PostgreSQL: [`PostgresRepository`].
//!
//! Several processes may share one database. A commit is one transaction, which locks the row of the table `head`. So
//! sequence numbers have no gaps and follow the order of commits, and the events up to any number that a reader has
//! seen are complete: that is a snapshot.
//!
//! Payloads are stored as text, byte for byte. Beside it, `jsonb` with an index narrows conditions on payloads; the
//! core decides about each event that it finds.
//!
//! A commit whose outcome is unknown, because the connection broke, is repeated. The ids of its events tell whether it
//! was successful: those of callers are unique, and those that Argus generates are known before the commit is sent.

#![forbid(unsafe_code)]

mod address;
#[cfg(test)]
mod agreement;
mod attempt;
mod begin;
mod candidates;
mod columns;
mod commit;
mod counter;
mod document;
mod erase;
mod expiry;
mod fault;
mod gaps;
mod head;
mod import;
mod migration;
mod narrowing;
mod password;
mod pool;
mod removal;
mod repository;
mod row;
mod schema;
mod select;
mod server;
mod session;
mod snapshot;
mod source;
mod store;
mod tls;
mod values;
mod walk;
mod writer;

pub use address::{Address, AddressError};
pub use argus_database::{OpenError, Retention};
pub use repository::{PostgresOptions, PostgresRepository};
pub use schema::{SchemaName, SchemaNameError};
