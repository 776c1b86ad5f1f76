//! Why a repository could not be opened.

use std::path::{Path, PathBuf};

use argus_core::engine;
use thiserror::Error;

use super::location::DatabaseUrl;
use crate::shell;

/// Why a repository could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system's random generator failed, which seeds hashing.
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The folder could not be opened.
    #[error(transparent)]
    Folder(#[from] argus_disk::OpenError),
    /// The stored data could not be read.
    #[error(transparent)]
    Repository(#[from] engine::OpenError),
    /// The stored data could not be read.
    #[error(transparent)]
    Source(#[from] argus_export::SourceError),
    /// No other process can open it.
    #[error("a repository in memory belongs to its process; `./memory` is a folder of that name")]
    Memory,
    /// A database cannot be used.
    #[error("{url}: {reason}")]
    Database {
        /// The database.
        url: DatabaseUrl,
        /// Why.
        reason: String,
    },
    /// Stored data or a file is damaged.
    #[error(
        "{reason}. Nothing was changed; `{program} check {0}` lists all damage, and `{program} check {0} --salvage \
         NEW-PATH` copies all undamaged events to a new folder",
        shell::word(path)
    )]
    Damaged {
        /// The name of this program.
        program: &'static str,
        /// The folder.
        path: PathBuf,
        /// The place of the damage, its kind, and the events that it affects.
        reason: String,
    },
}

impl OpenError {
    /// Adds advice to an error that reports damage in the folder; leaves all others as they are.
    pub(super) fn in_folder(self, path: &Path, program: &'static str) -> Self {
        match self {
            Self::Folder(argus_disk::OpenError::Damaged { .. })
            | Self::Repository(engine::OpenError::Damaged { .. }) => {
                Self::Damaged { program, path: path.to_owned(), reason: self.to_string() }
            }
            Self::Randomness(_)
            | Self::Folder(_)
            | Self::Repository(_)
            | Self::Source(_)
            | Self::Memory
            | Self::Database { .. }
            | Self::Damaged { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_the_advice_can_be_copied() {
        for (path, check) in [("/data", "check /data"), ("/my data", "check '/my data'")] {
            let damaged = argus_disk::OpenError::Damaged { path: path.into(), reason: "torn".to_owned() };
            let message = OpenError::from(damaged).in_folder(Path::new(path), "argus-test").to_string();
            for advice in [format!("`argus-test {check}`"), format!("`argus-test {check} --salvage NEW-PATH`")] {
                assert!(message.contains(&advice), "{message}");
            }
        }
    }
}
