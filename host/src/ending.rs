//! How a server ended, and its exit code.

use crate::lifecycle::Drained;

/// How a server that had served ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every request was answered, and every queued batch was committed.
    Clean,
    /// The storage had failed, for this reason.
    StorageFailed(String),
    /// The drain timed out; this many connections were cut.
    Cut(usize),
    /// A part of the server had failed, for this reason, and the server drained by itself.
    ServerFailed(String),
}

impl Ending {
    /// The most serious outcome: a failure of the server, then of its storage, then connections cut.
    pub(crate) fn new(drained: Drained, server_failure: Option<&str>, storage_failure: Option<String>) -> Self {
        match (server_failure, storage_failure, drained) {
            (Some(reason), _, _) => Self::ServerFailed(reason.to_owned()),
            (None, Some(reason), _) => Self::StorageFailed(reason),
            (None, None, Drained::Cut(connections)) => Self::Cut(connections),
            (None, None, Drained::Clean) => Self::Clean,
        }
    }

    /// The exit code, as listed by [`process::run`](crate::process::run).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::StorageFailed(_) => 1,
            Self::Cut(_) => 3,
            Self::ServerFailed(_) => 4,
        }
    }

    pub(crate) fn log(&self) {
        match self {
            Self::Clean => tracing::info!("stopped"),
            Self::StorageFailed(reason) => tracing::error!(reason, "stopped; the storage had failed"),
            Self::Cut(connections) => {
                tracing::warn!(connections, "stopped at the drain deadline; connections were cut");
            }
            Self::ServerFailed(reason) => tracing::error!(reason, "stopped; the server had failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_serious_outcome_decides_the_exit_code() {
        let code = |drained, server, storage: Option<&str>| {
            Ending::new(drained, server, storage.map(str::to_owned)).exit_code()
        };
        for drained in [Drained::Clean, Drained::Cut(3)] {
            assert_eq!(code(drained, Some("a thread is gone"), None), 4);
            assert_eq!(code(drained, Some("a thread is gone"), Some("the disk is gone")), 4);
            assert_eq!(code(drained, None, Some("the disk is gone")), 1);
        }
        assert_eq!(code(Drained::Cut(3), None, None), 3);
        assert_eq!(code(Drained::Clean, None, None), 0);
    }
}
