//! Errors of files: what failed, where and why.

use std::io;
use std::path::{Path, PathBuf};

use argus_core::cause::{Cause, NamedPlace};
use argus_core::storage::StorageError;
use rustix::io::Errno;
use thiserror::Error;

/// Why a folder could not be opened. Existing data is unchanged. A new folder may be partly created; the next attempt
/// completes it. Temporary files may have been removed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("{} is using {}; stop it first, or {advice}", holder(*pid), path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The id of that process, if known.
        pid: Option<u32>,
        /// What can be done without stopping it.
        advice: &'static str,
    },
    /// A file or folder is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file or the folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder does not contain a repository.
    #[error("{} does not contain a repository: the file `format` is missing", path.display())]
    NoRepository {
        /// The folder.
        path: PathBuf,
    },
    /// The folder contains an unfinished copy.
    #[error("{} is an unfinished copy, not a repository; you may remove it", path.display())]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for a copy is not empty.
    #[error(
        "{} is not empty, and a copy needs a folder of its own: choose an empty or a new one; you may remove what an \
         interrupted copy has left",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for a new repository contains other files.
    #[error(
        "{} is no part of a repository, and a new repository needs a folder of its own: choose an empty or a new one",
        path.display()
    )]
    Foreign {
        /// One of these files.
        path: PathBuf,
    },
    /// The folder for a copy lies inside the folder to be copied.
    #[error("{} lies in the folder to be copied; choose a folder outside of it", path.display())]
    InItself {
        /// The folder of the copy.
        path: PathBuf,
    },
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// A failed system call: operation, path and reason.
#[derive(Debug, Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct SystemError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl OpenError {
    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }
}

impl SystemError {
    /// Adds the operation and the path to an error. The message reads "cannot `operation` `path`".
    pub(crate) fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { operation, path: path.to_owned(), source }
    }

    /// The storage error for a failed call that changed nothing: temporary conditions are reported as such.
    pub(crate) fn without_effect(self) -> StorageError {
        if self.is_full() {
            StorageError::Full(self.cause())
        } else if self.is_unavailable() {
            StorageError::Unavailable(self.cause())
        } else {
            self.failed()
        }
    }

    /// The storage error for a failed call that changed nothing and may be tried again at any time, whatever the cause.
    pub(crate) fn unavailable(self) -> StorageError {
        StorageError::Unavailable(self.cause())
    }

    /// Whether the disk or this user's quota is full.
    pub(crate) fn is_full(&self) -> bool {
        self.is_any_of(&[Errno::NOSPC, Errno::DQUOT])
    }

    /// Whether the cause is temporary: out of file descriptors or memory, or a missing permission.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.is_any_of(&[Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::ROFS])
    }

    fn is_any_of(&self, errnos: &[Errno]) -> bool {
        Errno::from_io_error(&self.source).is_some_and(|errno| errnos.contains(&errno))
    }

    /// The storage error for a failed call that may have changed something.
    pub(crate) fn failed(self) -> StorageError {
        StorageError::Failed(self.cause())
    }

    fn cause(self) -> Cause {
        let Self { operation, path, source } = self;
        Cause::call(operation, place(&path), source)
    }
}

/// The place for a [`Cause`]: operators see the path, callers do not.
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

    fn error(errno: Errno) -> SystemError {
        SystemError::of("write", Path::new("/data/log/x"))(errno.into())
    }

    #[test]
    fn an_error_names_operation_path_and_reason() {
        assert_eq!(error(Errno::IO).to_string(), "cannot write /data/log/x: Input/output error (os error 5)");
    }

    #[test]
    fn the_public_text_does_not_contain_the_path() {
        let cause = error(Errno::IO).failed().into_cause();
        assert_eq!(cause.to_string(), "cannot write /data/log/x: Input/output error (os error 5)");
        assert_eq!(cause.public_text(), "cannot write one of its files: Input/output error (os error 5)");
    }

    #[test]
    fn the_io_error_is_the_source() {
        let cause = error(Errno::IO).failed().into_cause();
        let source = cause.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(Errno::from_io_error), Some(Errno::IO));
    }

    #[test]
    fn temporary_errors_are_reported_as_such_only_if_nothing_was_changed() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            assert!(matches!(error(errno).without_effect(), StorageError::Full(_)), "{errno}");
            assert!(matches!(error(errno).failed(), StorageError::Failed(_)), "{errno}");
        }
        for errno in [Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert!(matches!(error(errno).without_effect(), StorageError::Unavailable(_)), "{errno}");
            assert!(matches!(error(errno).failed(), StorageError::Failed(_)), "{errno}");
        }
        assert!(matches!(error(Errno::IO).without_effect(), StorageError::Failed(_)));
    }

    #[test]
    fn the_holder_of_a_lock_is_named_if_known() {
        let error = |pid| OpenError::InUse { path: "/data".into(), pid, advice: "wait" }.to_string();
        assert_eq!(error(Some(7)), "process 7 is using /data; stop it first, or wait");
        assert_eq!(error(None), "another process is using /data; stop it first, or wait");
    }
}
