//! From start to exit: serving, draining, and what the exit code says.

use std::process::ExitCode;
use std::sync::Arc;

use crate::node::Node;

/// Runs a server from its settings to its exit code; the whole of a host's `main`.
///
/// `name` is the host's name (`tokio`), as metrics and `--version` show it. `serve` builds the executor, serves the node until it is
/// drained, and returns; an error is one of starting or of accepting.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | drained: every request was answered, every queued batch committed |
/// | 1 | the repository could not be opened, the endpoint not bound, the executor not built; or the storage had failed while serving |
/// | 2 | a setting is wrong |
/// | 3 | the drain deadline passed, and requests were cut off |
/// | 130, 143 | a second SIGINT or SIGTERM ended the process at once |
pub fn run(name: &'static str, serve: impl FnOnce(Arc<Node>) -> std::io::Result<()>) -> ExitCode {
    let _ = (name, serve);
    todo!()
}

/// Whether the server serves or drains, and who is connected.
#[derive(Debug)]
pub struct Lifecycle {}

/// The right to hold one connection; given back when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every connection was closed in its own time.
    Clean,
    /// The deadline passed; so many connections are still open and are cut.
    Cut(usize),
}

impl Lifecycle {
    /// Whether new requests are refused.
    pub fn is_draining(&self) -> bool {
        todo!()
    }

    /// Begins to drain; later calls change nothing.
    pub fn drain(&self) {
        todo!()
    }

    /// Resolves when draining begins.
    pub async fn draining(&self) {
        todo!()
    }

    /// Waits until there is room for one more connection. While there is none, the host accepts nothing, so that clients wait in the
    /// kernel's backlog instead of being turned away.
    pub async fn permit(self: &Arc<Self>) -> ConnectionPermit {
        todo!()
    }

    /// Waits until no permit is out, or until the drain deadline (counted from the beginning of the drain) has passed.
    pub async fn drained<R: crate::runtime::Runtime>(&self, runtime: &R) -> Drained {
        let _ = runtime;
        todo!()
    }
}
