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
    /// [`SystemError`] if the file or a folder above it was removed, moved or replaced. What was written since then may
    /// be lost.
    pub(crate) fn verify(self, file: &File, path: &Path) -> Result<(), SystemError> {
        match inode_at(path) {
            Ok(inode) if Self::in_inode(&inode) == self => Ok(()),
            Err(error) if !leads_nowhere(&error) && has_name(file) => Ok(()),
            Ok(_) | Err(_) => Err(SystemError::of("go on with", path)(gone())),
        }
    }

    fn in_inode(inode: &Inode) -> Self {
        Self { device: inode.device, inode: inode.number }
    }
}

/// Whether nothing exists at a path. Any other error, such as a missing permission on a parent, may be temporary: then
/// the link count shows whether the file was removed.
fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn has_name(file: &File) -> bool {
    inode_of(file).is_ok_and(|inode| inode.names > 0)
}

fn gone() -> io::Error {
    io::Error::other(
        "it was removed, moved or replaced while the server had it open; put back what belongs there, then start the server again",
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn a_moved_or_replaced_file_is_noticed_and_one_that_is_back_is_accepted() {
        let root = tempfile::tempdir().unwrap();
        let (path, away) = (root.path().join("folder/file"), root.path().join("away"));
        fs::create_dir(root.path().join("folder")).unwrap();
        let file = File::create(&path).unwrap();
        let identity = Identity::of(&file, &path).unwrap();
        identity.verify(&file, &path).unwrap();

        fs::rename(root.path().join("folder"), &away).unwrap();
        let reason = identity.verify(&file, &path).unwrap_err().to_string();
        assert!(reason.starts_with("cannot go on with ") && reason.contains("folder/file: it was removed"), "{reason}");
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(&path, "").unwrap();
        identity.verify(&file, &path).unwrap_err();
        fs::remove_dir_all(root.path().join("folder")).unwrap();
        fs::rename(&away, root.path().join("folder")).unwrap();
        identity.verify(&file, &path).unwrap();

        fs::remove_file(&path).unwrap();
        identity.verify(&file, &path).unwrap_err();
        assert!(!has_name(&file));
    }
}
