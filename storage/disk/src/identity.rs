//! Checks whether a path still leads to the file that is open.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::SystemError;
use crate::system::{Inode, inode_at, inode_of};

/// Device and inode number of an open file or folder.
///
/// A file that was removed or moved accepts writes and syncs as before, but the next process does not find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self, SystemError> {
        inode_of(file).map(|inode| Self::in_inode(&inode)).map_err(SystemError::of("examine", path))
    }

    /// Checks with one system call that this path leads to this file.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the file or a folder above it was removed, moved or replaced. Bytes written since then may be
    /// lost.
    pub(crate) fn verify(self, file: &File, path: &Path) -> Result<(), SystemError> {
        match inode_at(path) {
            Ok(inode) if Self::in_inode(&inode) == self => Ok(()),
            Err(error) if !is_missing(&error) && is_linked(file) => Ok(()),
            Ok(_) | Err(_) => Err(SystemError::of("continue to use", path)(replaced())),
        }
    }

    fn in_inode(inode: &Inode) -> Self {
        Self { device: inode.device, inode: inode.number }
    }
}

/// Whether nothing exists at a path. Any other error may be temporary, for example a missing permission on a parent;
/// then the link count shows whether the file was removed.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_linked(file: &File) -> bool {
    inode_of(file).is_ok_and(|inode| inode.links > 0)
}

fn replaced() -> io::Error {
    io::Error::other(
        "it was removed, moved or replaced while the server had it open; put it back, then start the server again",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn a_moved_or_replaced_file_is_detected_and_accepted_once_it_is_back() {
        let root = tempfile::tempdir().unwrap();
        let (path, away) = (root.path().join("folder/file"), root.path().join("away"));
        fs::create_dir(root.path().join("folder")).unwrap();
        let file = File::create(&path).unwrap();
        let identity = Identity::of(&file, &path).unwrap();
        identity.verify(&file, &path).unwrap();

        fs::rename(root.path().join("folder"), &away).unwrap();
        let reason = identity.verify(&file, &path).unwrap_err().to_string();
        assert!(
            reason.starts_with("cannot continue to use ") && reason.contains("folder/file: it was removed"),
            "{reason}"
        );
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(&path, "").unwrap();
        identity.verify(&file, &path).unwrap_err();
        fs::remove_dir_all(root.path().join("folder")).unwrap();
        fs::rename(&away, root.path().join("folder")).unwrap();
        identity.verify(&file, &path).unwrap();

        fs::remove_file(&path).unwrap();
        identity.verify(&file, &path).unwrap_err();
        assert!(!is_linked(&file));
    }
}
