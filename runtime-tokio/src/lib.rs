//! Argus Events on Tokio and warp: the executor, the sockets and the framework, and nothing else.
//!
//! What a request means is said by `argus-core`, and everything that two hosts can share is in `argus-host`. The files
//! here have the same names and the same order as those of `argus-smol`; a diff of the two shows the frameworks.

pub mod app;
pub mod connection;
pub mod runtime;
pub mod server;
