use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Fault;

/// A folder whose entries are made durable by [`sync`](Self::sync).
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    file: File,
}

/// What lies in a folder.
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) is_file: bool,
    name: OsString,
}

impl Folder {
    /// A folder that exists.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let file = File::open(path).map_err(Fault::of("open", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// A folder that is made if there is none, and those above it. Those that were made are durable when this returns; of the others,
    /// [`sync_names`] makes sure.
    pub(crate) fn create(path: &Path) -> Result<Self, Fault> {
        make(path)?;
        Self::open(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes durable which entries there are, and what their names mean.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        self.file.sync_all().map_err(Fault::of("sync", &self.path))
    }

    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Fault> {
        let entry = |found: io::Result<fs::DirEntry>| {
            let found = found?;
            Ok(Entry { path: found.path(), is_file: found.file_type()?.is_file(), name: found.file_name() })
        };
        let read = || fs::read_dir(&self.path)?.map(entry).collect::<io::Result<Vec<Entry>>>();
        read().map_err(Fault::of("list", &self.path))
    }
}

impl Entry {
    /// Its name, if it is text, as all of ours are.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.to_str()
    }
}

/// Removes a file. That it is not there is no fault.
pub(crate) fn remove(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Fault::of("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    // What is named is the new name, which tells more than that of a temporary file.
    fs::rename(from, to).map_err(Fault::of("rename a file to", to))
}

/// Makes the names of a folder and of those above it durable: whoever made them may have been killed before that.
pub(crate) fn sync_names(path: &Path) -> Result<(), Fault> {
    for holder in holders(path)? {
        match File::open(&holder) {
            Ok(file) => file.sync_all().map_err(Fault::of("sync", &holder))?,
            // Only who may read a folder can sync it. The others have been given what is in this one by somebody, some time ago.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(Fault::of("open", &holder)(error)),
        }
    }
    Ok(())
}

/// The folders that have the name of a folder and of those above it, from the nearest on. Where a file system is mounted they end: that
/// name was there before, and not every other file system can sync a folder. So they do where the way up is closed to us.
fn holders(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let device = |path: &Path| fs::metadata(path).map(|data| data.dev());
    let whole = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(vec![parent(path).to_owned()]),
        found => found.map_err(Fault::of("find", path))?,
    };
    let own = device(&whole).map_err(Fault::of("examine", &whole))?;
    let mut holders = Vec::new();
    for above in whole.ancestors().skip(1) {
        match device(above) {
            Ok(device) if device == own => holders.push(above.to_owned()),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            Err(error) => return Err(Fault::of("examine", above)(error)),
        }
    }
    Ok(holders)
}

fn make(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        return Ok(());
    }
    if parent(path) != path {
        make(parent(path))?;
    }
    fs::create_dir(path).map_err(Fault::of("create the folder", path))?;
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
        let fault = Folder::create(&path.join("below")).unwrap_err().to_string();
        assert!(fault.starts_with("cannot create the folder ") && fault.contains("/file"), "{fault}");
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
