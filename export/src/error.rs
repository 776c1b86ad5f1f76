//! Why there is no file.

use std::io;
use std::path::PathBuf;

use argus_core::repository::ReadError;
use thiserror::Error;

/// Why there is no file.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The events could not be read.
    #[error("the events cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The file could not be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
