//! The committer, over repositories that the tests control.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commits;
mod failures;
mod leader;
mod manual;
mod shutdown;
mod tasks;

pub(crate) use manual::wait;
