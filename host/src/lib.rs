//! The part of a host that does not depend on its executor or its web framework.
//!
//! The core decides; a host moves bytes and waits. Everything in this crate is shared by all hosts, so that they differ
//! only in executor and framework. The crate names no executor: everything that waits goes through
//! [`Runtime`](runtime::Runtime).
//!
//! # How a host is put together
//!
//! 1. `main` calls [`process::run`] with the host's name and two functions. `run` reads the
//!    [command](command::Command), usually to serve, and the settings. It starts logging, listens for signals, binds
//!    the endpoint, starts the executor with the first function, opens the repository, starts the commit thread,
//!    serves with the second function, and waits until the server is [drained](lifecycle::Lifecycle::drained). It turns
//!    the outcome into an exit code.
//! 2. The second function gets the executor, a [`Node`](node::Node) and the endpoint, non-blocking. It starts a task
//!    that accepts connections, one [`ConnectionPermit`](lifecycle::ConnectionPermit) each, until
//!    [`Lifecycle::draining`](lifecycle::Lifecycle::draining) resolves, and returns. All threads and tasks
//!    that the server needs are [watched](watch).
//! 3. [`Wire::drive`](wire::Wire::drive) drives each connection, and hands every request to the framework as an
//!    [`Exchange`](exchange::Exchange).
//! 4. The framework's handler calls [`Exchange::run`](exchange::Exchange::run), which asks the core what the request
//!    means and does it.

pub mod admission;
pub mod answers;
pub mod backend;
pub mod budget;
pub mod check;
pub mod clock;
pub mod command;
pub mod committer;
pub mod copy;
pub mod descriptors;
pub mod exchange;
pub mod export;
pub mod gate;
pub mod health;
pub mod key;
pub mod lifecycle;
pub mod log_buffer;
pub mod log_limit;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod placement;
pub mod pool;
pub mod process;
pub mod reply_body;
pub mod request_log;
pub mod runtime;
pub mod schema;
pub mod settings;
pub mod shell_options;
pub mod snapshot;
pub mod socket;
pub mod stream_hub;
pub mod streams;
pub mod timer;
pub mod tls;
pub mod tls_options;
pub mod units;
pub mod warnings;
pub mod watch;
pub mod websocket;
pub mod wire;

mod address_limit;
mod body;
mod connection;
mod ending;
mod environment;
mod eviction;
mod folder;
mod log_filter;
mod pace;
mod raw_answer;
mod raw_head;
mod reread;
mod service;
mod shell;
mod signals;
mod trim;
mod wire_body;
mod wire_io;
mod working_memory;

#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod testing;

pub use wire_body::BoxError;
