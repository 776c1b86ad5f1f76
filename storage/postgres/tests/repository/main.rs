//! The repository in a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counts;
mod database;
mod expiry;
mod failover;
mod faults;
mod full_disk;
mod imports;
mod model;
mod secured;
mod writers;
