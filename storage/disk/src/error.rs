//! Errors of files: what failed, where and why.

use std::io;
use std::path::{Path, PathBuf};

use argus_core::cause::{Cause, NamedPlace};
use argus_core::storage::StorageError;
use rustix::io::Errno;
use thiserror::Error;

/// Why a folder could not be opened. Nothing that it holds was changed; a new one may have been made in part, which the
/// next attempt completes, and files that were never finished may have been removed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Somebody else uses the folder.
    #[error("{} is locked by {}", path.display(), holder(*pid))]
    InUse {
        /// The lock.
        path: PathBuf,
        /// The process that holds it, as far as is known.
        pid: Option<u32>,
    },
    /// Something is not as it was left.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file or the folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no repository in the folder.
    #[error("{} holds no repository: there is no `format` in it", path.display())]
    NoRepository {
        /// The folder.
        path: PathBuf,
    },
    /// What is in the folder was to become a copy, and did not.
    #[error("{} is no repository, but a copy that was not finished; what is left of it may be removed", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// A copy is to be made where something else is.
    #[error("{} is not empty, and a copy needs a folder of its own; what a copy that was interrupted has left may be removed", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A new repository is to be made where something else is.
    #[error("{} is no part of a repository, and a new one needs a folder of its own: choose one that is empty or not there yet", path.display())]
    Foreign {
        /// What is there; perhaps one of many.
        path: PathBuf,
    },
    /// A copy is to be made in the folder that is to be copied.
    #[error("{} lies in the folder that is to be copied", path.display())]
    InItself {
        /// The folder of the copy.
        path: PathBuf,
    },
    /// The system refused.
    #[error(transparent)]
    System(#[from] Fault),
}

/// A call of the system that failed.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct Fault {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl OpenError {
    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}

impl Fault {
    /// Makes a fault of an error; `operation` is what "cannot" stands before.
    pub(crate) fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { operation, path: path.to_owned(), source }
    }

    /// For a call after whose failure everything is as it was: what may pass by itself, or by what an operator does, is
    /// said to be so.
    pub(crate) fn without_effect(self) -> StorageError {
        if self.is_full() {
            StorageError::Full(self.cause())
        } else if self.is_unavailable() {
            StorageError::Unavailable(self.cause())
        } else {
            self.failed()
        }
    }

    /// Whether there is no room on the disk, for anybody or for this user.
    pub(crate) fn is_full(&self) -> bool {
        self.is_any_of(&[Errno::NOSPC, Errno::DQUOT])
    }

    /// Whether something else is missing that may come back: descriptors, memory of the system, a permission.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.is_any_of(&[Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::ROFS])
    }

    fn is_any_of(&self, errnos: &[Errno]) -> bool {
        Errno::from_io_error(&self.source).is_some_and(|errno| errnos.contains(&errno))
    }

    /// For all others.
    pub(crate) fn failed(self) -> StorageError {
        StorageError::Failed(self.cause())
    }

    fn cause(self) -> Cause {
        let Self { operation, path, source } = self;
        Cause::call(operation, place(&path), source)
    }
}

/// A path. Callers are not told which one it is.
pub(crate) fn place(path: &Path) -> NamedPlace {
    NamedPlace::new(path.display().to_string(), "one of its files")
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn fault(errno: Errno) -> Fault {
        Fault::of("write", Path::new("/data/log/x"))(errno.into())
    }

    #[test]
    fn a_fault_says_what_where_and_why() {
        assert_eq!(fault(Errno::IO).to_string(), "cannot write /data/log/x: Input/output error (os error 5)");
    }

    #[test]
    fn callers_are_told_what_and_why_but_not_where() {
        let cause = fault(Errno::IO).failed().into_cause();
        assert_eq!(cause.to_string(), "cannot write /data/log/x: Input/output error (os error 5)");
        assert_eq!(cause.public_text(), "cannot write one of its files: Input/output error (os error 5)");
    }

    #[test]
    fn the_error_of_the_system_is_the_source() {
        let cause = fault(Errno::IO).failed().into_cause();
        let source = cause.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(Errno::from_io_error), Some(Errno::IO));
    }

    #[test]
    fn what_passes_is_said_to_pass_where_nothing_was_changed_and_is_a_failure_elsewhere() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(matches!(fault(errno).without_effect(), StorageError::Full(_)), "{errno}");
            assert!(matches!(fault(errno).failed(), StorageError::Failed(_)), "{errno}");
        }
        for errno in [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert!(matches!(fault(errno).without_effect(), StorageError::Unavailable(_)), "{errno}");
            assert!(matches!(fault(errno).failed(), StorageError::Failed(_)), "{errno}");
        }
        assert!(matches!(fault(Errno::IO).without_effect(), StorageError::Failed(_)));
    }

    #[test]
    fn who_holds_a_lock_is_said_if_it_is_known() {
        let error = |pid| OpenError::InUse { path: "/data/lock".into(), pid }.to_string();
        assert_eq!(error(Some(7)), "/data/lock is locked by process 7");
        assert_eq!(error(None), "/data/lock is locked by another process");
    }
}
