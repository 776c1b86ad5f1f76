//! Folders: creation, listing and sync.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::SystemError;
use crate::identity::Identity;

/// Events are private to the user that runs the server.
pub(crate) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// The mode bits that give access to users other than the owner.
const OTHERS: u32 = 0o077;

/// Some file systems create this in their top folder.
const LOST_AND_FOUND: &str = "lost+found";

/// The file that [`Folder::probe`] creates and removes. A leftover is removed with other temporary files.
pub(crate) const PROBE: &str = "probe.0.tmp";

/// A folder whose entries are made durable by [`sync`](Self::sync).
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file: File,
    identity: Identity,
}

/// An entry of a folder.
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) is_file: bool,
    name: OsString,
}

impl Folder {
    /// Opens an existing folder.
    pub(crate) fn open(path: &Path) -> Result<Self, SystemError> {
        let file = File::open(path).map_err(SystemError::of("open", path))?;
        let identity = Identity::of(&file, path)?;
        Ok(Self { path: path.to_owned(), file, identity })
    }

    /// Opens a folder. If it or its parents are missing, creates them durably, for the owner only; for existing parents
    /// see [`sync_names`].
    pub(crate) fn create(path: &Path) -> Result<Self, SystemError> {
        make(path)?;
        Self::open(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes created, renamed and removed entries durable. Fails if the folder itself was removed, moved or replaced,
    /// since the next process would not find the entries.
    pub(crate) fn sync(&self) -> Result<(), SystemError> {
        self.file.sync_all().map_err(SystemError::of("sync", &self.path))?;
        self.identity.verify(&self.file, &self.path)
    }

    /// Checks that files can be created durably and removed here. A full disk is not an error, since it is temporary.
    pub(crate) fn probe(&self) -> Result<(), SystemError> {
        let path = self.join(PROBE);
        let written = || {
            let mut options = File::options();
            let mut file = create_file(&path, options.write(true).create(true).truncate(true))?;
            file.write_all(b"probe").and_then(|()| file.sync_all()).map_err(SystemError::of("write", &path))
        };
        let written = written();
        let removed = remove(&path);
        match written {
            Err(error) if error.is_full() => Ok(()),
            written => written.and(removed),
        }
    }

    /// Whether users other than the owner can access the folder.
    pub(crate) fn is_open_to_others(&self) -> Result<bool, SystemError> {
        let data = self.file.metadata().map_err(SystemError::of("examine", &self.path))?;
        Ok(data.mode() & OTHERS != 0)
    }

    /// An entry with none of these names, if there is one.
    pub(crate) fn foreign(&self, known: &[&str]) -> Result<Option<PathBuf>, SystemError> {
        let is_foreign = |entry: &Entry| {
            !entry.name().is_some_and(|name| known.contains(&name) || (name == LOST_AND_FOUND && !entry.is_file))
        };
        Ok(self.entries()?.into_iter().find(is_foreign).map(|entry| entry.path))
    }

    pub(crate) fn entries(&self) -> Result<Vec<Entry>, SystemError> {
        let entry = |found: io::Result<fs::DirEntry>| {
            let found = found?;
            Ok(Entry { path: found.path(), is_file: found.file_type()?.is_file(), name: found.file_name() })
        };
        let read = || fs::read_dir(&self.path)?.map(entry).collect::<io::Result<Vec<Entry>>>();
        read().map_err(SystemError::of("list", &self.path))
    }
}

impl Entry {
    /// The name, if it is UTF-8. All files of Argus have such names.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.to_str()
    }
}

/// Creates a file for the owner only, whatever the umask.
pub(crate) fn create_file(path: &Path, options: &mut OpenOptions) -> Result<File, SystemError> {
    let mut open = || {
        let file = options.mode(FILE_MODE).open(path)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        Ok(file)
    };
    open().map_err(SystemError::of("create", path))
}

/// Removes a file. A missing file is not an error.
pub(crate) fn remove(path: &Path) -> Result<(), SystemError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SystemError::of("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), SystemError> {
    // The error names the new path, which says more than a temporary one.
    fs::rename(from, to).map_err(SystemError::of("rename a file to", to))
}

/// Makes the names of a folder and of its parents durable: a process that created them may have been killed before it
/// did so.
pub(crate) fn sync_names(path: &Path) -> Result<(), SystemError> {
    for parent in parents(path)? {
        match File::open(&parent) {
            Ok(file) => file.sync_all().map_err(SystemError::of("sync", &parent))?,
            // Argus cannot sync parents that it cannot read; it assumes that their entries are durable.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(SystemError::of("open", &parent)(error)),
        }
    }
    Ok(())
}

/// The parents of a folder, nearest first, up to a mount point or to an inaccessible folder. The name of a mount point
/// is older than the mount, and not every file system can sync a folder.
fn parents(path: &Path) -> Result<Vec<PathBuf>, SystemError> {
    let device = |path: &Path| fs::metadata(path).map(|data| data.dev());
    let whole = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(vec![parent(path).to_owned()]),
        found => found.map_err(SystemError::of("find", path))?,
    };
    let own = device(&whole).map_err(SystemError::of("examine", &whole))?;
    let mut parents = Vec::new();
    for above in whole.ancestors().skip(1) {
        match device(above) {
            Ok(device) if device == own => parents.push(above.to_owned()),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(SystemError::of("examine", above)(error)),
        }
    }
    Ok(parents)
}

fn make(path: &Path) -> Result<(), SystemError> {
    if path.is_dir() {
        return Ok(());
    }
    if parent(path) != path {
        make(parent(path))?;
    }
    let made = DirBuilder::new().mode(FOLDER_MODE).create(path);
    let made = made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)));
    made.map_err(SystemError::of("create the folder", path))?;
    Folder::open(parent(path))?.sync()
}

/// The parent of a folder.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        // A relative path of one component has an empty parent, which means the current folder.
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn folders_are_created_with_their_parents() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        Folder::create(&path).unwrap().sync().unwrap();
        Folder::create(&path).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn all_parents_are_synced_even_if_another_process_created_them() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("a/b/c")).unwrap();
        std::os::unix::fs::symlink("a/b", real.join("link")).unwrap();
        for path in ["a/b/c", "link/c", "a/../a/b/./c"].map(|path| root.path().join(path)) {
            let parents = parents(&path).unwrap();
            assert!(parents.starts_with(&[real.join("a/b"), real.join("a"), real.clone()]), "{parents:?}");
            sync_names(&path).unwrap();
        }
        assert_eq!(parents(Path::new("/")).unwrap(), [""; 0].map(PathBuf::from));
        // `proc` cannot sync folders.
        #[cfg(target_os = "linux")]
        assert!(parents(Path::new("/proc/self/fd")).unwrap().iter().all(|parent| parent.starts_with("/proc")));
        for path in [Path::new("src"), Path::new("/")] {
            sync_names(path).unwrap();
        }
        assert!(sync_names(&root.path().join("x/y")).unwrap_err().to_string().starts_with("cannot find "));
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Folder::create(&path.join("below")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create the folder ") && error.contains("/file"), "{error}");
    }

    #[test]
    fn removing_twice_is_not_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(remove(root.path()).is_err());
    }
}
