//! The repository in a real database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counts;
mod database;
mod expiry;
mod faults;
mod imports;
mod model;
mod narrowing;
mod orphans;
mod secured;
mod staging;
mod wait;
mod writers;
