//! Folders: made, listed and synced.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::SystemError;
use crate::identity::Identity;

/// Events are for whoever runs the server, and for nobody else whom it has not given them to.
pub(crate) const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// What of a mode lets others than the owner in.
const OTHERS: u32 = 0o077;

/// What a file system puts into its topmost folder when it is made.
const LOST_AND_FOUND: &str = "lost+found";

/// What is written and removed to see whether a folder can be written. One that was left is removed with all that is
/// unfinished.
pub(crate) const PROBE: &str = "probe.0.tmp";

/// A folder whose entries are made durable by [`sync`](Self::sync).
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file: File,
    identity: Identity,
}

/// What lies in a folder.
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) is_file: bool,
    name: OsString,
}

impl Folder {
    /// A folder that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, SystemError> {
        let file = File::open(path).map_err(SystemError::of("open", path))?;
        let identity = Identity::of(&file, path)?;
        Ok(Self { path: path.to_owned(), file, identity })
    }

    /// A folder that is made if there is none, for its owner alone, and those above it. Those that were made are
    /// durable when this returns; of the others, [`sync_names`] makes sure.
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

    /// Makes durable which entries there are, and what their names mean. A folder that was removed, moved or replaced
    /// meanwhile is a fault: who comes next looks for them in its place.
    pub(crate) fn sync(&self) -> Result<(), SystemError> {
        self.file.sync_all().map_err(SystemError::of("sync", &self.path))?;
        self.identity.verify(&self.file, &self.path)
    }

    /// Sees whether files can be made here, durably, and removed. That there is no room for one passes, and is no
    /// error.
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

    /// Whether others than the owner may look into it or write there.
    pub(crate) fn is_open_to_others(&self) -> Result<bool, SystemError> {
        let data = self.file.metadata().map_err(SystemError::of("examine", &self.path))?;
        Ok(data.mode() & OTHERS != 0)
    }

    /// Something in it that has none of these names, if there is anything.
    pub(crate) fn foreign(&self, ours: &[&str]) -> Result<Option<PathBuf>, SystemError> {
        let is_foreign = |entry: &Entry| {
            !entry.name().is_some_and(|name| ours.contains(&name) || (name == LOST_AND_FOUND && !entry.is_file))
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
    /// Its name, if it is text, as all of ours are.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.to_str()
    }
}

/// Opens a file that is to be made, for its owner alone whatever the process would permit.
pub(crate) fn create_file(path: &Path, options: &mut OpenOptions) -> Result<File, SystemError> {
    let mut open = || {
        let file = options.mode(FILE_MODE).open(path)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        Ok(file)
    };
    open().map_err(SystemError::of("create", path))
}

/// Removes a file. That it is not there is no error.
pub(crate) fn remove(path: &Path) -> Result<(), SystemError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SystemError::of("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), SystemError> {
    // What is named is the new name, which tells more than that of a temporary file.
    fs::rename(from, to).map_err(SystemError::of("rename a file to", to))
}

/// Makes the names of a folder and of those above it durable: whoever made them may have been killed before that.
pub(crate) fn sync_names(path: &Path) -> Result<(), SystemError> {
    for holder in holders(path)? {
        match File::open(&holder) {
            Ok(file) => file.sync_all().map_err(SystemError::of("sync", &holder))?,
            // Only who may read a folder can sync it. The others have been given what is in this one by somebody, some
            // time ago.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(SystemError::of("open", &holder)(error)),
        }
    }
    Ok(())
}

/// The folders that have the name of a folder and of those above it, from the nearest on. Where a file system is
/// mounted they end: that name was there before, and not every other file system can sync a folder. So they do where
/// the way up is closed to us.
fn holders(path: &Path) -> Result<Vec<PathBuf>, SystemError> {
    let device = |path: &Path| fs::metadata(path).map(|data| data.dev());
    let whole = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(vec![parent(path).to_owned()]),
        found => found.map_err(SystemError::of("find", path))?,
    };
    let own = device(&whole).map_err(SystemError::of("examine", &whole))?;
    let mut holders = Vec::new();
    for above in whole.ancestors().skip(1) {
        match device(above) {
            Ok(device) if device == own => holders.push(above.to_owned()),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(SystemError::of("examine", above)(error)),
        }
    }
    Ok(holders)
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

/// The folder that has the name of another.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        // The path of a relative name has an empty parent, which means the current folder.
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
    fn folders_are_made_with_those_above() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        Folder::create(&path).unwrap().sync().unwrap();
        Folder::create(&path).unwrap();
        assert!(path.is_dir());
    }

    #[test]
    fn all_names_on_the_way_to_a_folder_are_made_durable_whoever_made_them() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().canonicalize().unwrap();
        fs::create_dir_all(real.join("a/b/c")).unwrap();
        std::os::unix::fs::symlink("a/b", real.join("link")).unwrap();
        for path in ["a/b/c", "link/c", "a/../a/b/./c"].map(|path| root.path().join(path)) {
            let holders = holders(&path).unwrap();
            assert!(holders.starts_with(&[real.join("a/b"), real.join("a"), real.clone()]), "{holders:?}");
            sync_names(&path).unwrap();
        }
        assert_eq!(holders(Path::new("/")).unwrap(), [""; 0].map(PathBuf::from));
        // Another file system, which cannot sync folders.
        #[cfg(target_os = "linux")]
        assert!(holders(Path::new("/proc/self/fd")).unwrap().iter().all(|holder| holder.starts_with("/proc")));
        for path in [Path::new("src"), Path::new("/")] {
            sync_names(path).unwrap();
        }
        assert!(sync_names(&root.path().join("x/y")).unwrap_err().to_string().starts_with("cannot find "));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Folder::create(&path.join("below")).unwrap_err().to_string();
        assert!(error.starts_with("cannot create the folder ") && error.contains("/file"), "{error}");
    }

    #[test]
    fn removing_twice_is_no_fault() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(remove(root.path()).is_err());
    }
}
