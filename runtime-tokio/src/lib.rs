//! Argus Events on Tokio and warp: the executor, the sockets and the framework, and nothing else.
//!
//! `argus-core` decides what a request means, and `argus-host` has everything that two hosts can share. The files here
//! have the same names and order as those of `argus-smol`, so that they can be read side by side.

pub mod app;
pub mod connection;
pub mod runtime;
pub mod server;
