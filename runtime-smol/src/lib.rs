//! Argus Events on smol and tide: the executor, the sockets and the framework, and nothing else.
//!
//! `argus-core` decides what a request means, and `argus-host` has everything that two hosts can share. The files here
//! have the same names and order as those of `argus-tokio`, so that they can be read side by side.

#![cfg_attr(test, expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking"))]

pub mod app;
pub mod connection;
pub mod runtime;
pub mod server;
